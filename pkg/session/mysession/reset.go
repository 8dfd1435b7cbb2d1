// SPDX-License-Identifier: Apache-2.0

package mysession

import (
	"github.com/rdsproxy/rdsproxy/pkg/session"
	wire "github.com/rdsproxy/rdsproxy/pkg/wire/mysql"
)

// clientReset handles COM_RESET_CONNECTION. Without a connection there is nothing
// to reset but what the session itself keeps.
func (s *Session) clientReset(c *command) (int, bool) {
	if s.srv == nil {
		s.forgetState()
		s.answer(wire.OK{Status: s.restStatus()})
		return len(c.p), true
	}
	s.begin(c, shapeOK)
	return s.pass(c, toServer), true
}

// forgetState takes the session back to what it was after its login, but for the
// default schema, which a reset leaves as it is.
func (s *Session) forgetState() {
	s.statements, s.kept, s.newest = nil, 0, 0
	s.lastID, s.affected = 0, 0 // FOUND_ROWS() is what it was
	s.tracking, s.explicit = nil, false
	s.settings = s.shared.settingsOf(s.settings.Schema(), s.login.variables())
}

// resettable tells whether COM_RESET_CONNECTION makes the connection new.
func (srv *Server) resettable() bool { return !srv.unrepeatable }

// wasReset notes that the connection has been reset: variables have the values that
// a new one would have, and nothing is prepared.
func (srv *Server) wasReset() {
	srv.prepared.clear()
	srv.idSame = false
	srv.lastID, srv.idChanged, srv.askVariables, srv.askAll, srv.foreign = 0, false, false, false, false
	srv.cleanDiagnostics = true
	srv.applied = srv.shared.settingsOf(srv.applied.Schema(), nil)
	srv.doubt = srv.doubt || srv.unrepeatable
}

// resetConcluded goes on after the client's COM_RESET_CONNECTION.
func (s *Session) resetConcluded() {
	s.srv.wasReset()
	s.forgetState()
	s.unpin(s.pins)
	if !s.srv.doubt {
		s.setUp()
	}
}

// setUp sets the connection up again after a reset, as it was after its login. The
// character sets are among that: servers differ in where a reset takes them from.
func (s *Session) setUp() {
	srv := s.srv
	sql := []byte(srv.setup)
	if len(sql) == 0 {
		sql = append(sql, "SET last_insert_id=0"...)
	}
	for _, name := range collationVariables {
		if value, ok := srv.base[name]; ok && name != "character_set_connection" {
			sql = append(append(append(sql, ","...), name...), '=')
			sql = appendValue(sql, name, value)
		}
	}
	s.own(forSetUp, shapeResult, wire.AppendQuery(srv.scratch[:0], srv.caps, sql))
}

// resetStep goes on after a step of a reset.
func (s *Session) resetStep(x *exchange) {
	srv := s.srv
	switch {
	case x.failed:
		s.host.Note(session.EventCleanupFailed, "refused")
		srv.doubt = true
	case x.why == forReset:
		srv.wasReset()
		if !srv.doubt {
			s.cleaning = cleanSetUp
			s.setUp()
			return
		}
	case s.state == leaving:
		s.cleaning = cleanDone
	}
	s.settle()
}
