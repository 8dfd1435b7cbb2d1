// SPDX-License-Identifier: Apache-2.0

package mysession

import "strings"

// maxAssigned is more than any client sets at once.
const maxAssigned = 64

// assigned gives the names of the session variables that a SET, or MariaDB's SET
// STATEMENT, assigns, in lower case. "names" stands for SET NAMES. ok is false for all
// that is not plain: other scopes, user variables, comments, functions that may do
// more than compute.
func assigned(sql string) (names []string, ok bool) {
	r := setReader{p: sql}
	if r.word() != "set" {
		return nil, false
	}
	first := r.word()
	if first == "statement" {
		r.during, first = true, r.word()
	}
	for len(names) < maxAssigned {
		name := r.variable(first)
		if name == "" {
			return nil, false
		}
		names = append(names, name)
		more, good := r.value()
		if !more || !good {
			return names, good
		}
		first = r.word()
	}
	return nil, false
}

// setReader reads such a statement. All its methods pass over blanks first.
type setReader struct {
	p      string
	at     int
	during bool // it is SET STATEMENT
}

// peek gives the next byte, 0 at the end.
func (r *setReader) peek() byte {
	for r.at < len(r.p) {
		switch c := r.p[r.at]; c {
		case ' ', '\t', '\r', '\n':
			r.at++
		default:
			return c
		}
	}
	return 0
}

// word reads a word, perhaps in backticks, in lower case; "" if there is none.
func (r *setReader) word() string {
	quoted := r.peek() == '`'
	if quoted {
		r.at++
	}
	start := r.at
	for r.at < len(r.p) && isWord(r.p[r.at]) {
		r.at++
	}
	w := strings.ToLower(r.p[start:r.at])
	if quoted {
		if r.at == len(r.p) || r.p[r.at] != '`' {
			return ""
		}
		r.at++
	}
	return w
}

func isWord(c byte) bool {
	return c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9' || c == '_' || c == '$'
}

// variable reads the variable of an assignment that begins with that word, up to and
// with its sign; "" if it is not plain.
func (r *setReader) variable(word string) string {
	if word == "" && strings.HasPrefix(r.p[r.at:], "@@") {
		r.at += len("@@")
		if word = r.word(); (word == "session" || word == "local") && r.peek() == '.' {
			r.at++
			word = r.word()
		}
	}
	switch word {
	case "session", "local":
		word = r.word()
	case "names":
		return word
	case "global", "persist", "persist_only", "password", "role", "transaction", "character", "charset", "char", "default":
		return ""
	}
	if r.peek() == ':' {
		r.at++
	}
	if r.peek() != '=' {
		return ""
	}
	r.at++
	return word
}

// plainFunctions only compute.
var plainFunctions = map[string]bool{
	"concat": true, "concat_ws": true, "if": true, "ifnull": true, "nullif": true, "coalesce": true, "replace": true, "trim": true,
	"lower": true, "upper": true, "find_in_set": true, "in": true, "and": true, "or": true, "not": true, "when": true, "then": true,
	"else": true,
}

// value passes over a value. more tells that another assignment follows.
func (r *setReader) value() (more, ok bool) {
	depth := 0
	for {
		switch c := r.peek(); {
		case c == 0:
			return false, depth == 0 && !r.during
		case c == ',' && depth == 0:
			r.at++
			return true, true
		case c == '\'' || c == '"':
			if !r.text(c) {
				return false, false
			}
		case c == '(':
			depth++
			r.at++
		case c == ')':
			depth--
			r.at++
		case c == ';':
			r.at++
			return false, r.peek() == 0 && depth == 0 && !r.during
		case isWord(c) || c == '`':
			w := r.word()
			if w == "for" && r.during && depth == 0 {
				return false, true
			}
			if w == "" || w == "select" || r.peek() == '(' && !plainFunctions[w] {
				return false, false
			}
		case c == '#' || c == '/' || c == '-' && strings.HasPrefix(r.p[r.at:], "--"), c == ':':
			return false, false // a comment, or an assignment to a user variable
		default:
			r.at++
		}
	}
}

// text passes over a text in quotes. What a backslash means there depends on the mode.
func (r *setReader) text(quote byte) bool {
	for r.at++; r.at < len(r.p); r.at++ {
		switch r.p[r.at] {
		case '\\':
			return false
		case quote:
			r.at++
			if r.at == len(r.p) || r.p[r.at] != quote {
				return true
			}
		}
	}
	return false
}
