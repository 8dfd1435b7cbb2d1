// SPDX-License-Identifier: Apache-2.0

package mysession

import (
	wire "github.com/rdsproxy/rdsproxy/pkg/wire/mysql"
)

const (
	// holdText is the longest text that waits to be complete before it is looked
	// at; a longer one is read as it streams by.
	holdText = 16 << 10
	// holdPrepare is the longest text of a prepared statement that is kept for
	// preparing it on other connections. A longer one pins.
	holdPrepare = 256 << 10
	// holdCommand is the longest of the other commands.
	holdCommand = wire.MaxLogin
)

// ClientData takes bytes from the client and returns how many it has used. The
// rest must be given again, with what follows it: the start of a command that is
// not complete enough, or a command whose turn has not come.
func (s *Session) ClientData(p []byte) int {
	used := 0
	for {
		rest := p[used:]
		if s.state == closed || s.state == leaving || len(rest) == 0 {
			return used
		}
		if s.body.open() {
			n := s.clientBody(rest)
			if n == 0 {
				return used
			}
			used += n
			continue
		}
		if s.orphan != nil {
			n := s.orphanFile(rest)
			if n == 0 {
				return used
			}
			used += n
			continue
		}
		if s.sendsFile() {
			n := s.clientFile(rest)
			if n == 0 {
				return used
			}
			used += n
			continue
		}
		if s.changing != nil {
			n := s.clientAuth(rest)
			if n == 0 {
				return used
			}
			used += n
			continue
		}
		if s.held != nil || s.busy() {
			s.pause()
			return used
		}
		if len(rest) < wire.HeaderLen {
			return used
		}
		n, ok := s.clientCommand(rest)
		used += n
		if n > 0 {
			s.atHand = false
		}
		if !ok {
			return used
		}
	}
}

// busy tells whether the client's next command has to wait.
func (s *Session) busy() bool {
	return s.state == waiting || s.state == suspended || !s.welcomed || s.killing || s.state == active && (s.taking || !s.srv.idle())
}

// command is the beginning of a command of the client's.
type command struct {
	// p begins with the header and has what is there of the first packet.
	p []byte
	// size is the length of the first payload.
	size int
}

// whole tells whether all of the command is there. One that goes on in a second
// packet never is.
func (c *command) whole() bool { return c.size < wire.MaxPayload && len(c.p) == wire.HeaderLen+c.size }

// payload is what is there of the first packet's payload.
func (c *command) payload() []byte { return c.p[wire.HeaderLen:] }

// clientCommand handles the command that p begins with. It returns how many bytes
// it used, and false if nothing can be done with what is left.
func (s *Session) clientCommand(p []byte) (int, bool) {
	size, seq := wire.ParseHeader(p)
	if seq != 0 {
		s.protocolError(seq, wire.NewError(wire.CodePacketsOutOfOrder, "Got packets out of order"))
		return 0, false
	}
	if size == 0 {
		s.protocolError(seq, wire.NewError(wire.CodeUnknownCommand, "Unknown command"))
		return 0, false
	}
	if len(p) == wire.HeaderLen {
		return 0, false
	}
	c := command{p: p[:min(len(p), wire.HeaderLen+size)], size: size}
	kind := wire.Command(p[wire.HeaderLen])
	if s.failure != nil {
		return s.failCommand(&c, kind)
	}
	switch kind {
	case wire.ComQuery:
		return s.clientQuery(&c)
	case wire.ComStmtExecute, wire.ComStmtBulkExecute:
		return s.clientExecute(&c)
	case wire.ComStmtPrepare:
		return s.clientPrepare(&c)
	case wire.ComStmtSendLongData:
		return s.clientLongData(&c)
	}
	if !c.whole() {
		if size > holdCommand {
			return s.refuse(&c, tooLarge), true
		}
		return 0, false
	}
	return s.shortCommand(&c, kind)
}

// shortCommand handles the commands that are there as a whole when they are looked
// at.
func (s *Session) shortCommand(c *command, kind wire.Command) (int, bool) {
	switch kind {
	case wire.ComQuit:
		s.terminated = true
		s.host.CloseClient()
		s.leave()
		return len(c.p), false
	case wire.ComPing:
		if s.srv == nil {
			s.affected = 0 // a server has it so, too
			s.answer(wire.OK{Status: s.restStatus(), Warnings: s.keptWarnings()})
			return len(c.p), true
		}
		s.begin(c, shapeOK) // nothing goes ahead of it: what is to be looked at stays
		return s.pass(c, toServer), true
	case wire.ComStatistics:
		return s.relay(c, shapeText)
	case wire.ComInitDB, wire.ComRefresh, wire.ComCreateDB, wire.ComDropDB:
		return s.relay(c, shapeOK)
	case wire.ComProcessInfo:
		return s.relay(c, shapeResult)
	case wire.ComFieldList:
		return s.relay(c, shapeRows)
	case wire.ComStmtClose:
		return s.clientClose(c)
	case wire.ComStmtReset:
		return s.clientStmtReset(c)
	case wire.ComStmtFetch:
		return s.clientFetch(c)
	case wire.ComResetConnection:
		return s.clientReset(c)
	case wire.ComChangeUser:
		return s.clientChangeUser(c)
	case wire.ComSetOption:
		return s.clientSetOption(c)
	case wire.ComProcessKill:
		return s.clientKill(c)
	}
	return s.refuse(c, wire.NewError(wire.CodeUnknownCommand, "Unknown command")), true
}

// relay sends a command as it is.
func (s *Session) relay(c *command, sh shape) (int, bool) {
	if !s.acquire() || !s.ownTrackers() || !s.addsToOwn(sh) {
		return 0, false // an error would be added to the list of somebody else's
	}
	s.begin(c, sh)
	return s.pass(c, toServer), true
}

// begin notes that the command is sent to the server for the client.
func (s *Session) begin(c *command, sh shape) *exchange {
	s.stopLingering()
	x := s.srv.begin(forClient, sh, 1)
	x.command = wire.Command(c.p[wire.HeaderLen])
	s.srv.allAsked, s.srv.schemaAsked = false, false
	x.outcome = outcomeOfCommand(x.command)
	s.work.Simple++
	return x
}

// pass forwards the command, as far as it is there, or drops it.
func (s *Session) pass(c *command, to bodyTo) int {
	if to == toServer {
		s.host.ToServer(c.p)
	}
	s.rest(c, to)
	return len(c.p)
}

// rest lets what is not there of the command follow.
func (s *Session) rest(c *command, to bodyTo) {
	s.body = c.rest(to)
	if !s.body.open() {
		s.bodyEnds(to)
	}
}

// rest is what is not there of the command.
func (c *command) rest(to bodyTo) body {
	return body{left: wire.HeaderLen + c.size - len(c.p), more: c.size == wire.MaxPayload, seq: 1, to: to}
}

// answer answers a command of one packet in place of the server.
func (s *Session) answer(o wire.OK) {
	s.host.ToClient(wire.AppendOK(nil, 1, s.caps, o))
}

// refuse answers the command with an error of the proxy's own, once all of it has
// come.
func (s *Session) refuse(c *command, err *wire.Error) int {
	s.failure = err
	return s.pass(c, toFailure)
}
