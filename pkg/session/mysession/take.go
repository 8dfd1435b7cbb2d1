// SPDX-License-Identifier: Apache-2.0

package mysession

import (
	"slices"
	"strconv"

	"github.com/rdsproxy/rdsproxy/pkg/sqlscan/myscan"
	wire "github.com/rdsproxy/rdsproxy/pkg/wire/mysql"
)

// initSettings notes what the client asked for at its login. What a collation's
// number means only a server knows; until one has told, it is asked for by number.
func (s *Session) initSettings(collation uint16, schema string) {
	s.collation = collation
	l, known := s.shared.collationSettings(collation)
	s.settings = s.shared.settingsOf(schema, l.vars)
	if known {
		s.collation = 0
		s.loggedIn(l)
	}
}

// loggedIn notes what MariaDB gives back at a reset: that of the newest login whose
// collation it knew.
func (s *Session) loggedIn(l loginSettings) {
	if !l.unknown || !s.loginKnown {
		s.login, s.loginKnown = s.shared.settingsOf("", l.vars), !l.unknown
	}
}

// known tells whether the session can begin without asking a server.
func (s *Session) known() bool {
	return s.collation == 0 && s.settings.Schema() == "" && s.shared.base.Load() != nil
}

// restStatus is the status of a session without a connection.
func (s *Session) restStatus() wire.Status {
	value, ok := s.settings.get("autocommit")
	if !ok {
		if base := s.shared.base.Load(); base != nil {
			value = (*base)["autocommit"]
		}
	}
	status := wire.StatusAutocommit
	if value == "OFF" {
		status = 0
	}
	if s.scanMode()&myscan.ModeNoBackslashEscapes != 0 {
		status |= wire.StatusNoBackslashEscape
	}
	return status
}

// scanMode is how the server reads the session's texts.
func (s *Session) scanMode() (m myscan.Mode) {
	if s.srv != nil {
		m = s.srv.mode
	}
	if st := s.settings; st != nil {
		m = m&^st.setMode | st.mode
	}
	return m
}

// applySettings puts the session's settings in force on its connection. It gives
// false while that is under way.
func (s *Session) applySettings() bool {
	srv := s.srv
	if s.collation != 0 {
		if s.collation != srv.collation {
			s.ahead(forCollation, s.collationSQL())
			return false
		}
		s.learnCollation()
	}
	return s.apply(s.settings)
}

// apply puts settings in force: the schema first, then all variables by one
// statement.
func (s *Session) apply(to *Settings) bool {
	srv := s.srv
	if !s.applyOption() {
		return false
	}
	if srv.applied == to {
		return true
	}
	if to.Schema() == "" && srv.applied.Schema() != "" {
		srv.doubt = true // nothing takes a default schema away again
	}
	if schema := to.Schema(); schema != "" && (schema != srv.applied.Schema() || srv.applied.has(collationDatabase) && !to.has(collationDatabase)) {
		x := s.own(forSchema, shapeOK, wire.AppendCommand(srv.scratch[:0], wire.ComInitDB, schema))
		x.target = to
		s.unsettled()
		return false
	}
	if sql := replay(srv.applied, to, srv.base); sql != nil {
		s.ahead(forSettings, sql)
		srv.x.target = to
		return false
	}
	srv.applied = to
	return true
}

// loseSchema goes on after somebody has dropped the session's default schema: without
// one, but on a server it would be there by name. Before each command another try is
// made, since it may be made again.
func (s *Session) loseSchema() {
	s.lostSchema, s.schemaTried = s.settings.Schema(), true
	s.settings = s.shared.settingsOf("", s.settings.variables())
}

// trySchema makes that try.
func (s *Session) trySchema() {
	if s.lostSchema != "" && !s.schemaTried {
		s.settings = s.shared.settingsOf(s.lostSchema, s.settings.variables())
		s.lostSchema = ""
	}
}

// unsettled pauses the client while something of the proxy's own runs ahead of its
// command.
func (s *Session) unsettled() {
	s.valuesHere = false
	s.pause()
}

// cannotForget tells whether the connection has a default schema, and the session
// is to have none. Nothing takes it away again.
func (s *Session) cannotForget() bool {
	return s.settings.Schema() == "" && s.srv.applied.Schema() != ""
}

// applied notes what such a command has done.
func (s *Session) applied(x *exchange) {
	srv := s.srv
	switch x.why {
	case forSchema:
		srv.applied = s.shared.settingsOf(x.target.Schema(), without(srv.applied.variables(), collationDatabase))
	case forSettings:
		srv.applied = x.target
	case forCollation:
		// All else that the borrower before has set is there still.
		vars := slices.DeleteFunc(slices.Clone(srv.applied.variables()), func(v Setting) bool {
			return slices.Contains(collationVariables[:], v.Name)
		})
		for _, v := range x.learned {
			vars = with(vars, v.Name, v.Value, srv.base)
		}
		if !s.noCollation && wire.CollationName(s.collation) != "" {
			vars = with(vars, collationOfResults, strconv.Itoa(int(s.collation)), srv.base)
		}
		srv.applied = s.shared.settingsOf(srv.applied.Schema(), vars)
		s.learnCollation()
	}
}

// learnCollation takes what a server has made of the number of the collation for
// the session's own, and for that of all that follow.
func (s *Session) learnCollation() {
	var vars []Setting
	for _, name := range collationVariables {
		if value, ok := s.srv.applied.get(name); ok && s.collation != s.srv.collation {
			vars = with(vars, name, value, s.srv.base)
		}
	}
	l := loginSettings{vars, s.noCollation || wire.CollationName(s.collation) == ""}
	s.shared.learnCollation(s.collation, l)
	s.collation, s.noCollation = 0, false
	s.settings = s.shared.settingsOf(s.settings.Schema(), vars)
	s.loggedIn(l)
}

// collationVariables are those that a login's collation decides about.
var collationVariables = [...]string{
	"character_set_client", "character_set_connection", "character_set_results", "collation_connection", collationOfResults,
}

// collationSQL sets them as a login does. The collation is said once more because
// trackers do not tell of it else.
func (s *Session) collationSQL() []byte {
	name := wire.CollationName(s.collation)
	if name == "" || s.noCollation {
		return []byte("SET NAMES DEFAULT,SESSION collation_connection=DEFAULT")
	}
	sql := append(appendNames([]byte("SET "), name), ",SESSION collation_connection='"...)
	return append(append(sql, name...), '\'')
}

// refused tells whether a connection can be used further after it has refused the
// session's settings.
func (s *Session) refused(x *exchange) bool {
	switch x.why {
	case forSchema:
		return true
	case forCollation:
		// A number that the server does not know stands for its default.
		if s.noCollation {
			s.collation = 0
		}
		s.noCollation = !s.noCollation
		return true
	}
	return false
}
