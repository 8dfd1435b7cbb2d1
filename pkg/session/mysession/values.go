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
	kept := s.warnings != nil && res.First != myscan.CommandSignal // and put into the text
	return effects&myscan.EffectDiagnostics == 0 || kept || s.ownDiagnostics()
}

// beforeUnseen is the same for a text that has not been seen as a whole.
func (s *Session) beforeUnseen() bool {
	if !s.setLastID() {
		return false
	}
	s.beforeOther(0)
	return true
}

var idLostError = wire.NewError(codeNotSupported,
	"LAST_INSERT_ID() was lost with its database connection; look up what was inserted in another way")

// missesID tells whether a text asks for a last insert id that is lost.
func (s *Session) missesID(res *myscan.Result) bool {
	return s.idLost && res.Effects&myscan.EffectLastInsertID != 0 && !s.srv.idChanged
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
		s.ahead(forLastID, []byte("SELECT LAST_INSERT_ID() LIMIT 1"))
		return false
	}
	s.ahead(forSetLastID, strconv.AppendUint([]byte("SET last_insert_id="), s.lastID, 10))
	return false
}

// ahead sends a statement of the proxy's own ahead of the client's command.
func (s *Session) ahead(why purpose, sql []byte) {
	if s.savesWarnings() {
		return
	}
	srv := s.srv
	s.own(why, shapeResult, wire.AppendQuery(srv.scratch[:0], srv.caps, sql))
	s.valuesHere = false
	s.foundHere = s.foundHere && (why == forSettings || why == forClientTrackers || why == forOwnTrackers)
	s.pause()
}

// preparedValue notes that such a statement has had its effect.
func (s *Session) preparedValue(x *exchange) {
	switch x.why {
	case forSetLastID:
		s.srv.lastID, s.srv.idChanged = s.lastID, false
		s.srv.idSame = false
	case forDiagnostics:
		s.srv.emptyList = true
	}
}

// askBeforeRelease asks for what the session has to know, and nobody can tell when
// the connection is another's. It tells whether it does.
func (s *Session) askBeforeRelease() bool {
	srv := s.srv
	switch {
	case s.pins&session.PinDiagnostics != 0 || srv.unsure:
		s.askWarnings()
		return true
	case s.pins&session.PinFoundRows != 0:
		s.own(forFoundRows, shapeResult, wire.AppendQuery(srv.scratch[:0], srv.caps, "SELECT FOUND_ROWS() LIMIT 1"))
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
	s.valuesHere, s.foundHere = false, false
	return true
}

// askLastID asks for the last insert id before the connection is given back. What
// OK packets say is not always the same: they tell of an explicit value too.
func (s *Session) askLastID() {
	srv := s.srv
	s.own(forLastID, shapeResult, wire.AppendQuery(srv.scratch[:0], srv.caps, "SELECT LAST_INSERT_ID() LIMIT 1"))
}

// gotLastID ends that.
func (s *Session) gotLastID(x *exchange) {
	srv := s.srv
	switch {
	case x.failed && x.code == wire.CodeQueryInterrupted:
		s.settle() // it is asked again; somebody has killed a query of the client's, and was late
		return
	case x.failed || !x.valueSet:
		srv.doubt, s.idLost = true, true
	case x.value == srv.lastID && !srv.idSame:
		// It is that of an earlier borrower: the statement had explicit values.
	default:
		s.lastID, srv.lastID, s.idLost = x.value, x.value, false
	}
	srv.idChanged, srv.idSame = false, false
	s.settle()
}
