// SPDX-License-Identifier: Apache-2.0

package pgsession

import (
	"bytes"
	"encoding/binary"
	"strconv"

	"github.com/rdsproxy/rdsproxy/pkg/session"
	wire "github.com/rdsproxy/rdsproxy/pkg/wire/postgres"
)

var (
	drainError = wire.Fatal(wire.CodeAdminShutdown, "terminating connection due to administrator command")
	// IdleTimeoutError ends a session that was idle for too long.
	IdleTimeoutError = wire.Fatal(wire.CodeIdleSessionTimeout, "terminating connection due to idle-session timeout")
	// connectionLostError answers a request that had not been sent yet.
	connectionLostError = &wire.Error{
		Severity: wire.SeverityError, Code: wire.CodeConnectionFailure, Message: "the database connection was closed",
	}
	cancelledError = &wire.Error{
		Severity: wire.SeverityError, Code: wire.CodeQueryCanceled, Message: "canceling statement due to user request",
	}
	notPreparedError = wire.Fatal(wire.CodeInvalidStatementName,
		"a prepared statement could not be prepared again for EXECUTE within a pipeline")
	tooManyError       = wire.Fatal(wire.CodeOutOfMemory, "too many prepared statements")
	borrowTimeoutError = &wire.Error{
		Severity: wire.SeverityError, Code: wire.CodeTooManyConnections,
		Message: "Timed-out waiting to acquire database connection.",
		Hint:    "All database connections are in use by other sessions, or the database cannot be reached.",
	}
)

// serverError handles ErrorResponse, of which p has at least holdReply bytes.
func (s *Session) serverError(p []byte, total int) int {
	srv := s.srv
	e, _ := wire.ParseErrorResponse(p[headerSize:min(total, holdReply)])
	if e.IsFatal() {
		s.lose(e)
		return 0
	}
	if e.Code == wire.CodeReadOnlyTransaction {
		s.host.Note(session.EventReadOnly, "")
	}
	head := srv.owed.front()
	if head == nil {
		return s.unexpected('E')
	}
	srv.copyFails()
	if head.prep != nil && !head.told {
		s.statementError(e.Code, head)
	}
	act, op, name := head.act, head.op, head.name
	switch head.kind {
	case entryQuery, entryFunctionCall, entrySync:
		// ReadyForQuery follows; nothing is ignored.
		head.failed = true
		if srv.unnamedSince == srv.owed.gone+1 {
			srv.unnamed, srv.unnamedSince = unnamedUnknown, 0 // it may have failed early
		}
		if head.op == opForgetAll || head.op == opForget {
			s.undo(head)
		}
		head.resets = false
		srv.resetFails()
		if head.told {
			act = skip
		}
		if head.kind == entryQuery && !head.begun && notUnderstood(e.Code, p[headerSize:min(total, holdReply)]) {
			s.retract(head.fresh, 1)
			head.control = 0
		}
		if e.Code == wire.CodeInFailedTransaction {
			head.control = 0 // it has not ended the block either
		}
	default:
		if !s.extendedError(head) {
			srv.doubt = true
			s.terminate(notPreparedError)
			return 0
		}
		if act == skip {
			// What failed was sent to prepare the client's next request, so the
			// error is that request's.
			act = forward
		}
	}
	if op == opReplay {
		s.failure = replayFailure(e)
	}
	if s.state != active {
		act = skip
	}
	n := s.streamError(p, total, act, name)
	s.advance()
	return n
}

// notUnderstood tells whether an error is the parser's about the client's text,
// of which nothing was carried out then: it has a position there (field P), and
// none within a text that the server runs for itself (q, W).
func notUnderstood(code string, body []byte) bool {
	if code != wire.CodeSyntaxError {
		return false
	}
	positioned := false
	for len(body) > 0 && body[0] != 0 {
		switch body[0] {
		case 'P':
			positioned = true
		case 'q', 'W':
			return false
		}
		_, rest, ok := cstring(body[1:])
		if !ok {
			return false
		}
		body = rest
	}
	return positioned
}

// statementError draws conclusions from an error in the use of a prepared
// statement.
func (s *Session) statementError(code string, e *entry) {
	switch {
	case e.kind == entryParse || e.kind == entryClose:
	case code == wire.CodeInvalidStatementName:
		// Somebody has deallocated it behind the proxy's back.
		s.srv.prepared.remove(e.prep)
		s.srv.doubt = true
	case code == wire.CodeFeatureNotSupported:
		// "cached plan must not change result type": definitions have changed
		// unseen. Whoever prepares the statement anew must get a new one.
		s.shared.catalog.Add(1)
	}
}

