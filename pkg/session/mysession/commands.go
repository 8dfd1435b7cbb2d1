// SPDX-License-Identifier: Apache-2.0

package mysession

import (
	"bytes"
	"encoding/binary"
	"strconv"

	"github.com/rdsproxy/rdsproxy/pkg/sqlscan/myscan"
	wire "github.com/rdsproxy/rdsproxy/pkg/wire/mysql"
)

// okConcluded draws conclusions from the reply to a command that has one packet.
func (s *Session) okConcluded(x *exchange) {
	if x.failed {
		return
	}
	switch x.command {
	case wire.ComPing, wire.ComInitDB:
		s.affected = x.affected
	case wire.ComResetConnection:
		s.resetConcluded()
	case wire.ComSetOption:
		s.multi, s.srv.multi = x.valueSet, x.valueSet
	case wire.ComStmtReset:
		if st := x.stmt; st != nil && s.statements[st.id] == st {
			st.cursor, st.long = false, false
			s.putBack(st)
			s.pinStatements()
		}
	}
}

// presentStatus is the status that an answer of the proxy's own tells.
func (s *Session) presentStatus() wire.Status {
	if s.srv != nil {
		return s.srv.status &^ (wire.StatusMoreResults | wire.StatusSessionChanged | wire.StatusCursorExists)
	}
	return s.restStatus()
}

// clientKill handles COM_PROCESS_KILL.
func (s *Session) clientKill(c *command) (int, bool) {
	id, ok := wire.StatementID(c.payload())
	if !ok {
		return s.refuse(c, wire.Malformed()), true
	}
	return s.kill(c, id, false)
}

// kill asks the proxy, and lets the command be answered by KillDone. Nothing of it
// goes to the database: its numbers are not those that clients know.
func (s *Session) kill(c *command, id uint32, query bool) (int, bool) {
	s.killing, s.killID = true, id
	n := s.pass(c, toNowhere)
	s.host.Kill(id, query)
	return n, true
}

// KillDone tells the result of Host.Kill.
func (s *Session) KillDone(r KillResult) {
	if !s.killing {
		return
	}
	s.killing = false
	if s.state == closed || s.state == leaving {
		return
	}
	id := strconv.FormatUint(uint64(s.killID), 10)
	switch r {
	case Killed:
		s.answer(wire.OK{Status: s.presentStatus()})
	case KillDenied:
		s.host.ToClient(wire.AppendError(nil, 1, s.caps, wire.NewError(wire.CodeKillDenied, "You are not owner of thread "+id)))
	default:
		s.host.ToClient(wire.AppendError(nil, 1, s.caps, wire.NewError(wire.CodeNoSuchThread, "Unknown thread id: "+id)))
	}
	s.settle()
	if s.state == idle {
		s.resume()
	}
	if s.draining && s.Idle() {
		s.terminate(shutdownError)
	}
}

// startsLikeKill tells whether a text is likely to be a KILL.
func startsLikeKill(sql []byte) bool {
	sql = bytes.TrimLeft(sql, " \t\r\n")
	return len(sql) > 4 && bytes.EqualFold(sql[:4], []byte("KILL"))
}

// killUnscanned handles such a text of a session without a connection.
func (s *Session) killUnscanned(c *command, sql []byte) (n int, ok, handled bool) {
	var sc myscan.Scanner
	sc.Reset(s.scanMode())
	sc.Write(sql)
	res := sc.Result()
	if res.Effects&myscan.EffectKill == 0 {
		return 0, false, false
	}
	return s.killByText(c, sql, &res)
}

// killByText handles a KILL in SQL; handled is false if the database can do it.
func (s *Session) killByText(c *command, sql []byte, res *myscan.Result) (n int, ok, handled bool) {
	k := res.Kill
	query := k.Form == myscan.KillQuery
	if res.Statements == 1 && (query || k.Form == myscan.KillConnection) {
		if id, good := number(sql[k.Start:k.End]); good && id <= 1<<32-1 {
			n, ok = s.kill(c, uint32(id), query)
			return n, ok, true
		}
	}
	return s.refuse(c, wire.NewError(codeNotSupported,
		"The proxy supports KILL with a thread id only, as a statement of its own")), true, true
}

// clientSetOption handles COM_SET_OPTION: multi-statements on or off. It is put in
// force on whatever connection the next command gets.
func (s *Session) clientSetOption(c *command) (int, bool) {
	if c.size != 3 || binary.LittleEndian.Uint16(c.payload()[1:]) > wire.OptionMultiStatementsOff {
		return s.refuse(c, wire.NewError(wire.CodeUnknownCommand, "Unknown command")), true
	}
	multi := binary.LittleEndian.Uint16(c.payload()[1:]) == wire.OptionMultiStatementsOn
	if s.state == active {
		// What it answers tells of the warnings that are there.
		x := s.begin(c, shapeOK)
		x.valueSet = multi
		return s.pass(c, toServer), true
	}
	s.multi = multi
	s.host.ToClient(wire.AppendResultEnd(nil, 1, s.caps, wire.OK{Status: s.presentStatus()}))
	return len(c.p), true
}

// applyOption puts that in force. It gives false while that is under way.
func (s *Session) applyOption() bool {
	srv := s.srv
	if srv.multi == s.multi {
		return true
	}
	option := uint16(wire.OptionMultiStatementsOff)
	if s.multi {
		option = wire.OptionMultiStatementsOn
	}
	s.own(forOption, shapeOK, wire.AppendSetOption(srv.scratch[:0], option))
	s.unsettled()
	return false
}
