// SPDX-License-Identifier: Apache-2.0

package mysession

import (
	"strconv"

	"github.com/rdsproxy/rdsproxy/pkg/session"
	wire "github.com/rdsproxy/rdsproxy/pkg/wire/mysql"
)

// Codes of errors that only sessions send.
const (
	// codeLost is that of libmysqlclient for a connection that broke under a
	// command (CR_SERVER_LOST). Drivers know it as the end of a connection.
	codeLost = 2013
	// codeBorrow is that of RDS Proxy for a borrow timeout.
	codeBorrow = 9501
	// codeArguments is ER_WRONG_ARGUMENTS, codeNoCursor ER_STMT_HAS_NO_OPEN_CURSOR.
	codeArguments = 1210
	codeNoCursor  = 1421
	// codeWrongValue is ER_WRONG_VALUE_FOR_VAR: what a login with a character set that
	// clients cannot use ends with.
	codeWrongValue = 1231
	// codeParse is ER_PARSE_ERROR, codeNotSupported ER_NOT_SUPPORTED_YET.
	codeParse        = wire.CodeParse
	codeNotSupported = 1235
)

var (
	shutdownError = wire.NewError(wire.CodeServerShutdown, "Server shutdown in progress")
	// IdleTimeoutError ends a session that was idle for too long.
	IdleTimeoutError = wire.NewError(wire.CodeInteractionTimeout,
		"The client was disconnected by the server because of inactivity. See wait_timeout and interactive_timeout for configuring this behavior.")
	interrupted        = wire.NewError(wire.CodeQueryInterrupted, "Query execution was interrupted")
	killed             = wire.NewError(wire.CodeConnectionKilled, "Connection was killed")
	tooManyStatements  = wire.NewError(wire.CodeMaxPreparedStmts, "Can't create more prepared statements for this session")
	tooLarge           = wire.NewError(wire.CodePacketTooLarge, "Got a packet bigger than 'max_allowed_packet' bytes")
	lostError          = wire.NewError(codeLost, "Lost connection to the database during query")
	borrowTimeoutError = wire.NewError(codeBorrow, "Timed-out waiting to acquire database connection")
	protocolFaultError = wire.NewError(wire.CodeUnknown, "The database broke the protocol")
)

func unknownDatabase(name string) *wire.Error {
	return wire.NewError(wire.CodeBadDB, "Unknown database '"+name+"'")
}

// lastWords tells whether an error ends the connection that says it: the server
// shuts down, has killed the connection, or was tired of waiting.
func lastWords(code uint16) bool {
	switch code {
	case wire.CodeServerShutdown, wire.CodeConnectionKilled, wire.CodeInteractionTimeout:
		return true
	}
	return false
}

// readOnly tells whether an error may mean that the server does not accept writes.
// That of a transaction that the client wanted so (1792) does not.
func readOnly(code uint16) bool {
	return code == wire.CodeOptionPrevents || code == wire.CodeReadOnlyMode
}

// unasked handles bytes of the server's that nobody has asked for. Mostly these are
// the last words of a server that shuts down, or closes the connection because of
// inactivity.
func (s *Session) unasked(p []byte) int {
	if len(p) < wire.HeaderLen {
		return 0
	}
	size, _ := wire.ParseHeader(p)
	if len(p) < wire.HeaderLen+min(size, 3) {
		return 0
	}
	if code, ok := wire.ErrorCode(p[wire.HeaderLen:]); ok && size < holdReply {
		s.serverLost(strconv.Itoa(int(code)))
		return 0
	}
	return s.unexpected()
}

// outOfOrder handles a packet with a wrong sequence id. An ERR packet is the last
// words of a server that said them before it had seen the command; taking it as
// the answer would be wrong, for the command has not been carried out.
func (s *Session) outOfOrder(msg []byte) {
	if code, ok := wire.ErrorCode(msg[wire.HeaderLen:]); ok && lastWords(code) {
		s.serverLost(strconv.Itoa(int(code)))
		return
	}
	s.serverFault("a packet out of order")
}

// lost handles the last words of the server, said in place of a reply. The command
// was refused, or broken off and undone.
func (s *Session) lost(msg []byte) {
	s.srv.x.seq = msg[3] // where the client is told instead
	s.gone(strconv.Itoa(int(s.srv.x.code)), true, s.srv.x.results == 0)
}

// ServerGone is called when the session's database connection was closed or
// broke. The host has nothing left to release.
func (s *Session) ServerGone() {
	if s.srv == nil {
		return
	}
	s.gone("connection closed", false, false)
}

// serverLost is the same for a connection that has to be thrown away.
func (s *Session) serverLost(detail string) { s.gone(detail, true, false) }

// nothingSent tells whether nothing of the client's command has been sent on this
// connection, and it has nothing else there.
func (s *Session) nothingSent() bool {
	if s.body.open() {
		return false
	}
	if s.taking {
		return true
	}
	srv := s.srv
	if srv.inTransaction() || srv.unsure || s.pins != 0 || srv.idle() {
		return false
	}
	switch srv.x.why {
	case forSettings, forSchema, forOption, forPrepare, forSetLastID, forDiagnostics:
		return !srv.idChanged && !srv.askVariables
	}
	return false
}

