// SPDX-License-Identifier: Apache-2.0

package mysession

import "strings"

// showsNoTracker tells that a text is a SHOW VARIABLES of which it is certain that it
// shows none of the session_track variables.
func showsNoTracker(text string) bool {
	r := setReader{p: text}
	if r.word() != "show" {
		return false
	}
	w := r.word()
	if w == "session" || w == "local" {
		w = r.word()
	}
	if w != "variables" {
		return false
	}
	switch r.word() {
	case "like":
		pattern, ok := r.literal()
		return ok && !mayMatchTracker(pattern) && r.ends()
	case "where":
		return r.namesOnly() && r.ends()
	}
	return false
}

// ends tells whether nothing else follows.
func (r *setReader) ends() bool {
	if r.peek() == ';' {
		r.at++
	}
	return r.peek() == 0
}

// literal reads a text in single quotes that has none in it.
func (r *setReader) literal() (string, bool) {
	if r.peek() != '\'' {
		return "", false
	}
	text, rest, ok := strings.Cut(r.p[r.at+1:], "'")
	r.at = len(r.p) - len(rest)
	return text, ok && !strings.HasPrefix(rest, "'")
}

// mayMatchTracker tells whether a pattern of LIKE may match one of the names.
func mayMatchTracker(pattern string) bool {
	at := 0
	for i := 0; i < len(pattern); i++ {
		c := pattern[i]
		if at == len(trackerPrefix) || c == '%' || c >= 0x80 {
			return true
		}
		if c == '_' {
			at++
			continue
		}
		if c == '\\' {
			if i++; i == len(pattern) {
				return true
			}
			c = pattern[i]
		}
		if c|0x20 != trackerPrefix[at]|0x20 {
			return false
		}
		at++
	}
	return false
}

// namesOnly reads conditions that are nothing but names: Variable_name = 'a' OR
// Variable_name IN ('b', 'c').
func (r *setReader) namesOnly() bool {
	for {
		if r.word() != "variable_name" {
			return false
		}
		switch {
		case r.peek() == '=':
			r.at++
			if !r.otherName() {
				return false
			}
		case r.word() != "in" || r.peek() != '(':
			return false
		default:
			for r.peek() != ')' {
				r.at++ // the parenthesis, or a comma
				if !r.otherName() || r.peek() != ',' && r.peek() != ')' {
					return false
				}
			}
			r.at++
		}
		if r.ends() {
			return true
		}
		if r.word() != "or" {
			return false
		}
	}
}

// otherName reads the name of a variable that is none of these. Collations let some
// characters above ASCII be equal to letters.
func (r *setReader) otherName() bool {
	name, ok := r.literal()
	return ok && !isTracker(strings.ToLower(strings.TrimSpace(name))) &&
		!strings.ContainsFunc(name, func(c rune) bool { return c >= 0x80 || c == '\\' })
}