// streamError passes the error on with the client's name of a statement in
// place of the proxy's own.
func (s *Session) streamError(p []byte, total int, act action, name string) int {
	at := -1
	if name != "" && len(p) >= total && act == forward {
		at = bytes.Index(p[:total], []byte(serverNamePrefix))
	}
	if at < 0 {
		return s.stream(p, total, act)
	}
	end := at + len(serverNamePrefix)
	for end < total && p[end] >= '0' && p[end] <= '9' {
		end++
	}
	msg := append([]byte(nil), p[:at]...)
	msg = append(append(msg, name...), p[end:total]...)
	binary.BigEndian.PutUint32(msg[1:], uint32(len(msg)-1))
	s.host.ToClient(msg)
	return total
}

// extendedError takes back everything up to the next Sync, which the server
// ignores after an error in the extended protocol. It gives false if what failed
// was the proxy's own, and lets the server ignore a query of the client's that it
// would have carried out otherwise.
func (s *Session) extendedError(head *entry) bool {
	srv := s.srv
	head.failed = true
	if head.forQuery {
		return false
	}
	srv.told = true
	n, found := srv.owed.untilSync(0)
	if srv.unnamedSince > srv.owed.gone && srv.unnamedSince <= srv.owed.gone+stamp(n) {
		srv.unnamed, srv.unnamedSince = unnamedUnknown, 0
	}
	for i := n - 1; i >= 0; i-- {
		s.undo(srv.owed.at(i))
		s.undoUnnamed(i, n, i > 0)
	}
	if found && n+1 < srv.owed.n && srv.owed.at(n).act == skip {
		// The query that the proxy prepared it for comes behind its Sync.
		srv.owed.at(n + 1).told = true
	}
	var fresh session.Pins
	for range n {
		fresh |= srv.owed.front().fresh
		srv.owed.pop()
	}
	srv.resetFails()
	s.retract(fresh, 0) // none of it was carried out
	srv.releases, srv.executed = 0, 2
	if !found {
		srv.unsynced = true
		s.skipToSync = true
	}
	return true
}

// undo takes back what a request that failed or was ignored had assumed.
func (s *Session) undo(e *entry) {
	srv := s.srv
	switch e.op {
	case opParse:
		e.prep.refused = true
		srv.prepared.remove(e.prep)
		s.undefine(e)
	case opDefine:
		s.undefine(e)
	case opForget:
		if s.statements[e.name].none() {
			s.define(e.name, e.stmt)
		}
		if e.prep != nil && srv.prepared.get(e.prep.stmt) == nil {
			srv.prepared.restore(e.prep)
		}
	case opEvict:
		if srv.prepared.get(e.prep.stmt) == nil {
			srv.prepared.restore(e.prep)
		} else {
			srv.doubt = true
		}
	case opForgetAll:
		if !e.confirmed {
			s.rename(e.saved.names)
			if !srv.prepared.putBack(e.saved.prepared) {
				srv.doubt = true
			}
		}
	}
}

func (s *Session) undefine(e *entry) {
	if e.name != "" && s.statements[e.name] == e.stmt {
		s.forget(e.name)
	}
}

// ServerGone is called when the session's database connection was closed or
// broke. The host has nothing left to release.
func (s *Session) ServerGone() {
	if s.srv != nil {
		s.lose(nil)
	}
}

// abandon ends the session together with its database connection.
func (s *Session) abandon() {
	leavingAlready := s.state == leaving
	s.state = closed
	s.host.SetTimer(0)
	if s.srv != nil {
		s.srv = nil
		s.host.Release(false)
	}
	if !leavingAlready {
		s.host.CloseClient()
	}
}

// unexpected ends a session whose server sent a reply that nobody asked for.
func (s *Session) unexpected(typ byte) int {
	s.serverFault("unexpected message of type " + strconv.Quote(string(typ)))
	return 0
}

// serverFault ends session and connection: from here on it is not known which
// reply belongs to whom.
func (s *Session) serverFault(what string) {
	s.host.Note(session.EventServerProtocol, what)
	if (s.state == active || s.state == replaying) && !s.midMessage() {
		s.host.ToClient(wire.AppendErrorResponse(nil, wire.Fatal(wire.CodeProtocolViolation,
			"the database broke the protocol: "+what)))
	}
	s.abandon()
}

