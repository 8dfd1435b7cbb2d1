// SPDX-License-Identifier: Apache-2.0

package mysession

import (
	"strconv"

	"github.com/rdsproxy/rdsproxy/pkg/session"
	wire "github.com/rdsproxy/rdsproxy/pkg/wire/mysql"
)

// clientReset handles COM_RESET_CONNECTION. Without a connection there is nothing
// to reset but what the session itself keeps.
func (s *Session) clientReset(c *command) (int, bool) {
	if s.srv == nil && s.shared.knowsReset() {
		s.forgetState()
		s.answer(wire.OK{Status: s.restStatus()})
		return len(c.p), true
	}
	if !s.acquire() {
		return 0, false
	}
	if s.pins&session.PinSessionTrack != 0 && !s.srv.schemaAsked {
		s.ahead(forDatabase, askDatabase)
		return 0, false
	}
	s.begin(c, shapeOK)
	return s.pass(c, toServer), true
}

var askDatabase = []byte("SELECT DATABASE() LIMIT 1")

// gotDatabase takes the answer for the default schema: a reset leaves it as it is, and
// a client that has turned the trackers off may have changed it without anybody's
// knowing.
func (s *Session) gotDatabase(x *exchange) {
	srv := s.srv
	if x.failed && x.code == wire.CodeQueryInterrupted {
		s.retry() // that was meant for what ran before, and late
		return
	}
	if x.failed || !x.valueSet {
		srv.doubt = true
		s.terminate(lostError)
		return
	}
	srv.schemaAsked = true
	srv.applied = s.shared.settingsOf(x.learned[0].Value, srv.applied.variables())
	s.settings = srv.applied
	s.retry()
}

// forgetState takes the session back to what it was after its login, but for the
// default schema, which a reset leaves as it is.
func (s *Session) forgetState() {
	s.statements, s.kept, s.newest = nil, 0, 0
	s.lastID, s.idLost, s.affected = 0, false, 0 // FOUND_ROWS() is what it was
	s.tracking, s.explicit = nil, false
	s.warnings, s.older, s.keepsList = nil, nil, false
	s.settings = s.shared.settingsAfterReset(s.settings.Schema(), s.login)
}

// afterReset is what a connection has behind a reset besides the values of a new one:
// what the default schema decides about is not as that schema has it.
func (srv *Server) afterReset() []Setting {
	value, ok := srv.base[collationDatabase]
	if !ok || srv.applied.Schema() == "" {
		return nil
	}
	return []Setting{{collationDatabase, value}}
}

// resettable tells whether COM_RESET_CONNECTION makes the connection new.
func (srv *Server) resettable() bool { return !srv.unrepeatable }

// wasReset notes that the connection has been reset: variables have the values that
// a new one would have, and nothing is prepared.
func (srv *Server) wasReset() {
	srv.prepared.clear()
	srv.idSame, srv.schemaAsked = false, false
	srv.lastID, srv.idChanged, srv.askVariables, srv.askAll, srv.foreign = 0, false, false, false, false
	srv.emptyList, srv.learnsReset, srv.askDatabase = true, false, false
	srv.applied = srv.shared.settingsOf(srv.applied.Schema(), srv.afterReset())
	srv.doubt = srv.doubt || srv.unrepeatable
}

// resetConcluded goes on after the client's COM_RESET_CONNECTION.
func (s *Session) resetConcluded() {
	srv := s.srv
	srv.wasReset()
	s.forgetState()
	srv.learnsReset = !s.shared.knowsReset() && s.pins&session.PinFoundRows == 0
	switch {
	case !srv.doubt:
		s.unpin(s.pins &^ session.PinFoundRows) // it keeps that
		srv.askAll = srv.learnsReset
		s.setUp()
	case srv.learnsReset:
		s.own(forAll, shapeResult, wire.AppendQuery(srv.scratch[:0], srv.caps, srv.allSQL()))
		fallthrough
	default:
		s.unpin(s.pins)
	}
}

// learnReset takes what a reset has made of the character sets for the session's own,
// and for that of all that follow.
func (s *Session) learnReset() {
	var vars []Setting
	for _, name := range collationVariables {
		if value, ok := s.srv.applied.get(name); ok {
			vars = with(vars, name, value, s.srv.base)
		}
	}
	s.srv.learnsReset = false
	s.shared.learnReset(vars)
	s.settings = s.shared.settingsAfterReset(s.settings.Schema(), s.login)
}

// setUp sets the connection up again after a reset, as it was after its login. The
// character sets are among that: servers differ in where a reset takes them from.
func (s *Session) setUp() {
	srv := s.srv
	sql := []byte(srv.setup)
	if len(sql) == 0 {
		sql = append(sql, "SET last_insert_id=0"...)
	}
	if !srv.learnsReset {
		sql = appendCharacterSets(sql, srv.base)
	}
	s.own(forSetUp, shapeResult, wire.AppendQuery(srv.scratch[:0], srv.caps, sql))
}

// appendCharacterSets appends what a new connection has.
func appendCharacterSets(sql []byte, base map[string]string) []byte {
	if _, number := resultsOf(nil, base); number != "" {
		if n, err := strconv.ParseUint(number, 10, 16); err == nil {
			sql = appendNames(append(sql, ','), wire.CollationName(uint16(n)))
		}
	}
	for _, name := range collationVariables {
		if value, ok := base[name]; ok && name != "character_set_connection" && name != collationOfResults && !(name == "character_set_results" && base[collationOfResults] != "") {
			sql = append(append(append(sql, ",SESSION "...), name...), '=')
			sql = appendValue(sql, name, value)
		}
	}
	return sql
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
	default:
		s.valuesHere, s.foundHere = true, true // as a reset leaves them
	}
	s.settle()
}
