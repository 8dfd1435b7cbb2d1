// SPDX-License-Identifier: Apache-2.0

package mysession

import (
	"slices"

	wire "github.com/rdsproxy/rdsproxy/pkg/wire/mysql"
)

// unreliable are the variables whose changes trackers tell under the name of
// another one, or not at all: SET NAMES changes collation_connection and tells of
// character_set_connection only, and MariaDB 11.8 tells of all that are one bit each
// in the same word under the name of one of them, which differs from one start of
// the server to the next. When such a name is told, all are asked for before the
// connection is given back.
var unreliable = [...]string{
	"autocommit", "big_tables", "character_set_connection", "check_constraint_checks", "collation_connection",
	"foreign_key_checks", "profiling", "skip_replication", "sql_auto_is_null", "sql_big_selects",
	"sql_buffer_result", "sql_log_off", "sql_notes", "sql_quote_show_create", "sql_safe_updates", "sql_warnings",
	"unique_checks",
}

// oneOfFlags tells whether a variable is one of those bits.
func oneOfFlags(name string) bool {
	_, ok := slices.BinarySearch(unreliable[:], name)
	return ok
}

// variablesSQL asks for those of them that the server has.
func variablesSQL(base map[string]string) []byte {
	sql := []byte("SHOW SESSION VARIABLES WHERE Variable_name IN (")
	comma := false
	for _, name := range unreliable {
		if _, ok := base[name]; !ok {
			continue
		}
		if comma {
			sql = append(sql, ',')
		}
		comma = true
		sql = wire.AppendLiteral(sql, name)
	}
	if !comma {
		sql = append(sql, "''"...)
	}
	return append(sql, ')')
}

// gotVariables takes the answer for what is in force.
func (s *Session) gotVariables(x *exchange) {
	srv := s.srv
	srv.askVariables = false
	if x.failed {
		srv.doubt = true
		s.terminate(lostError) // nobody knows what it has set
		return
	}
	vars := srv.applied.variables()
	for _, v := range x.learned {
		if _, ok := srv.base[v.Name]; ok {
			vars = with(vars, v.Name, v.Value, srv.base)
		}
	}
	srv.applied = s.shared.settingsOf(srv.applied.Schema(), vars)
	s.settings = srv.applied
	if p := s.settings.pins(); p != 0 {
		s.pin(p)
	}
	s.settle()
}
