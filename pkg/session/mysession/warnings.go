// SPDX-License-Identifier: Apache-2.0

package mysession

import (
	"bytes"

	"github.com/rdsproxy/rdsproxy/pkg/session"
	"github.com/rdsproxy/rdsproxy/pkg/sqlscan/myscan"
	wire "github.com/rdsproxy/rdsproxy/pkg/wire/mysql"
)

// This file is about the list of warnings and errors that a statement leaves with its
// connection. A client that asks for it mostly does so at once, so it keeps the
// connection for a moment. Then, or as soon as others need the connection, the list is
// asked for and kept here, and what the client asks for later is answered from it.

// keepWarnings is how many bytes of a list are kept.
const keepWarnings = 64 << 10

// warnings is such a list: what the server has answered to SHOW WARNINGS.
type warnings struct {
	// columns and rows are packets, with their headers.
	columns, rows []byte
	// numRows and numErrors are how many rows there are, and how many of them are
	// errors; total is @@warning_count, which goes beyond max_error_count.
	numRows, numErrors, total int
	// failure tells why it cannot be shown, nil if it can.
	failure *wire.Error
}

var (
	warningsLost = &warnings{failure: wire.NewError(codeNotSupported,
		"The warnings of the statement before were lost with its database connection")}
	warningsCut = wire.NewError(codeNotSupported,
		"The warnings of the statement before were too long for the proxy to keep; ask for them right behind it")
	warningsElsewhere = wire.NewError(codeNotSupported,
		"The warnings of the statement before were left on another database connection; ask for them right behind it, "+
			"or with SHOW WARNINGS alone. From now on the proxy keeps the connection for that")
)

// failed is the error that a statement ended with.
type failed struct {
	code  uint16
	state [5]byte
}

// keepPacket keeps a packet of the head of an answer.
func (x *exchange) keepPacket(msg []byte) {
	if x.why != forWarnings {
		return
	}
	if x.list == nil {
		x.list = &warnings{}
	}
	x.list.columns = append(x.list.columns, msg...)
}

// add keeps a row.
func (w *warnings) add(msg []byte, row wire.TextRow) {
	w.numRows++
	if level, _ := row.Next(); string(level) == "Error" {
		w.numErrors++
	}
	if len(w.rows)+len(msg) > keepWarnings {
		w.failure = warningsCut
	}
	if w.failure == nil {
		w.rows = append(w.rows, msg...)
	}
}

// count is @@warning_count or @@error_count.
func (w *warnings) count(errors bool) int {
	if errors {
		return w.numErrors
	}
	return w.total
}

// fate is what a statement does to the list that was there before it.
type fate uint8

const (
	listUnclear fate = iota
	listGone
	listKept
	listShown // by a statement that leaves all values of the one before
)

// hasList tells whether the client's statement before has left anything.
func (s *Session) hasList() bool { return s.warnings != nil || s.pins&session.PinDiagnostics != 0 }

// fateOfText tells it of a text. MySQL clears the list with every statement, MariaDB
// with those that use a table.
func (s *Session) fateOfText(res *myscan.Result, sql []byte) fate {
	switch {
	case res.Effects&myscan.EffectDiagnostics != 0 && looks(res):
		if res.Statements == 1 {
			return listShown
		}
		return listUnclear
	case !s.srv.mariaDB:
		return listGone
	case !s.hasList() || res.Statements != 1:
		return listUnclear
	}
	switch res.First {
	case myscan.CommandInsert, myscan.CommandReplace, myscan.CommandUpdate, myscan.CommandDelete:
		return listGone
	case myscan.CommandSelect, myscan.CommandValues, myscan.CommandSet, myscan.CommandDo:
		if !bytes.Contains(bytes.ToLower(sql), []byte("from")) {
			return listKept
		}
	case myscan.CommandBegin, myscan.CommandCommit, myscan.CommandRollback, myscan.CommandSavepoint, myscan.CommandRelease,
		myscan.CommandUse, myscan.CommandUnlock, myscan.CommandPrepare, myscan.CommandDeallocate:
		return listKept
	}
	return listUnclear
}

// looks tells of a text that has to do with the list whether that is all it does.
func looks(res *myscan.Result) bool {
	return res.First == myscan.CommandShow || res.First == myscan.CommandGet || res.First == myscan.CommandSignal
}

// fateOf tells it of a prepared statement.
func (s *Session) fateOf(st *statement) fate {
	var sql []byte
	if s.srv.mariaDB && s.hasList() && !st.only {
		sql = []byte(st.text.String())
	}
	return s.fateOfText(&st.res, sql)
}

// noteWarnings notes what has become of the list, at the end of a command of the
// client's.
func (s *Session) noteWarnings(x *exchange) {
	srv := s.srv
	becomes := x.fate
	switch x.command {
	case wire.ComQuery, wire.ComStmtExecute, wire.ComStmtBulkExecute, wire.ComStmtPrepare:
	default:
		becomes = listKept
	}
	if becomes != listKept {
		s.listRead = becomes == listShown
	}
	switch {
	case x.failed || x.warnings:
		s.listRead = s.listRead && !x.failed
		switch {
		case becomes != listShown && (becomes != listKept || srv.mariaDB):
			s.older = nil
		case s.warnings != nil:
			s.older = s.warnings // what comes is added to that
		}
		s.warnings = nil
		if becomes != listShown || x.failed {
			s.warned = x.warned
		}
		srv.emptyList, srv.ownList = false, true
		s.pin(session.PinDiagnostics)
	case becomes == listGone:
		s.warnings, s.older = nil, nil
		srv.emptyList, srv.ownList = true, true
		s.unpin(session.PinDiagnostics)
	case becomes == listUnclear:
		// Whether it is there is asked before the connection is given up.
		s.warnings, s.older = nil, nil
		srv.ownList = srv.ownList || !srv.mariaDB
	}
}

