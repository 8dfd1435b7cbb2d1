// SPDX-License-Identifier: Apache-2.0

package pgsession

import (
	"iter"
	"slices"
	"strings"
	"unique"
)

// Params is an immutable set of parameters as ParameterStatus reports them
// (protocol, section "Asynchronous Operations"). Equal sets are equal with ==,
// and share their memory. The zero value is the empty set.
type Params struct{ encoded unique.Handle[string] }

// NewParams makes the set of what a login reported.
func NewParams(reported map[string]string) Params {
	names := make([]string, 0, len(reported))
	for name := range reported {
		names = append(names, name)
	}
	slices.Sort(names)
	var b strings.Builder
	for _, name := range names {
		appendParam(&b, name, reported[name])
	}
	return encodedParams(b.String())
}

func encodedParams(s string) Params {
	if s == "" {
		return Params{}
	}
	return Params{unique.Make(s)}
}

func appendParam(b *strings.Builder, name, value string) {
	b.WriteString(name)
	b.WriteByte(0)
	b.WriteString(value)
	b.WriteByte(0)
}

// All gives name and value of each parameter, sorted by name.
func (p Params) All() iter.Seq2[string, string] {
	return func(yield func(string, string) bool) {
		if p == (Params{}) {
			return
		}
		for rest := p.encoded.Value(); rest != ""; {
			var name, value string
			name, rest, _ = strings.Cut(rest, "\x00")
			value, rest, _ = strings.Cut(rest, "\x00")
			if !yield(name, value) {
				return
			}
		}
	}
}

// Get gives the value of one parameter.
func (p Params) Get(name string) (value string, ok bool) {
	for n, v := range p.All() {
		if n == name {
			return v, true
		}
	}
	return "", false
}

// With gives the set with one parameter changed or added. Neither string may
// contain a NUL, which the protocol's strings cannot.
func (p Params) With(name, value string) Params {
	var b strings.Builder
	done := false
	for n, v := range p.All() {
		switch {
		case n == name:
			v, done = value, true
		case !done && n > name:
			appendParam(&b, name, value)
			done = true
		}
		appendParam(&b, n, v)
	}
	if !done {
		appendParam(&b, name, value)
	}
	return encodedParams(b.String())
}

// changes gives what must be reported to somebody who knows p, so that it
// knows q.
func (p Params) changes(q Params) iter.Seq2[string, string] {
	return func(yield func(string, string) bool) {
		if p == q {
			return
		}
		for name, value := range q.All() {
			if old, ok := p.Get(name); ok && old == value {
				continue
			}
			if !yield(name, value) {
				return
			}
		}
	}
}