// protocolError ends a session whose client broke the protocol.
func (s *Session) protocolError(what string) {
	s.host.Note(session.EventClientProtocol, what)
	s.terminate(wire.Fatal(wire.CodeProtocolViolation, what))
}

// terminate tells the client why and ends the session in order.
func (s *Session) terminate(why *wire.Error) {
	if s.state == leaving || s.state == closed {
		return
	}
	if !s.midMessage() {
		s.host.ToClient(wire.AppendErrorResponse(nil, why))
	}
	s.host.CloseClient()
	s.leave()
}

// midMessage tells whether the client has got a part of a message only, behind
// which nothing else can be said.
func (s *Session) midMessage() bool {
	return s.state == relaying || s.state == active && s.srv.body.left > 0 && s.srv.body.to == bodyForward
}

// fail makes err the answer to the request that the client is waiting for. The
// session has no connection.
func (s *Session) fail(err *wire.Error) {
	s.state = idle
	s.taking, s.cancelled = false, false
	if !s.welcomed {
		fatal := *err
		fatal.Severity = wire.SeverityFatal
		s.terminate(&fatal)
		return
	}
	s.failure = wire.AppendErrorResponse(nil, err)
	if s.held != nil {
		s.held = nil
		s.answerFailure(true)
	}
	s.host.ResumeClient()
}

// failRequest answers the message at hand with the failure, as the server
// would: a simple query with the error and ReadyForQuery, one of the extended
// protocol with the error alone, and then nothing until Sync.
func (s *Session) failRequest(p []byte, typ byte, total int) (int, bool) {
	switch typ {
	case 'Q', 'F':
		if typ == 'Q' && s.lostTx && total <= holdBegin {
			if len(p) < total {
				return 0, false
			}
			if n, ok := s.failedQuery(p, total); ok {
				return n, true
			}
		}
		n := s.drop(p, total)
		if s.body.left == 0 {
			s.answerFailure(true)
		} else {
			s.body.to = bodyAnswer
		}
		return n, true
	case 'd', 'c', 'f', 'H':
		return s.drop(p, total), true
	case 'P':
		if s.lostTx && total <= holdBegin {
			if len(p) < total {
				return 0, false
			}
			if !s.lostState && s.endsBlock(p, total) {
				s.failure = nil // what it asks for has happened
				return 0, false
			}
		}
		s.answerFailure(false)
		s.skipToSync = true
		return s.drop(p, total), true
	case 'S':
		s.answerFailure(false)
		s.skipToSync = true
		return 0, true
	default:
		s.answerFailure(false)
		s.skipToSync = true
		return s.drop(p, total), true
	}
}

func (s *Session) answerFailure(ready bool) {
	msg := s.failure
	s.failure, s.lostState = nil, false
	if ready {
		msg = append(msg, s.readyMessage()...)
	}
	s.host.ToClient(msg)
	if ready && s.draining {
		s.terminate(drainError)
	}
}

// replayFailure is what the client is told when its settings are refused: the
// server's own words.
func replayFailure(e *wire.Error) []byte {
	if e == nil {
		e = &wire.Error{Severity: wire.SeverityError, Code: wire.CodeInternalError, Message: "the session's settings could not be applied"}
	}
	return wire.AppendErrorResponse(nil, e)
}

// replayed ends the application of the session's settings.
func (s *Session) replayed(failed bool) {
	if s.state == leaving {
		if failed {
			s.srv.doubt = true
		} else {
			s.srv.inForce(s.settings)
		}
		s.settle()
		return
	}
	if !failed && s.cancelled {
		s.srv.inForce(s.settings)
		s.release(true)
		s.fail(cancelledError)
		return
	}
	if !failed && s.lostTx {
		s.failBlock()
		return
	}
	if !failed {
		s.ready()
		if s.state == active || s.state == idle {
			s.host.ResumeClient()
		}
		return
	}
	s.host.Note(session.EventReplayFailed, "")
	failure := s.failure
	s.failure = nil
	taking := s.taking
	s.release(false)
	if !s.welcomed || !taking {
		// The severity on the wire is fatal, as at any failed start-up.
		e, _ := wire.ParseErrorResponse(failure[headerSize:])
		fatal := *e
		fatal.Severity = wire.SeverityFatal
		s.terminate(&fatal)
		return
	}
	s.failure = failure
	s.host.ResumeClient()
}
