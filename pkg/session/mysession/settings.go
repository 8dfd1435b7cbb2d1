// SPDX-License-Identifier: Apache-2.0

package mysession

import (
	"slices"
	"strings"

	"github.com/rdsproxy/rdsproxy/pkg/session"
	"github.com/rdsproxy/rdsproxy/pkg/sqlscan/myscan"
	wire "github.com/rdsproxy/rdsproxy/pkg/wire/mysql"
)

// trackedVariables are the session variables that are put in force on any
// connection, so that changing them does not pin. Of these, a server has the ones
// that its ServerFacts tell the value of.
var trackedVariables = [...]string{
	"auto_increment_increment", "auto_increment_offset", "autocommit", "big_tables", "character_set_client",
	"character_set_connection", "character_set_filesystem", "character_set_results", "character_set_server", "check_constraint_checks",
	"collation_connection", collationDatabase, "collation_server",
	"cte_max_recursion_depth", "default_storage_engine",
	"div_precision_increment", "foreign_key_checks", "group_concat_max_len", "innodb_lock_wait_timeout",
	"interactive_timeout", "join_buffer_size", "lc_messages", "lc_time_names", "lock_wait_timeout",
	"max_execution_time", "max_heap_table_size", "max_length_for_sort_data", "max_sort_length",
	"max_statement_time", "net_read_timeout", "net_write_timeout", "optimizer_switch", "profiling", "query_cache_type",
	trackGTIDs,
	"skip_replication", "sort_buffer_size", "sql_auto_is_null", "sql_big_selects", "sql_buffer_result", "sql_log_off",
	"sql_mode", "sql_notes", "sql_quote_show_create",
	"sql_safe_updates", "sql_select_limit", "sql_warnings", "time_zone", "tmp_table_size", "transaction_isolation",
	"transaction_read_only", "tx_isolation", "tx_read_only", "unique_checks", "wait_timeout",
}

// TrackedVariables are the names of the variables whose values ServerFacts should
// have, in lower case.
func TrackedVariables() []string {
	names := slices.Clone(trackedVariables[:])
	for _, v := range trackerNames {
		names = append(names, v.Name)
	}
	return names
}

// Setting is a session variable, its name in lower case.
type Setting struct{ Name, Value string }

// Settings is what a session wants of its connection that differs from what a new
// connection has: the default schema, and variables. It is immutable; nil is the
// empty one. Within a Shared, equal ones are the same pointer.
type Settings struct {
	schema string
	vars   []Setting // sorted by name
	key    string

	// mode has what the values mean for the reading of SQL texts, setMode the bits
	// that they decide about.
	mode, setMode myscan.Mode
}

const (
	sqlModeBits = myscan.ModeANSIQuotes | myscan.ModeNoBackslashEscapes | myscan.ModeOracle
	charsetBits = myscan.ModeOtherCharset | myscan.ModeUnsafeCharset
)

// Key is s in the form that the pool compares.
func (s *Settings) Key() any {
	if s == nil {
		return nil
	}
	return s
}

// Schema is the default schema, "" for that of a new connection, which has none.
func (s *Settings) Schema() string {
	if s == nil {
		return ""
	}
	return s.schema
}

func (s *Settings) variables() []Setting {
	if s == nil {
		return nil
	}
	return s.vars
}

// pins is why settings cannot be shared: with profiling the server keeps the texts
// of statements, which SHOW PROFILES tells whoever has the connection.
func (s *Settings) pins() session.Pins {
	if value, ok := s.get("profiling"); ok && value == "ON" {
		return session.PinSessionVariable
	}
	return 0
}

// get gives the value of a variable; false if it is that of a new connection.
func (s *Settings) get(name string) (string, bool) {
	vars := s.variables()
	i, ok := slices.BinarySearchFunc(vars, name, func(v Setting, name string) int { return strings.Compare(v.Name, name) })
	if !ok {
		return "", false
	}
	return vars[i].Value, true
}

func (s *Settings) has(name string) bool {
	_, ok := s.get(name)
	return ok
}

// settingsKey is equal for equal settings. Lengths stand ahead of the texts, so no
// value can look like something else.
func settingsKey(schema string, vars []Setting) string {
	p := wire.AppendLenencString(nil, schema)
	for _, v := range vars {
		p = wire.AppendLenencString(wire.AppendLenencString(p, v.Name), v.Value)
	}
	return string(p)
}

func newSettings(schema string, vars []Setting, key string) *Settings {
	s := &Settings{schema: schema, vars: vars, key: key}
	for _, v := range vars {
		switch v.Name {
		case "sql_mode":
			s.setMode |= sqlModeBits
			s.mode |= sqlMode(v.Value)
		case "character_set_client":
			s.setMode |= charsetBits
			s.mode |= myscan.CharsetMode(v.Value)
		}
	}
	return s
}

// sqlMode is what the value of sql_mode means for the reading of SQL texts.
func sqlMode(value string) (m myscan.Mode) {
	for name := range strings.SplitSeq(value, ",") {
		switch name {
		case "ANSI_QUOTES", "ANSI":
			m |= myscan.ModeANSIQuotes
		case "NO_BACKSLASH_ESCAPES":
			m |= myscan.ModeNoBackslashEscapes
		case "ORACLE":
			m |= myscan.ModeOracle
		}
	}
	return m
}

// with gives s with one variable set. A value that a new connection has anyway is
// left out.
func with(vars []Setting, name, value string, base map[string]string) []Setting {
	i, ok := slices.BinarySearchFunc(vars, name, func(v Setting, name string) int { return strings.Compare(v.Name, name) })
	vars = slices.Clone(vars)
	if ok {
		vars = slices.Delete(vars, i, i+1)
	}
	if base[name] == value {
		return vars
	}
	return slices.Insert(vars, i, Setting{name, value})
}

// without gives vars without one.
func without(vars []Setting, name string) []Setting {
	return slices.DeleteFunc(slices.Clone(vars), func(v Setting) bool { return v.Name == name })
}
