// SPDX-License-Identifier: Apache-2.0

package mysession

import (
	"encoding/binary"

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
			st.cursor, st.long, st.spoilt = false, false, false
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
	s.host.ToClient(wire.AppendResultEnd(nil, 1, s.caps, wire.OK{Status: s.presentStatus(), Warnings: s.keptWarnings()}))
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
