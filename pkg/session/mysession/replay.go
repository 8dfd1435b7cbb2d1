// SPDX-License-Identifier: Apache-2.0

package mysession

import (
	"slices"
	"strconv"
	"strings"

	wire "github.com/rdsproxy/rdsproxy/pkg/wire/mysql"
)

const (
	// collationDatabase is a variable that the choice of a default schema sets. It is a
	// setting only where it has got another value since: by the client, or by a reset,
	// which gives it the value that it has without a schema.
	collationDatabase = "collation_database"
	// collationOfResults is no variable but the number of the collation that definitions
	// of columns have, which goes with character_set_results and depends on how that was
	// set: by number at the login, by SET NAMES with COLLATE or without it.
	collationOfResults = "collation_of_results"
)

// replay gives a SET statement that turns a connection with the settings from into
// one with the variables of to; nil when none is needed. What to does not mention
// becomes what base says.
func replay(from, to *Settings, base map[string]string) []byte {
	r := replayer{to: to, base: base}
	r.names(from)
	for _, v := range from.variables() {
		if _, kept := to.get(v.Name); !kept {
			r.set(v.Name, base[v.Name])
		}
	}
	for _, v := range to.variables() {
		if old, ok := from.get(v.Name); !ok || old != v.Value {
			r.set(v.Name, v.Value)
		}
	}
	return r.sql
}

type replayer struct {
	to    *Settings
	base  map[string]string
	sql   []byte
	named bool // SET NAMES has set the variables of logins
}

// names sets the collation of results, which nothing but SET NAMES can do, if it has
// to be another one.
func (r *replayer) names(from *Settings) {
	charset, number := resultsOf(r.to, r.base)
	if before, numberBefore := resultsOf(from, r.base); number == "" || before == charset && numberBefore == number {
		return
	}
	n, err := strconv.ParseUint(number, 10, 16)
	name := wire.CollationName(uint16(n))
	if err != nil || name == "" || wire.CharsetOf(name) != charset || notForClients(charset) {
		return
	}
	r.sql = appendNames(append(r.sql, "SET "...), name)
	for _, v := range collationVariables {
		value, ok := r.to.get(v)
		if !ok {
			value, ok = r.base[v]
		}
		if ok && v != "character_set_results" && v != collationOfResults {
			r.set(v, value)
		}
	}
	r.named = true
}

func (r *replayer) set(name, value string) {
	switch {
	case name == collationOfResults, r.named && slices.Contains(collationVariables[:], name):
		return
	case r.sql == nil:
		r.sql = append(r.sql, "SET "...)
	default:
		r.sql = append(r.sql, ',')
	}
	r.sql = append(append(r.sql, "SESSION "...), name...)
	r.sql = appendValue(append(r.sql, '='), name, value)
}

// appendNames appends what a login with that collation does.
func appendNames(sql []byte, collation string) []byte {
	sql = append(append(sql, "NAMES '"...), wire.CharsetOf(collation)...)
	return append(append(append(sql, "' COLLATE '"...), collation...), '\'')
}

// resultsOf gives the character set of results and the number of its collation, "" if
// that is the default of the character set.
func resultsOf(s *Settings, base map[string]string) (charset, number string) {
	charset, ok := s.get("character_set_results")
	if !ok {
		charset = base["character_set_results"]
	}
	number, ok = s.get(collationOfResults)
	if !ok && charset == base["character_set_results"] {
		number = base[collationOfResults]
	}
	return charset, number
}

// notForClients are character sets that no client can send.
func notForClients(charset string) bool {
	switch charset {
	case "ucs2", "utf16", "utf16le", "utf32":
		return true
	}
	return false
}

// appendValue appends a value as the server has reported it in the form in which it
// can be set: numbers bare, since a string would be refused, no character set as
// NULL, and all else as a string, which cannot become SQL.
func appendValue(dst []byte, name, value string) []byte {
	if value == "" && strings.HasPrefix(name, "character_set_") {
		return append(dst, "NULL"...)
	}
	if _, err := strconv.ParseFloat(value, 64); err == nil && isNumber(value) {
		return append(dst, value...)
	}
	return wire.AppendLiteral(dst, value)
}

func isNumber(s string) bool {
	for i := range len(s) {
		if c := s[i]; (c < '0' || c > '9') && c != '.' && (c != '-' || i > 0) {
			return false
		}
	}
	return s != ""
}
