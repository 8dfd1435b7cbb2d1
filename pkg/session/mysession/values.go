// SPDX-License-Identifier: Apache-2.0

package mysession

import (
	"strconv"

	"github.com/rdsproxy/rdsproxy/pkg/session"
	"github.com/rdsproxy/rdsproxy/pkg/sqlscan/myscan"
	wire "github.com/rdsproxy/rdsproxy/pkg/wire/mysql"
)

// This file is about what a session's connection remembers of the statement
// before: the last insert id, the number of rows, the diagnostics.

// beforeText puts in place on the connection what the text wants to find there. It
// gives false while that is under way; the command comes again then.
func (s *Session) beforeText(res *myscan.Result) bool {
	const readsID = myscan.EffectLastInsertID | myscan.EffectCall | myscan.EffectUnknown | myscan.EffectExecute |
		myscan.EffectImmediate
	effects := res.Effects
	if effects&readsID != 0 && !s.setLastID() {
		return false
	}
	if effects&myscan.EffectDiagnostics == 0 {
		s.unpin(session.PinDiagnostics)
		return true
	}
	return s.cleanDiagnostics()
}

// beforeUnseen is the same for a text that has not been seen as a whole.
func (s *Session) beforeUnseen() bool {
	if !s.setLastID() {
		return false
	}
	s.unpin(session.PinDiagnostics)
	return true
}

// setLastID gives the connection the session's LAST_INSERT_ID(). If a statement may
// have given it one meanwhile, it is asked for that first: an explicit value leaves
// there what an earlier borrower had.
func (s *Session) setLastID() bool {
	srv := s.srv
	if srv.lastID == s.lastID {
		return true
	}
	if srv.idChanged {
		s.ahead(forLastID, []byte("SELECT LAST_INSERT_ID()"))
		return false
	}
	s.ahead(forSetLastID, strconv.AppendUint([]byte("SET last_insert_id="), s.lastID, 10))
	return false
}

// cleanDiagnostics makes sure that a look at the diagnostics does not show those of
// somebody else's statement. A session that has left some has kept its connection.
// It gives false while that is under way.
func (s *Session) cleanDiagnostics() bool {
	if s.valuesHere || s.srv.cleanDiagnostics || s.work.Simple+s.work.Extended > 0 {
		return true
	}
	// Of all servers, only a statement with a table clears them on each.
	s.ahead(forDiagnostics, []byte("SELECT 1 FROM (SELECT 1) AS t"))
	return false
}

// ahead sends a statement of the proxy's own ahead of the client's command.
func (s *Session) ahead(why purpose, sql []byte) {
	srv := s.srv
	s.own(why, shapeResult, wire.AppendQuery(srv.scratch[:0], srv.caps, sql))
	s.valuesHere = false
	s.pause()
}

// preparedValue notes that such a statement has had its effect.
func (s *Session) preparedValue(x *exchange) {
	switch x.why {
	case forSetLastID:
		s.srv.lastID, s.srv.idChanged = s.lastID, false
		s.srv.idSame = false
	case forDiagnostics:
		s.srv.cleanDiagnostics = true
	}
}

// askBeforeRelease asks for what the session has to know, and nobody can tell when
// the connection is another's. It tells whether it does.
func (s *Session) askBeforeRelease() bool {
	srv := s.srv
	switch {
	case srv.idChanged:
		s.askLastID()
	case srv.askAll:
		s.own(forAll, shapeResult, wire.AppendQuery(srv.scratch[:0], srv.caps, srv.allSQL()))
	case srv.foreign:
		s.own(forOwnTrackers, shapeResult, wire.AppendQuery(srv.scratch[:0], srv.caps, srv.setup))
	case srv.askVariables:
		s.own(forVariables, shapeResult, wire.AppendQuery(srv.scratch[:0], srv.caps, srv.variablesSQL()))
	default:
		return false
	}
	s.valuesHere = false
	return true
}

// askLastID asks for the last insert id before the connection is given back. What
// OK packets say is not always the same: they tell of an explicit value too.
func (s *Session) askLastID() {
	srv := s.srv
	s.own(forLastID, shapeResult, wire.AppendQuery(srv.scratch[:0], srv.caps, "SELECT LAST_INSERT_ID()"))
}

// gotLastID ends that.
func (s *Session) gotLastID(x *exchange) {
	srv := s.srv
	switch {
	case x.failed || !x.valueSet:
		srv.doubt = true
	case x.value == srv.lastID && !srv.idSame:
		// It is that of an earlier borrower: the statement had explicit values.
	default:
		s.lastID, srv.lastID = x.value, x.value
	}
	srv.idChanged, srv.idSame = false, false
	s.settle()
}

// rewritten gives the text with the calls replaced that mean the connection rather
// than the session; false if there is none.
//
// The column of a result is named by the text of its expression, so a call that is
// an item of the select list gets that as an alias.
func (s *Session) rewritten(sql []byte, res *myscan.Result, prepare bool) ([]byte, bool) {
	if res.NumCalls == 0 {
		return nil, false
	}
	var out []byte
	at := 0
	for i := range res.NumCalls {
		call := &res.Calls[i]
		value, ok := s.valueOf(call.Kind, prepare || res.Statements > 1)
		if !ok || call.Start < at || call.End > len(sql) || call.Start > call.End {
			continue
		}
		out = append(append(out, sql[at:call.Start]...), value...)
		if call.Item {
			out = appendAlias(out, sql[call.Start:call.End])
		}
		at = call.End
	}
	if at == 0 {
		return nil, false
	}
	return append(out, sql[at:]...), true
}

// appendAlias appends " AS `name`".
func appendAlias(dst, name []byte) []byte {
	dst = append(dst, " AS `"...)
	for _, b := range name {
		if b == '`' {
			dst = append(dst, b)
		}
		dst = append(dst, b)
	}
	return append(dst, '`')
}

// valueOf gives the constant that stands for a call, of the type that it has; false
// if the connection itself knows it. later tells that it is evaluated later than at
// the beginning of the text: when a prepared statement is executed, or behind other
// statements, whose values these mostly are.
func (s *Session) valueOf(kind myscan.CallKind, later bool) (string, bool) {
	switch kind {
	case myscan.CallConnectionID, myscan.CallThreadID:
		return "CAST(" + strconv.FormatUint(uint64(s.threadID), 10) + " AS UNSIGNED)", true
	case myscan.CallRowCount:
		return "CAST(" + strconv.FormatInt(s.affected, 10) + " AS SIGNED)", !later && !s.valuesHere
	case myscan.CallFoundRows:
		return "CAST(" + strconv.FormatUint(s.foundRows, 10) + " AS SIGNED)", !later && !s.valuesHere
	}
	return "", false
}
