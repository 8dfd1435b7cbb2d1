// SPDX-License-Identifier: Apache-2.0

package pgsession

import (
	"strings"
	"sync/atomic"

	wire "github.com/rdsproxy/rdsproxy/pkg/wire/postgres"
)

// Setting is one run-time parameter that a client asked for at start-up.
type Setting struct{ Name, Value string }

// Settings is the immutable list of what a client asked for at start-up,
// beyond user and database. nil is the empty list. Within a Shared, equal
// lists are usually the same pointer.
type Settings struct {
	list []Setting
	key  string
	// reported is what the server reports when these settings are applied;
	// nil until they have been applied once, which also proves them valid.
	reported atomic.Pointer[Params]
}

// settingsKey is equal for lists with the same effect: names compare without
// case, a later value replaces an earlier one.
func settingsKey(list []Setting) string {
	var b strings.Builder
	for _, s := range list {
		appendParam(&b, strings.ToLower(s.Name), s.Value)
	}
	return b.String()
}

// dedupe keeps the last value of each name, in the order of first mention.
func dedupe(list []Setting) []Setting {
	var out []Setting
	at := make(map[string]int, len(list))
	for _, s := range list {
		name := strings.ToLower(s.Name)
		if i, ok := at[name]; ok {
			out[i].Value = s.Value
			continue
		}
		at[name] = len(out)
		out = append(out, s)
	}
	return out
}

// Get gives the value of one parameter; names compare without case.
func (s *Settings) Get(name string) (string, bool) {
	if s == nil {
		return "", false
	}
	for _, e := range s.list {
		if strings.EqualFold(e.Name, name) {
			return e.Value, true
		}
	}
	return "", false
}

func (s *Settings) keyString() string {
	if s == nil {
		return ""
	}
	return s.key
}

// same tells whether two lists have the same effect.
func (s *Settings) same(t *Settings) bool { return s == t || s.keyString() == t.keyString() }

// replay gives a Query message that turns a connection with the settings from
// into one with the settings to, or nil when none is needed. With unsure it is
// not known whether those of from are still in force.
//
// set_config takes names and values as string literals, so neither can become
// SQL; RESET returns to the value that the connection had at its own start.
func replay(from, to *Settings, unsure bool) []byte {
	if from.same(to) && !unsure {
		return nil
	}
	var sql []byte
	if from != nil {
		for _, s := range from.list {
			if _, kept := to.Get(s.Name); !kept {
				sql = append(sql, "RESET "...)
				sql = appendParameterName(sql, s.Name)
				sql = append(sql, ';')
			}
		}
	}
	first := true
	if to != nil {
		for _, s := range to.list {
			if old, ok := from.Get(s.Name); ok && old == s.Value && !unsure {
				continue
			}
			if first {
				sql = append(sql, "SELECT pg_catalog.set_config("...)
				first = false
			} else {
				sql = append(sql, ",pg_catalog.set_config("...)
			}
			sql = wire.AppendLiteral(sql, s.Name)
			sql = append(sql, ',')
			sql = wire.AppendLiteral(sql, s.Value)
			sql = append(sql, ",false)"...)
		}
	}
	if len(sql) == 0 {
		return nil
	}
	return wire.AppendQuery(nil, string(sql))
}

// appendParameterName quotes a parameter's name, part by part: custom ones are
// written prefix.name.
func appendParameterName(dst []byte, name string) []byte {
	for i, part := range strings.Split(name, ".") {
		if i > 0 {
			dst = append(dst, '.')
		}
		dst = wire.AppendIdentifier(dst, part)
	}
	return dst
}

// Key is s in the form that the pool compares: nil for the empty list.
func (s *Settings) Key() any {
	if s == nil {
		return nil
	}
	return s
}
