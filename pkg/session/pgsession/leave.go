// SPDX-License-Identifier: Apache-2.0

package pgsession

import (
	"github.com/rdsproxy/rdsproxy/pkg/session"
	wire "github.com/rdsproxy/rdsproxy/pkg/wire/postgres"
)

// BorrowFailed tells a waiting session that it gets no connection.
func (s *Session) BorrowFailed(err *wire.Error) {
	if s.state != waiting {
		return
	}
	s.host.SetTimer(0)
	s.fail(err)
}

// TimeUp is called when the time set by SetTimer is over.
func (s *Session) TimeUp() {
	switch s.state {
	case waiting:
		s.host.CancelBorrow()
		s.host.Note(session.EventBorrowTimeout, "")
		s.fail(borrowTimeoutError)
	case leaving:
		s.host.Note(session.EventCleanupFailed, "time-out")
		s.abandon()
	}
}

// Cancel carries out a cancel request of the client. One that comes while
// nothing is under way has no effect, as with PostgreSQL itself.
func (s *Session) Cancel() {
	switch {
	case s.state == waiting && s.welcomed:
		s.host.CancelBorrow()
		s.host.SetTimer(0)
		s.fail(cancelledError)
	case s.state == replaying && s.taking && s.welcomed:
		s.cancelled = true
	case s.state == active && !s.srv.owed.empty(), s.state == relaying:
		s.srv.cancels++
		s.host.CancelQuery()
	}
}

// CancelDone tells that one cancel request to srv can no longer reach anything.
func (s *Session) CancelDone(srv *Server) {
	srv.cancels--
	if s.srv == srv {
		s.settle()
	}
}

// Drain asks the session to end as soon as its transaction has.
func (s *Session) Drain() {
	if s.state == closed || s.state == leaving {
		return
	}
	s.draining = true
	switch {
	case s.state == relaying:
		s.terminate(drainError)
	case s.atRest():
		s.terminate(drainError)
	default:
		s.settle()
	}
}

// atRest tells whether the client waits for nothing, and has sent nothing that is not
// answered.
func (s *Session) atRest() bool { return s.state == idle && s.body.left == 0 && !s.skipToSync }

// End ends the session at once, telling the client why.
func (s *Session) End(why *wire.Error) { s.terminate(why) }

// ClientGone is called when the client's connection was closed by the client
// or broke. What it had running is cancelled.
func (s *Session) ClientGone() {
	if s.state == closed || s.state == leaving {
		return
	}
	s.leave()
}

// leave ends the client's part of the session. The database connection, if
// there is one, is made fit for the next borrower, or thrown away.
func (s *Session) leave() {
	s.host.SetTimer(0)
	s.scanner = nil
	switch s.state {
	case waiting:
		s.host.CancelBorrow()
		s.state = closed
		return
	case idle:
		s.state = closed
		return
	case relaying:
		s.state = leaving
		s.abandon()
		return
	}
	srv := s.srv
	halfSent := s.body.left > 0 && (s.body.to == bodyForward || s.body.to == bodyScan)
	s.state = leaving
	s.rename(nil)
	s.throttled, s.blocked = false, false
	if !srv.owed.empty() && !s.terminated {
		srv.cancels++
		s.host.CancelQuery()
	}
	// Without the client's Sync, what a batch has executed is not committed. A
	// Sync of the proxy would do that, unless an error has ended the batch.
	uncommitted := srv.unsynced && !s.skipToSync
	if halfSent || uncommitted || srv.copyIn || srv.stray > 0 || srv.doubt || s.pins&lasting != 0 {
		s.abandon()
		return
	}
	if srv.unsynced {
		s.oweReady(entrySync, skip)
		s.host.ToServer(syncMessage)
	}
	if s.cleanupTimeout > 0 && !s.terminated {
		s.host.SetTimer(s.cleanupTimeout)
	}
	s.settle()
}

// clean makes the connection of a client that has left fit for others: no
// transaction, no state. It runs when the server owes nothing.
func (s *Session) clean() {
	srv := s.srv
	if srv.cancels > 0 {
		return
	}
	switch {
	case s.resetting || srv.doubt:
	case srv.tx != 'I':
		s.reset("ROLLBACK")
		return
	case s.pins&(discardable|session.PinClientEncoding) != 0 || s.changed():
		if srv.InitQuery {
			srv.doubt = true
			break
		}
		s.resetting = true
		srv.prepared.clear()
		s.reset("DISCARD ALL")
		return
	}
	s.host.SetTimer(0)
	s.state = closed
	s.release(!srv.doubt && srv.tx == 'I')
}

func (s *Session) reset(sql string) {
	s.oweReady(entryQuery, skip).op = opReset
	s.srv.setUnnamed(0)
	s.host.ToServer(wire.AppendQuery(nil, sql))
	if s.cleanupTimeout > 0 {
		s.host.SetTimer(s.cleanupTimeout)
	}
}

// cleaned ends one step of the clean-up.
func (s *Session) cleaned(failed bool) {
	if failed || s.srv.tx != 'I' {
		s.host.Note(session.EventCleanupFailed, "refused")
		s.srv.doubt = true
	} else if s.resetting {
		s.srv.applied, s.srv.reset = nil, resetState{}
	}
	s.settle()
}