// beforeOther is called when a statement is to be sent. MySQL clears the list, unless the
// statement looks at it.
func (s *Session) beforeOther(effects myscan.Effects) {
	if !s.srv.mariaDB && effects&myscan.EffectDiagnostics == 0 && s.pins&session.PinDiagnostics != 0 {
		s.older = nil
		s.unpin(session.PinDiagnostics)
	}
}

// clearWarnings forgets the list, which its connection may still have.
func (s *Session) clearWarnings() {
	s.warnings, s.older = nil, nil
	if s.srv != nil {
		s.srv.ownList = false
	}
	s.unpin(session.PinDiagnostics)
}

// ownDiagnostics makes sure that a look at the diagnostics does not show those of
// somebody else's statement. It gives false while that is under way.
func (s *Session) ownDiagnostics() bool {
	if s.srv.emptyList || s.srv.ownList {
		return true
	}
	// Of all servers, only a statement with a table clears them on each.
	s.ahead(forDiagnostics, []byte("SELECT 1 FROM (SELECT 1) AS t"))
	return false
}

// askWarnings asks for the list. The number of rows found stays as it is.
func (s *Session) askWarnings() {
	srv := s.srv
	s.own(forWarnings, shapeResult, wire.AppendQuery(srv.scratch[:0], srv.caps, "SHOW WARNINGS"))
	s.valuesHere = false
}

// savesWarnings asks for a list that is still with the connection, where it would not
// survive a statement of the proxy's own. It gives true while that is under way; the
// client's command comes again then.
func (s *Session) savesWarnings() bool {
	if s.pins&session.PinDiagnostics == 0 {
		return false
	}
	s.askWarnings()
	s.pause()
	return true
}

// addsToOwn is the same for a command without a text, whose error MySQL adds to the list
// that is there.
func (s *Session) addsToOwn(sh shape) bool {
	return s.srv.mariaDB || sh == shapeText || s.ownDiagnostics()
}

// gotWarnings takes the list.
func (s *Session) gotWarnings(x *exchange) {
	srv := s.srv
	list := x.list
	switch {
	case x.failed && x.code == wire.CodeQueryInterrupted:
		s.warnings = warningsLost // somebody has killed a query of the client's, and was late
	case x.failed || list == nil:
		srv.doubt = true
		s.warnings = warningsLost
	case list.numRows == 0:
		s.warnings = nil
		srv.emptyList = true
	default:
		list.total = max(list.numRows, int(s.warned))
		s.warnings = list.behind(s.older)
	}
	s.older = nil
	s.unpin(session.PinDiagnostics)
	s.settle()
}

// behind gives the list with its rows behind those of an older one.
func (w *warnings) behind(older *warnings) *warnings {
	switch {
	case older == nil:
	case older.failure != nil:
		return older
	default:
		w.numRows += older.numRows
		w.numErrors += older.numErrors
		w.total += older.total
		if w.rows = append(bytes.Clone(older.rows), w.rows...); len(w.rows) > keepWarnings {
			w.failure = warningsCut
		}
	}
	return w
}

// loseWarnings is called when the connection has ended, perhaps in the middle of x.
func (s *Session) loseWarnings(x *exchange) {
	switch {
	case x.stage != stageNone && x.why == forClient:
		s.warnings, s.older = nil, nil
	case s.pins&session.PinDiagnostics != 0:
		s.warnings = warningsLost
	}
}

// gotFoundRows takes the number of rows found.
func (s *Session) gotFoundRows(x *exchange) {
	srv := s.srv
	if x.failed && x.code == wire.CodeQueryInterrupted {
		s.settle() // it is asked again
		return
	}
	srv.doubt = srv.doubt || x.failed || !x.valueSet
	s.foundRows = x.value
	s.unpin(session.PinFoundRows)
	s.settle()
}

// keptWarnings is how many warnings a command that leaves them tells of, beyond those
// that its connection knows. MariaDB tells of none, and MySQL of none that were looked at.
func (s *Session) keptWarnings() uint16 {
	list := s.warnings
	if list == nil {
		list = s.older
	}
	if list == nil || s.listRead || s.shared.mariaDB.Load() {
		return 0
	}
	return uint16(min(list.total, 1<<16-1))
}

// tellsKept tells what the reply to such a command has to tell of warnings beyond those
// that its connection knows, and whether that makes a difference. It takes those of
// somebody else out of the reply.
func (s *Session) tellsKept(x *exchange, ok *wire.OK) (kept uint16, other bool) {
	switch x.command {
	case wire.ComPing, wire.ComInitDB, wire.ComSetOption:
	default:
		return 0, false
	}
	before := ok.Warnings
	if !s.srv.ownList {
		ok.Warnings = 0
	}
	kept = s.keptWarnings()
	return kept, ok.Warnings+kept != before
}
