// SPDX-License-Identifier: Apache-2.0

package mysession

import (
	"bytes"
	"strconv"

	"github.com/rdsproxy/rdsproxy/pkg/sqlscan/myscan"
	wire "github.com/rdsproxy/rdsproxy/pkg/wire/mysql"
)

// This file is about calls that mean the connection rather than the session:
// ROW_COUNT(), FOUND_ROWS(), CONNECTION_ID(), @@warning_count. Such a call is put into another one,
// which gives the session's value and has its type from the call within:
// IFNULL(5,ROW_COUNT()). What servers warn of, they still warn of.
//
// Servers name columns by the text of their expressions, and quote texts in errors.
// There the call alone is put back.

// renaming is a part of a text as the server sees it, and as the client wrote it.
type renaming struct{ shown, written []byte }

// when is when a text is evaluated.
type when uint8

const (
	// atOnce: when it is sent.
	atOnce when = iota
	// later: when what is prepared is executed. ROW_COUNT() and FOUND_ROWS() change
	// until then.
	later
	// again: it is a text from before, in which only these two are left.
	again
)

// rewritten gives the text with its calls put into others; no renamings if there is
// none. Behind the first statement of a text, a connection knows ROW_COUNT() and
// FOUND_ROWS() by itself.
func (s *Session) rewritten(sql []byte, res *myscan.Result, w when) (text []byte, renamed []renaming) {
	at := 0
	locks := res.NumCalls > 0 && bytes.Contains(bytes.ToLower(sql), []byte("is_used_lock"))
	for i := range res.NumCalls {
		call := &res.Calls[i]
		if locks && call.Kind == myscan.CallConnectionID {
			continue // the holder of a lock is named as the server knows it
		}
		if call.Start < at || call.End > len(sql) || call.Start > call.End {
			continue
		}
		written := sql[call.Start:call.End]
		shown := s.appendValue(nil, call, w, written)
		if shown == nil {
			continue
		}
		renamed = append(renamed, renaming{shown, bytes.Clone(written)})
		text = append(append(text, sql[at:call.Start]...), shown...)
		at = call.End
	}
	if renamed == nil {
		return sql, nil
	}
	return append(text, sql[at:]...), renamed
}

// appendValue appends what stands for a call; nothing if the connection itself knows
// the value.
func (s *Session) appendValue(dst []byte, call *myscan.Call, w when, written []byte) []byte {
	switch call.Kind {
	case myscan.CallDatabase:
		if w != atOnce || s.lostSchema == "" {
			return dst
		}
		// It has the type that the call has.
		dst = wire.AppendLiteral(append(dst, "SUBSTRING(CAST("...), s.lostSchema)
		return append(dst, " AS CHAR(64)),1,64)"...)
	case myscan.CallConnectionID:
		if w == again {
			return dst
		}
		dst = append(strconv.AppendUint(append(dst, "IFNULL(CAST("...), uint64(s.threadID), 10), " AS UNSIGNED),"...)
	case myscan.CallThreadID:
		if w == again {
			return dst
		}
		dst = append(strconv.AppendUint(append(dst, "IF(1,CAST("...), uint64(s.threadID), 10), " AS UNSIGNED),"...)
	case myscan.CallRowCount:
		if w == later || s.valuesHere || !call.First {
			return dst
		}
		dst = append(strconv.AppendInt(append(dst, "IFNULL("...), s.affected, 10), ',')
	case myscan.CallFoundRows:
		if w == later || s.foundHere || !call.First {
			return dst
		}
		dst = append(strconv.AppendUint(append(dst, "IFNULL("...), s.foundRows, 10), ',')
	case myscan.CallWarningCount, myscan.CallErrorCount:
		if w != atOnce || s.warnings == nil || !call.First {
			return dst
		}
		n := s.warnings.count(call.Kind == myscan.CallErrorCount)
		dst = append(strconv.AppendUint(append(dst, "IF(1,CAST("...), uint64(n), 10), " AS UNSIGNED),"...)
	default:
		return dst
	}
	return append(append(dst, written...), ')')
}

// untold tells whether a text has a call whose value the session knows and the
// connection does not, at a place where it cannot be put.
func (s *Session) untold(res *myscan.Result) bool { return res.CannotReplace && !s.valuesHere }

// needsValues tells whether a text has any such call.
func (s *Session) needsValues(res *myscan.Result) bool {
	if s.valuesHere {
		return false
	}
	for _, c := range res.Calls[:res.NumCalls] {
		if c.First && (c.Kind == myscan.CallRowCount || c.Kind == myscan.CallFoundRows) {
			return true
		}
	}
	return res.CannotReplace
}

var untoldError = wire.NewError(codeNotSupported,
	"The proxy does not support ROW_COUNT() and FOUND_ROWS() at this place")

// writtenBack gives a name or a message as it would be without the rewriting.
func writtenBack(p []byte, renamed []renaming) []byte {
	for _, r := range renamed {
		p = bytes.ReplaceAll(p, r.shown, r.written)
	}
	return p
}

// renamedDefinition passes on one definition of a column, which may be named by a
// text that was rewritten.
func (s *Session) renamedDefinition(p []byte) int {
	srv := s.srv
	x := &srv.x
	msg := s.packet(p, x.seq)
	if msg == nil {
		return 0
	}
	payload := msg[wire.HeaderLen:]
	if payload[0] == wire.HeadErr {
		return s.serverDefinitionsFail(p)
	}
	x.seq++
	x.columns--
	if c, ok := wire.ParseColumn(payload, srv.caps); ok {
		c.Name, c.OrgName = writtenBack(c.Name, x.renamed), writtenBack(c.OrgName, x.renamed)
		srv.scratch = wire.AppendColumn(srv.scratch[:0], msg[3]+x.shift, srv.caps, &c)
		s.toClient(srv.scratch)
	} else {
		s.forward(msg)
	}
	if x.columns == 0 {
		s.definitionsEnd()
	}
	return len(msg)
}

// renamedError passes on an error, which may quote such a text.
func (s *Session) renamedError(msg []byte) {
	x := &s.srv.x
	err, ok := wire.ParseError(msg[wire.HeaderLen:])
	if !ok || !s.heard() {
		s.forward(msg)
		return
	}
	err.Message = string(writtenBack([]byte(err.Message), x.renamed))
	s.srv.scratch = wire.AppendError(s.srv.scratch[:0], msg[3]+x.shift, s.caps, err)
	s.toClient(s.srv.scratch)
}