// say tells the client why its session ends, if that can be said now: in place of
// a reply, or of the rest of one between two packets, or to a client that waits
// for nothing.
func (s *Session) say(why *wire.Error) {
	if seq, ok := s.errorSeq(); ok && (s.awaited() || why != lostError) {
		s.host.ToClient(wire.AppendError(nil, seq, s.caps, why))
	}
}

// awaited tells whether the client waits for a reply.
func (s *Session) awaited() bool {
	switch {
	case !s.welcomed, s.state == waiting, s.atHand, s.body.open():
		return true
	case s.state == active:
		return s.taking || !s.srv.idle()
	}
	return false
}

// errorSeq gives the sequence id that an error has to have now; false if none can
// be understood.
func (s *Session) errorSeq() (seq byte, ok bool) {
	switch {
	case s.state == leaving || s.state == closed || s.orphan != nil:
		return 0, false
	case !s.welcomed:
		return s.loginSeq, true
	case s.changing != nil:
		return 3, true
	case s.body.open():
		// The client is sending. It will find this when it is done.
		return s.body.seq, true
	case s.state == waiting, s.state == active && s.taking:
		return 1, true
	case s.state != active || s.srv.idle():
		if s.atHand {
			return 1, true
		}
		return 0, true
	}
	x := &s.srv.x
	if x.why != forClient {
		return 1, true
	}
	switch x.stage {
	case stageFirst, stageRows:
		return x.clientSeq(), x.between()
	}
	return 0, false
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
	s.forget()
	if !leavingAlready {
		s.host.CloseClient()
	}
}

// unexpected ends a session whose server sent what does not answer the command.
func (s *Session) unexpected() int {
	s.serverFault("a packet that does not belong there")
	return 0
}

// serverFault ends session and connection: from here on it is not known which
// reply belongs to whom.
func (s *Session) serverFault(what string) {
	s.host.Note(session.EventServerProtocol, what)
	s.say(protocolFaultError)
	s.abandon()
}

// protocolError ends a session whose client broke the protocol with a packet of
// this sequence id.
func (s *Session) protocolError(seq byte, err *wire.Error) {
	s.host.Note(session.EventClientProtocol, err.Message)
	s.host.ToClient(wire.AppendError(nil, seq+1, s.caps, err))
	s.host.CloseClient()
	s.leave()
}

// terminate tells the client why and ends the session in order.
func (s *Session) terminate(why *wire.Error) {
	if s.state == leaving || s.state == closed {
		return
	}
	s.say(why)
	s.host.CloseClient()
	s.leave()
}

// fail makes err the answer to the command that the client is waiting for.
func (s *Session) fail(err *wire.Error) {
	if s.state == waiting || s.state == suspended {
		s.state = idle
	}
	s.taking, s.cancelled, s.preparing = false, false, false
	if !s.welcomed {
		s.terminate(err)
		return
	}
	s.failure = err
	s.resume()
}

// failCommand answers the command at hand with the failure. Those that have no
// reply are dropped.
func (s *Session) failCommand(c *command, kind wire.Command) (int, bool) {
	if kind == wire.ComQuit || kind == wire.ComStmtClose {
		if !c.whole() && c.size <= holdCommand {
			return 0, false
		}
		if c.whole() {
			return s.shortCommand(c, kind)
		}
	}
	if kind.Silent() {
		return s.pass(c, toNowhere), true
	}
	if kind == wire.ComStmtExecute || kind == wire.ComStmtBulkExecute {
		if !c.whole() && c.size <= holdText {
			return 0, false
		}
		s.noteRefused(c)
	}
	return s.pass(c, toFailure), true
}

// answerFailure tells the client the failure, at the end of its command.
func (s *Session) answerFailure() {
	err := s.failure
	s.failure = nil
	s.host.ToClient(wire.AppendError(nil, s.body.seq, s.caps, err))
}

// settingDone goes on after a step that puts the session's settings in force.
func (s *Session) settingDone(x *exchange, err *wire.Error) {
	if !x.failed {
		s.applied(x)
		if !s.taking {
			s.retry()
		} else if s.take() {
			s.resume()
		}
		return
	}
	known := s.refused(x)
	if x.why == forCollation && s.taking && x.code != codeWrongValue {
		if s.take() {
			s.resume()
		}
		return
	}
	s.host.Note(session.EventReplayFailed, "")
	if x.why == forSchema && x.code == wire.CodeBadDB && s.welcomed && x.target.Schema() == s.settings.Schema() {
		s.loseSchema()
		if s.taking {
			if s.take() {
				s.resume()
			}
			return
		}
	}
	s.srv.doubt = s.srv.doubt || !known
	if s.taking {
		s.taking = false
		s.release(!s.srv.doubt)
	}
	s.fail(err)
}
