// SPDX-License-Identifier: Apache-2.0

package mysession

import (
	"github.com/rdsproxy/rdsproxy/pkg/session"
	wire "github.com/rdsproxy/rdsproxy/pkg/wire/mysql"
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
	case suspended:
		s.endSuspense()
	case active:
		if s.lingering {
			s.lingering, s.hurried = false, true
			s.settle()
		}
	case leaving:
		s.host.Note(session.EventCleanupFailed, "time-out")
		s.abandon()
	}
}

// Cancel ends the command that the session has under way, for a KILL QUERY of
// somebody else. One that comes while there is none has no effect.
func (s *Session) Cancel() {
	switch {
	case s.state == waiting && s.welcomed:
		s.host.CancelBorrow()
		s.host.SetTimer(0)
		s.fail(interrupted)
	case s.state == suspended:
		s.host.SetTimer(0)
		if s.failure != nil {
			s.endSuspense() // it is told of the loss, which is more
			return
		}
		s.fail(interrupted)
	case s.state != active || !s.welcomed:
	case s.taking:
		s.cancelled = true
	case s.srv.idle():
	case s.srv.x.why == forClient:
		s.srv.cancels++
		s.host.CancelQuery()
	case s.srv.x.why.ahead():
		s.cancelled = true // the client's command will not be sent
	}
}

// CancelDone tells that one request to cancel what runs on srv can no longer reach
// anything.
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
	if s.Idle() {
		s.terminate(shutdownError)
		return
	}
	s.settle()
}

// End ends the session at once, telling the client why.
func (s *Session) End(why *wire.Error) { s.terminate(why) }

// ClientGone is called when the client's connection was closed by the client or
// broke. What it had running is cancelled.
func (s *Session) ClientGone() {
	if s.state == closed || s.state == leaving {
		return
	}
	s.leave()
}

// forget drops what a session keeps for its client only.
func (s *Session) forget() {
	s.statements, s.kept = nil, 0
	s.failure, s.warnings, s.older, s.orphan, s.held = nil, nil, nil, nil, nil
}

// leave ends the client's part of the session. The database connection, if there
// is one, is made fit for the next borrower, or thrown away.
func (s *Session) leave() {
	s.host.SetTimer(0)
	s.lingering = false
	s.forget()
	switch s.state {
	case waiting:
		s.host.CancelBorrow()
		s.state = closed
		return
	case idle, suspended:
		s.state = closed
		return
	}
	srv := s.srv
	halfSent := s.body.open() && (s.body.to == toServer || s.body.to == toScan)
	file := srv.x.stage == stageFile
	if st := srv.x.stmt; !srv.idle() && st != nil && st.own != nil {
		s.pin(session.PinOpenCursor) // or it will have one
	}
	s.state = leaving
	s.body = body{}
	if halfSent || file || srv.doubt || s.pins&lasting != 0 {
		s.abandon()
		return
	}
	if !srv.idle() && srv.x.why == forClient {
		srv.cancels++
		s.host.CancelQuery()
	}
	if s.cleanupTimeout > 0 {
		s.host.SetTimer(s.cleanupTimeout)
	}
	s.settle()
}

// cleaning is how far the clean-up of a connection has come.
type cleaning uint8

const (
	cleanNot cleaning = iota
	// cleanReset: COM_RESET_CONNECTION was sent, cleanSetUp what sets a connection
	// up.
	cleanReset
	cleanSetUp
	cleanDone
)

// clean makes the connection of a client that has left fit for others: no
// transaction, no state. It runs when the server waits for a command.
func (s *Session) clean() {
	srv := s.srv
	if srv.cancels > 0 {
		return
	}
	switch {
	case srv.doubt || s.cleaning == cleanDone:
	case (srv.inTransaction() || srv.unsure) && s.pins&^momentary == 0:
		s.own(forRollback, shapeOK, wire.AppendQuery(srv.scratch[:0], srv.caps, "ROLLBACK"))
		return
	case s.pins&^momentary != 0 || srv.askVariables || srv.askAll || srv.foreign:
		if !srv.resettable() {
			srv.doubt = true
			break
		}
		s.cleaning = cleanReset
		s.own(forReset, shapeOK, wire.AppendCommand(srv.scratch[:0], wire.ComResetConnection, ""))
		return
	}
	if srv.idChanged && !srv.doubt {
		s.askLastID() // or the next borrower might take it for its own
		return
	}
	s.host.SetTimer(0)
	s.state = closed
	s.release(!srv.doubt)
}

// cleaned ends one step of the clean-up.
func (s *Session) cleaned(x *exchange) {
	srv := s.srv
	switch {
	case x.why == forSettings, x.why == forSchema, x.why == forCollation, x.why == forPrepare:
		// It was for the client.
		srv.doubt = srv.doubt || x.failed
		if !x.failed && x.why == forPrepare {
			srv.prepared.add(x.pr)
		} else if !x.failed {
			s.applied(x)
		}
	case x.failed:
		s.host.Note(session.EventCleanupFailed, "refused")
		srv.doubt = true
	case x.why == forOption:
		srv.multi = !srv.multi
	case x.why == forSetLastID:
		s.preparedValue(x)
	case x.why == forLastID:
		srv.doubt = srv.doubt || !x.valueSet
		srv.lastID, srv.idChanged, srv.idSame = x.value, false, false
	case x.why == forClientTrackers:
		srv.foreign = true
	case x.why == forRollback:
		srv.doubt = srv.doubt || srv.inTransaction()
	case s.cleaning != cleanNot:
		s.resetStep(x)
		return
	}
	s.settle()
}

// own sends a command of the proxy's own.
func (s *Session) own(why purpose, sh shape, msg []byte) *exchange {
	s.srv.scratch = msg[:0]
	x := s.srv.begin(why, sh, byte(wire.Packets(len(msg)-wire.HeaderLen)))
	s.host.ToServer(msg)
	return x
}
