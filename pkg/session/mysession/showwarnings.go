// SPDX-License-Identifier: Apache-2.0

package mysession

import (
	"strconv"
	"strings"

	"github.com/rdsproxy/rdsproxy/pkg/sqlscan/myscan"
	wire "github.com/rdsproxy/rdsproxy/pkg/wire/mysql"
)

// This file answers the client from a list of warnings that was kept.

// showWarnings answers a text that asks for the list while that is kept here. handled
// is false if a server can do so after all, with the numbers put into the text, or with
// another text instead.
func (s *Session) showWarnings(c *command, sql []byte, res *myscan.Result) (n int, ok, handled bool, instead []byte) {
	w := s.warnings
	switch {
	case res.First == myscan.CommandSignal && res.Statements == 1:
		return 0, false, false, nil // it adds to the list
	case w.failure != nil:
		return s.refuse(c, w.failure), true, true, nil
	case res.First == myscan.CommandGet && res.Statements == 1:
		if instead = s.getDiagnostics(string(sql)); instead != nil {
			return 0, false, false, instead
		}
		return s.refuse(c, s.elsewhere()), true, true, nil
	}
	if !looks(res) {
		counts := 0
		for _, call := range res.Calls[:res.NumCalls] {
			if call.Kind == myscan.CallWarningCount || call.Kind == myscan.CallErrorCount {
				counts++
			}
		}
		if counts == res.Counts && !res.CannotReplace {
			return 0, false, false, nil
		}
		return s.refuse(c, s.elsewhere()), true, true, nil
	}
	ask, understood := readShow(string(sql))
	switch {
	case !understood:
		return s.refuse(c, s.elsewhere()), true, true, nil
	case ask.count:
		w.showCount(s, ask.errors)
	default:
		w.show(s, &ask)
	}
	s.affected, s.valuesHere, s.listRead = -1, false, true
	return s.pass(c, toNowhere), true, true, nil
}

// elsewhere is the answer to a client that asks for the list in another way than it can
// be answered. The next time it finds it where it is.
func (s *Session) elsewhere() *wire.Error {
	s.keepsList = true
	return warningsElsewhere
}

// show sends the rows that were asked for.
func (w *warnings) show(s *Session, ask *show) {
	out := s.srv.scratch[:0]
	seq := byte(1)
	out, seq = renumbered(out, w.columns, seq)
	out, seq = s.appendMidEOF(out, seq)
	skip, left := ask.offset, ask.limit
	for rows := w.rows; len(rows) > 0 && left > 0; {
		size, _ := wire.ParseHeader(rows)
		msg := rows[:wire.HeaderLen+size]
		rows = rows[len(msg):]
		row := wire.ReadTextRow(msg[wire.HeaderLen:])
		level, _ := row.Next()
		switch {
		case ask.errors && string(level) != "Error":
		case skip > 0:
			skip--
		default:
			out, seq = renumbered(out, msg, seq)
			left--
		}
	}
	s.sendEnd(out, seq)
}

// showCount sends the one number that SHOW COUNT(*) shows.
func (w *warnings) showCount(s *Session, errors bool) {
	name := "@@session.warning_count"
	if errors {
		name = "@@session.error_count"
	}
	srv := s.srv
	out := wire.AppendColumnCount(srv.scratch[:0], 1, srv.caps, 1, true)
	out = wire.AppendColumn(out, 2, srv.caps, &wire.Column{
		Name: []byte(name), Collation: wire.CollationBinary, Length: 21, Type: wire.TypeLongLong,
		Flags: wire.FlagBinary | wire.FlagUnsigned,
	})
	out, seq := s.appendMidEOF(out, 3)
	out = wire.AppendTextRow(out, seq, strconv.AppendInt(nil, int64(w.count(errors)), 10))
	s.sendEnd(out, seq+1)
}

// renumbered appends packets with the sequence ids that follow.
func renumbered(dst, packets []byte, seq byte) (out []byte, next byte) {
	at := len(dst)
	dst = append(dst, packets...)
	for at < len(dst) {
		size, _ := wire.ParseHeader(dst[at:])
		dst[at+3] = seq
		seq++
		at += wire.HeaderLen + size
	}
	return dst, seq
}

// appendMidEOF appends the EOF packet that some clients expect behind definitions.
func (s *Session) appendMidEOF(dst []byte, seq byte) (out []byte, next byte) {
	if s.caps.Has(wire.ClientDeprecateEOF) {
		return dst, seq
	}
	return wire.AppendEOF(dst, seq, s.presentStatus(), 0), seq + 1
}

// sendEnd sends the client a result that lacks nothing but its end.
func (s *Session) sendEnd(out []byte, seq byte) {
	out = wire.AppendResultEnd(out, seq, s.caps, wire.OK{Status: s.presentStatus()})
	s.srv.scratch = out[:0]
	s.host.ToClient(out)
}

// show is a SHOW WARNINGS, SHOW ERRORS or SHOW COUNT(*) of one of them.
type show struct {
	errors, count bool
	offset, limit uint64
}

// readShow reads such a text. ok is false for every other.
func readShow(sql string) (ask show, ok bool) {
	r := setReader{p: sql}
	r.skipComments()
	if r.word() != "show" {
		return ask, false
	}
	word := r.word()
	if word == "count" {
		if !r.passes("(") || !r.passes("*") || !r.passes(")") {
			return ask, false
		}
		ask.count = true
		word = r.word()
	}
	ask.errors = word == "errors"
	if !ask.errors && word != "warnings" {
		return ask, false
	}
	ask.limit = 1<<64 - 1
	if r.ends() {
		return ask, true
	}
	if ask.count || r.word() != "limit" || !r.number(&ask.limit) {
		return ask, false
	}
	switch {
	case r.passes(","):
		ask.offset = ask.limit
		ok = r.number(&ask.limit)
	case r.peek() == 'o' || r.peek() == 'O':
		ok = r.word() == "offset" && r.number(&ask.offset)
	default:
		ok = true
	}
	return ask, ok && r.ends()
}

// passes passes over a sign, if that comes next.
func (r *setReader) passes(sign string) bool {
	if r.peek() != sign[0] {
		return false
	}
	r.at++
	return true
}

// number reads a decimal number.
func (r *setReader) number(n *uint64) bool {
	value, ok := number([]byte(r.word()))
	*n = value
	return ok
}

// skipComments passes over comments that are nothing else to any server.
func (r *setReader) skipComments() {
	for r.peek() == '/' && strings.HasPrefix(r.p[r.at:], "/*") && !strings.HasPrefix(r.p[r.at:], "/*!") &&
		!strings.HasPrefix(r.p[r.at:], "/*M!") && !strings.HasPrefix(r.p[r.at:], "/*+") {
		_, rest, closed := strings.Cut(r.p[r.at+2:], "*/")
		if !closed {
			return
		}
		r.at = len(r.p) - len(rest)
	}
}
