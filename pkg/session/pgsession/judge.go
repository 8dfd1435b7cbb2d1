// SPDX-License-Identifier: Apache-2.0

package pgsession

import (
	"strings"

	"github.com/rdsproxy/rdsproxy/pkg/session"
	"github.com/rdsproxy/rdsproxy/pkg/sqlscan"
	wire "github.com/rdsproxy/rdsproxy/pkg/wire/postgres"
)

// endEffects end a transaction block, or may.
const endEffects = effectCommits | effectRollsBack | effectObscure

// underWay is what the requests do of which a lost connection has not told the end.
type underWay struct {
	// control is what they do to the transaction.
	control sqlscan.Effects
	// batches counts those whose end the server would tell: should one fail, the next is
	// carried out all the same.
	batches int
	// executes: something is executed, and carriedOut: something was, for good.
	executes, carriedOut bool
	// begins: the first thing to be executed certainly begins a transaction block, or
	// nothing of the batch is carried out.
	begins bool
	// behind: something may be executed behind the end of a transaction block.
	behind bool
	// waits: how many executions are not answered.
	waits int
	// one: they are the parts of one execution, of a ROLLBACK if of any statement.
	one bool
}

// underWay looks at what is owed, and at what was answered of the batch at hand.
func (l *lostRequests) underWay() (u underWay) {
	srv := l.s.srv
	u = underWay{
		control: srv.ran, executes: srv.executed > 0 && !srv.told, begins: srv.ran&effectBegins != 0, behind: srv.ranBehind,
		one: !srv.told,
	}
	likely, last := false, entryKind(0)
	for i := range srv.owed.n {
		e := srv.owed.at(i)
		if e.failed {
			u.one = false
		}
		if e.act == skip || e.failed || e.kind == entryCopyEnd {
			continue
		}
		if e.kind != entryClose { // which never fails
			u.one = u.one && e.kind > last && l.s.ofRollback(e)
			last = e.kind
		}
		switch e.kind {
		case entryQuery, entryFunctionCall, entryExecute:
			u.waits++
			u.behind = u.behind || u.control&endEffects != 0
			if begins := !u.executes && e.control == effectBegins; begins && e.done {
				u.begins = true
			} else if begins {
				likely = true
			}
			u.executes, u.carriedOut = true, u.carriedOut || e.done
		}
		if e.kind == entrySync || e.kind == entryQuery || e.kind == entryFunctionCall {
			u.batches++
		}
		u.control |= e.control
	}
	u.begins = u.begins || likely && u.batches <= 1
	return u
}

// ofRollback tells whether the request is for a statement that rolls back, as far as it
// is for a statement.
func (s *Session) ofRollback(e *entry) bool {
	effects := s.unnamed.effects
	switch {
	case e.kind == entryFunctionCall, e.kind == entryParse && e.op == 0: // the name is taken
		return false
	case e.kind == entryQuery || e.kind > entryBind:
		return true
	case e.prep != nil:
		effects = e.prep.stmt.text.Value().effects
	case !e.stmt.none():
		effects = e.stmt.text.Value().effects
	case !s.unnamed.alive:
		return false
	}
	return effects&controlEffects == effectRollsBack
}

// judge tells what may have become of the requests. It is the same for all, for the
// server may have carried out the last one.
func (l *lostRequests) judge(why *wire.Error) outcome {
	srv, u := l.s.srv, l.underWay()
	l.harmless = !u.executes && !l.open
	ends := u.control & endEffects
	atOnce := u.batches <= 1 && !u.behind
	// What ends a block commits nothing, and nothing comes behind it.
	undoes := ends == 0 || ends == effectRollsBack && atOnce
	l.granted = l.open && u.control == effectRollsBack && atOnce && u.one && u.isOneRollback(srv)
	switch {
	case l.open && undoes, u.begins && ends == 0:
		return outcomeUndone
	case l.open:
		return outcomeUnknown
	case !u.executes:
		return outcomeNothing
	case u.control != 0 || u.batches > 1:
		return outcomeUnknown
	case srv.copyIn:
		return outcomeUndone // it waits for the rest of the data
	case l.endedInOrder(why) && !u.carriedOut:
		return outcomeUndone
	}
	return outcomeUnknown
}

// isOneRollback tells whether nothing but one ROLLBACK is executed.
func (u underWay) isOneRollback(srv *Server) bool {
	executed := srv.executed
	if srv.ran == 0 {
		executed = 0 // that was in the block
	}
	return executed+u.waits == 1
}

// endedInOrder tells whether the server has ended before it could commit. It says
// goodbye where it looks for interrupts (ProcessInterrupts in its source): not from the
// commit on until it has said that all is done, unless it delivers notifications then.
func (l *lostRequests) endedInOrder(why *wire.Error) bool {
	return why != nil && why.Code == wire.CodeAdminShutdown && l.s.pins&(session.PinListen|session.PinUnknownStatement) == 0
}

// grant answers a request of a batch that rolls back, as the server would.
func (l *lostRequests) grant(e *entry) {
	switch e.kind {
	case entryParse:
		l.reply = append(l.reply, fakeParseComplete...)
	case entryBind:
		l.reply = append(l.reply, '2', 0, 0, 0, 4)
	case entryClose:
		l.reply = append(l.reply, fakeCloseComplete...)
	case entryDescribeStatement:
		l.reply = append(l.reply, 't', 0, 0, 0, 6, 0, 0, 'n', 0, 0, 0, 4)
	case entryDescribePortal:
		l.reply = append(l.reply, 'n', 0, 0, 0, 4)
	case entryExecute:
		l.reply = wire.AppendCommandComplete(l.reply, "ROLLBACK")
	case entrySync:
		l.reply = wire.AppendReadyForQuery(l.reply, 'I')
	case entryQuery:
		if !e.done {
			l.reply = wire.AppendCommandComplete(l.reply, "ROLLBACK")
		}
		l.reply = wire.AppendReadyForQuery(l.reply, 'I')
	}
}

// verdict is what a client is told. What it has lost that it had set up itself is
// connection trouble: whoever tries again without setting it up anew, as frameworks
// do after 40001, might write to the wrong place.
func verdict(o outcome, why *wire.Error, lost session.Pins) *wire.Error {
	e := &wire.Error{Severity: wire.SeverityError, Code: wire.CodeSerializationFailure}
	switch o {
	case outcomeNothing:
		e.Message, e.Hint = "the database connection was lost; nothing was changed", "Try it again."
	case outcomeUndone:
		e.Message, e.Hint = "the database connection was lost; the transaction was rolled back", "Try the transaction again."
	default:
		e.Code = wire.CodeStatementCompletionUnknown
		e.Message = "the database connection was lost; it is not known whether the statement was carried out"
		e.Hint = "Look whether it was, before you try it again."
	}
	if lost != 0 {
		if o != outcomeUnknown {
			e.Code = wire.CodeConnectionFailure
		}
		e.Message += "; lost with it: " + strings.ReplaceAll(lost.String(), ",", ", ")
		e.Hint = "Set it up again, or reconnect."
	}
	if why != nil {
		e.Detail = "The database said: " + strings.ToValidUTF8(why.Message[:min(len(why.Message), 500)], "")
	}
	return e
}
