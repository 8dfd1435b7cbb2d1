// SPDX-License-Identifier: Apache-2.0

package mysession

import (
	"strconv"

	wire "github.com/rdsproxy/rdsproxy/pkg/wire/mysql"
)

// getDiagnostics gives a SET that assigns what a GET DIAGNOSTICS would, from the list
// that is kept; nil if it asks for something that is not known, or in a way that is not
// understood.
func (s *Session) getDiagnostics(sql string) []byte {
	r := setReader{p: sql}
	r.skipComments()
	if r.word() != "get" {
		return nil
	}
	word := r.word()
	if word == "current" {
		word = r.word()
	}
	if word != "diagnostics" {
		return nil
	}
	var about *condition
	if c := r.peek(); c == 'c' || c == 'C' {
		n := uint64(0)
		if r.word() != "condition" || !r.number(&n) {
			return nil
		}
		if about = s.condition(n); about == nil {
			return nil
		}
	}
	out := []byte("SET ")
	for {
		target := r.userVariable()
		if target == "" || !r.passes("=") {
			return nil
		}
		out = append(append(out, target...), '=')
		if out = s.appendItem(out, r.word(), about); out == nil {
			return nil
		}
		switch {
		case r.passes(","):
			out = append(out, ',')
		case r.ends():
			return out
		default:
			return nil
		}
	}
}

// userVariable reads the name of a user variable, as it stands there.
func (r *setReader) userVariable() string {
	if r.peek() != '@' {
		return ""
	}
	start := r.at
	r.at++
	for r.at < len(r.p) && (isWord(r.p[r.at]) || r.p[r.at] == '.') {
		r.at++
	}
	if r.at == start+1 {
		return ""
	}
	return r.p[start:r.at]
}

// condition is one row of the list. state is "" if it is not known.
type condition struct {
	code           uint64
	state, message string
}

// condition gives the row of that number, from 1 on; nil if there is none, or if it
// cannot be told in ASCII.
func (s *Session) condition(number uint64) *condition {
	rows := s.warnings.rows
	for ; len(rows) > 0; number-- {
		size, _ := wire.ParseHeader(rows)
		if number == 1 {
			row := wire.ReadTextRow(rows[wire.HeaderLen : wire.HeaderLen+size])
			return s.conditionOf(row)
		}
		rows = rows[wire.HeaderLen+size:]
	}
	return nil
}

func (s *Session) conditionOf(row wire.TextRow) *condition {
	level, _ := row.Next()
	code, _ := row.Next()
	message, ok := row.Next()
	for _, b := range message {
		ok = ok && b < 0x80
	}
	c := &condition{message: string(message)}
	c.code, _ = number(code)
	if string(level) == "Error" && c.code == uint64(s.failed.code) {
		c.state = string(s.failed.state[:])
	}
	if !ok {
		return nil
	}
	return c
}

// appendItem appends the value of one item of information; nil if it is not known.
func (s *Session) appendItem(dst []byte, item string, about *condition) []byte {
	unsigned := func(n uint64) []byte {
		return append(strconv.AppendUint(append(dst, "CAST("...), n, 10), " AS UNSIGNED)"...)
	}
	text := func(value string) []byte {
		// VERSION() is of the character set that such values have, whose name MySQL
		// warns of.
		return append(wire.AppendLiteral(append(dst, "IF(1,"...), value), ",VERSION())"...)
	}
	switch {
	case about == nil && item == "number":
		return unsigned(uint64(s.warnings.numRows))
	case about == nil && item == "row_count":
		return strconv.AppendInt(dst, s.affected, 10)
	case about == nil:
	case item == "mysql_errno":
		return unsigned(about.code)
	case item == "message_text":
		return text(about.message)
	case item == "returned_sqlstate" && about.state != "":
		return text(about.state)
	}
	return nil
}
