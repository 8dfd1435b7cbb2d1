// SPDX-License-Identifier: Apache-2.0

package mysession

import (
	"strings"

	"github.com/rdsproxy/rdsproxy/pkg/session"
	"github.com/rdsproxy/rdsproxy/pkg/sqlscan/myscan"
	wire "github.com/rdsproxy/rdsproxy/pkg/wire/mysql"
)

// A client keeps its connection when the database's ends, as far as it can be told
// what has become of its command. It is told the truth: that everything was undone,
// by the error that drivers and frameworks answer with another try (1213, SQLSTATE
// 40001), or that nobody knows (40003).

// codeRolledBack is ER_LOCK_DEADLOCK.
const codeRolledBack = 1213

const (
	stateRolledBack = "40001"
	stateUnknown    = "40003" // statement completion unknown

	stateConnectionFailure = "08S01"
)

// outcome is what a command may have done when its reply does not come.
type outcome uint8

const (
	// outcomeUnknown: it may have committed something.
	outcomeUnknown outcome = iota
	// outcomeUndone: what it has done is a part of the transaction, if there is one.
	outcomeUndone
	// outcomeNothing: it changes nothing.
	outcomeNothing
)

// committing are effects of texts that commit, or may commit, by themselves.
const committing = myscan.EffectDefinition | myscan.EffectCall | myscan.EffectUnknown | myscan.EffectSet | myscan.EffectXA |
	myscan.EffectExecute | myscan.EffectExecutableComment | myscan.EffectTableLock | myscan.EffectGlobalLock

// outcomeOf tells it of a text.
func outcomeOf(res *myscan.Result) outcome {
	switch {
	case res.Statements != 1, res.TransactionControl, res.Effects&committing != 0:
		return outcomeUnknown
	case res.ReadOnly:
		return outcomeNothing
	}
	return outcomeUndone
}

// outcomeOfCommand tells it of a command without a text.
func outcomeOfCommand(c wire.Command) outcome {
	switch c {
	case wire.ComPing, wire.ComStatistics, wire.ComInitDB, wire.ComFieldList, wire.ComProcessInfo, wire.ComStmtPrepare,
		wire.ComStmtReset, wire.ComStmtFetch, wire.ComSetOption, wire.ComResetConnection:
		return outcomeNothing
	}
	return outcomeUnknown
}

// maxRetries bounds how often a command that was not sent is taken to another
// connection because the one before has ended.
const maxRetries = 5

// gone goes on after the database connection has ended. release tells that the host
// has it still. undone tells that the server has refused the command at hand, or
// broken it off, and so undone.
func (s *Session) gone(detail string, release, undone bool) {
	if s.state == leaving || s.state == closed {
		if !release {
			s.srv = nil
		}
		s.abandon()
		return
	}
	s.host.Note(session.EventServerLost, detail)
	switch {
	case s.state == active && s.nothingSent() && s.retries < maxRetries:
		s.retries++
		s.detach(release)
		s.again()
		return
	case s.state != active || !s.welcomed || s.changing != nil:
	case s.beginsAgain(release):
		return
	case s.survives(release, undone):
		return
	}
	s.say(lostError)
	if !release {
		s.srv = nil
	}
	s.abandon()
}

// again looks for another connection for what is at hand.
func (s *Session) again() {
	if s.welcomed {
		s.resume()
		return
	}
	s.acquire()
}

// detach gives up the connection, and what the client had there.
func (s *Session) detach(release bool) {
	s.stopLingering()
	s.idLost = s.idLost || s.srv.idChanged
	s.srv, s.state = nil, idle
	s.taking, s.cancelled, s.preparing, s.valuesHere, s.foundHere = false, false, false, false, false
	for id, st := range s.statements {
		switch {
		case st.only:
			delete(s.statements, id)
			s.kept -= st.size()
		default:
			st.own, st.cursor, st.long = nil, false, false
		}
	}
	if release {
		s.host.Release(false)
	}
	s.unpin(s.pins)
}

// survives tells the client what has become of its command, and goes on without the
// connection. It gives false if the client cannot be told.
func (s *Session) survives(release, undone bool) bool {
	x := s.srv.x
	transaction := s.srv.inTransaction() || s.srv.unsure
	implicit := s.restStatus()&wire.StatusAutocommit == 0 // the first statement begins one
	lost := s.lostPins()
	var err *wire.Error
	switch {
	case x.stage == stageFile:
		// The server has not got all of it, and cannot have ended the statement.
		err = verdict(x.outcome, true, lost)
		x.file.verdict = err
		s.orphan = &x.file
	case !s.srv.idle() && x.why == forClient:
		// Behind an error it is not certain that there is a transaction.
		certain := s.srv.inTransaction() && !s.srv.unsure || transaction && x.outcome == outcomeNothing
		err = verdict(x.outcome, certain || implicit || undone, lost)
	case transaction:
		err = verdict(outcomeUndone, true, lost)
	case lost != 0:
		err = verdict(outcomeNothing, false, lost)
	}
	switch {
	case s.body.open() && s.srv.idle():
		s.losesSilent(err)
	case s.body.open():
		// The rest of the command is still to come; the answer comes behind it.
		s.body.to = toFailure
		s.failure = err
	case s.orphan != nil:
		// The answer comes behind the file.
	case s.srv.idle() || x.why != forClient:
		s.failure = err // for the next command, or the one that waits
	default:
		seq, ok := s.errorSeq()
		if !ok {
			return false // in the middle of a packet
		}
		s.host.ToClient(wire.AppendError(nil, seq, s.caps, err))
	}
	s.loseWarnings(&x)
	s.detach(release)
	if s.draining && s.Idle() {
		s.terminate(shutdownError)
		return true
	}
	s.resume()
	return true
}

// lostPins is what is lost with the connection that the client would miss.
func (s *Session) lostPins() session.Pins {
	lost := s.pins &^ forgettable
	if s.srv.askAll || s.srv.askVariables {
		lost |= session.PinSessionVariable // nobody knows what it has set
	}
	return lost
}

// losesSilent goes on in the middle of a command that no server has to answer: one
// without a reply, whose rest is dropped, or one that the session itself refuses.
func (s *Session) losesSilent(err *wire.Error) {
	if s.body.to != toFailure {
		s.body.to = toNowhere
	}
	if err != nil {
		s.failure = err
	}
}

// forgettable are pins whose state nobody misses, or whose loss shows by itself: a
// fetch from a cursor that is not open is refused.
const forgettable = session.PinDiagnostics | session.PinFoundRows | session.PinOpenCursor

// verdict is what a client is told. undone tells that what was done is undone. What it
// has lost that it had set up itself is connection trouble: whoever tries again
// without setting it up anew, as frameworks do after 40001, might do so without the
// lock that was lost, or in another table.
func verdict(o outcome, undone bool, lost session.Pins) *wire.Error {
	e := &wire.Error{Code: codeRolledBack, State: stateRolledBack}
	switch {
	case o == outcomeNothing && !undone:
		e.Message = "The database connection was lost; nothing was changed. Try it again"
	case o != outcomeUnknown && undone:
		e.Message = "The database connection was lost; the transaction was rolled back. Try restarting it"
	default:
		e.Code, e.State = wire.CodeUnknown, stateUnknown
		e.Message = "The database connection was lost; it is not known whether the statement was carried out"
	}
	if lost != 0 {
		if e.Code == codeRolledBack && lost != session.PinLongData {
			e.Code, e.State = wire.CodeUnknown, stateConnectionFailure
		}
		e.Message += ". Lost with it: " + strings.ReplaceAll(lost.String(), ",", ", ")
	}
	return e
}
