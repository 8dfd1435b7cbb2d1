// SPDX-License-Identifier: Apache-2.0

package mysession

import (
	"iter"
	"slices"
	"strconv"
	"strings"

	wire "github.com/rdsproxy/rdsproxy/pkg/wire/mysql"
)

// unreliable are the variables whose changes trackers tell under the name of
// another one, or not at all: SET NAMES changes collation_connection and tells of
// character_set_connection only, and MariaDB 11.8 tells of all that are one bit each
// in the same word under the name of one of them, which differs from one start of
// the server to the next. When such a name is told, all are asked for before the
// connection is given back.
var unreliable = [...]string{
	"autocommit", "big_tables", "character_set_connection", "character_set_server", "check_constraint_checks",
	"collation_connection", collationDatabase, "collation_server",
	"foreign_key_checks", "profiling", "skip_replication", "sql_auto_is_null", "sql_big_selects",
	"sql_buffer_result", "sql_log_off", "sql_notes", "sql_quote_show_create", "sql_safe_updates", "sql_warnings",
	"unique_checks",
}

// oneOfFlags tells whether a variable is one of those bits.
func oneOfFlags(name string) bool {
	_, ok := slices.BinarySearch(unreliable[:], name)
	return ok
}

// unreliableHere are those of them that the server has. Only MariaDB has bits that
// go by each other's names.
func (srv *Server) unreliableHere() iter.Seq[string] {
	return func(yield func(string) bool) {
		for _, name := range unreliable {
			_, ok := srv.base[name]
			switch {
			case !ok, isFlag(name) && !srv.mariaDB, name == collationDatabase && !srv.askDatabase:
			case !yield(name):
				return
			}
		}
	}
}

// isFlag tells those that are one bit from those that are texts.
func isFlag(name string) bool {
	return !strings.HasPrefix(name, "character_set_") && !strings.HasPrefix(name, "collation_")
}

// variablesSQL asks for them. It is a SELECT with a limit of its own because SHOW
// obeys sql_select_limit, and texts come as they are, whatever
// character_set_results is. The definition of the last column tells the number of its
// collation.
func (srv *Server) variablesSQL() []byte {
	sql := []byte("SELECT ")
	for name := range srv.unreliableHere() {
		if isFlag(name) {
			sql = append(append(sql, "@@"...), name...)
		} else {
			sql = append(append(append(sql, "CAST(@@"...), name...), " AS BINARY)"...)
		}
		sql = append(sql, ',')
	}
	return append(sql, "1,'' LIMIT 1"...)
}

// learnVariables reads the row that it gives.
func (srv *Server) learnVariables(row wire.TextRow) (learned []Setting, ok bool) {
	for name := range srv.unreliableHere() {
		text, ok := row.Next()
		if !ok || text == nil {
			return nil, false
		}
		value := string(text)
		if isFlag(name) {
			value = "OFF"
			if string(text) != "0" {
				value = "ON"
			}
		}
		learned = append(learned, Setting{name, value})
	}
	return learned, true
}

// allSQL asks for all variables that are tracked, as they are reported, and for the
// session_track variables.
func (srv *Server) allSQL() []byte {
	table := "performance_schema.session_variables"
	if srv.mariaDB {
		table = "information_schema.session_variables"
	}
	sql := append([]byte("SELECT CAST(variable_name AS BINARY),CAST(variable_value AS BINARY),'' FROM "), table...)
	sql = append(sql, " WHERE variable_name IN ("...)
	for _, name := range trackedVariables {
		if _, ok := srv.base[name]; ok && name != collationDatabase {
			sql = append(wire.AppendLiteral(sql, name), ',')
		}
	}
	for i, v := range trackerNames {
		if i > 0 {
			sql = append(sql, ',')
		}
		sql = wire.AppendLiteral(sql, v.Name)
	}
	return append(append(sql, ") LIMIT "...), strconv.Itoa(maxLearned)...)
}

// maxLearned is more than there are.
const maxLearned = 100

// learnOne reads a row that it gives.
func (x *exchange) learnOne(row wire.TextRow) {
	name, _ := row.Next()
	value, ok := row.Next()
	x.valueSet = ok && len(x.learned) < maxLearned
	if x.valueSet {
		x.learned = append(x.learned, Setting{strings.ToLower(string(name)), string(value)})
	}
}

// learnCollation reads a definition of a column.
func (x *exchange) learnCollation(payload []byte, caps wire.Capabilities) {
	if c, ok := wire.ParseColumn(payload, caps); ok && c.Collation != wire.CollationBinary {
		x.collation = c.Collation
	}
}

// gotVariables takes the answer for what is in force.
func (s *Session) gotVariables(x *exchange) {
	srv := s.srv
	if x.failed && x.code == wire.CodeQueryInterrupted {
		s.settle() // it is asked again; somebody has killed a query of the client's, and was late
		return
	}
	if x.why == forAll {
		srv.askAll, srv.askVariables = false, srv.askDatabase
	} else {
		srv.askVariables, srv.askDatabase = false, false
	}
	if x.failed || !x.valueSet {
		srv.doubt = true
		s.terminate(lostError) // nobody knows what it has set
		return
	}
	vars := srv.applied.variables()
	for _, v := range x.learned {
		switch {
		case v.Name == collationDatabase && srv.applied.Schema() != "":
			vars = with(vars, v.Name, v.Value, nil) // it may differ from the schema's
		default:
			if _, ok := srv.base[v.Name]; ok {
				vars = with(vars, v.Name, v.Value, srv.base)
			}
		}
	}
	vars = withResults(vars, x.collation, srv.base)
	if x.why == forAll && srv.foreign {
		s.learnTrackers(x.learned)
	}
	srv.applied = s.shared.settingsOf(srv.applied.Schema(), vars)
	s.settings = srv.applied
	if x.why == forAll && srv.learnsReset {
		s.learnReset()
	}
	if p := s.settings.pins(); p != 0 {
		s.pin(p)
	}
	s.settle()
}

// withResults notes the collation of results, 0 if it is not known. Without a
// character set of results there is none.
func withResults(vars []Setting, collation uint16, base map[string]string) []Setting {
	s := Settings{vars: vars}
	if value, ok := s.get("character_set_results"); ok && (value == "" || value == "binary") {
		return without(vars, collationOfResults)
	}
	if collation == 0 {
		return vars
	}
	return with(vars, collationOfResults, strconv.Itoa(int(collation)), base)
}
