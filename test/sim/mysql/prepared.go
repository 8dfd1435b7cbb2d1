// SPDX-License-Identifier: Apache-2.0

package main

import (
	"encoding/binary"
	"fmt"
	"strings"

	wire "github.com/rdsproxy/rdsproxy/pkg/wire/mysql"
)

func (s *server) prepare(text string) {
	s.clearList(text)
	s.newest = 0
	verb, rest, _ := strings.Cut(text, " ")
	if verb != "SELECT" && verb != "INSERT" && verb != "SET" {
		s.fail(1064, "You have an error in your SQL syntax near '"+text+"'")
		return
	}
	columns := 0
	if verb == "SELECT" {
		exprs, _, _ := strings.Cut(rest, " FROM ")
		columns = len(splitOutside(exprs))
	}
	s.lastStmt++
	s.newest = s.lastStmt
	st := &stmt{text: text, meaning: s.meaning(), params: strings.Count(text, "?")}
	s.stmts[s.lastStmt] = st
	s.sent = wire.AppendPrepared(s.sent, s.next(), s.caps, wire.Prepared{
		ID: s.lastStmt, Columns: uint16(columns), Params: uint16(st.params), Metadata: true,
	})
	for _, n := range []int{st.params, columns} {
		for range n {
			s.column("?")
		}
		if n > 0 && !s.caps.Has(wire.ClientDeprecateEOF) {
			s.sent = wire.AppendEOF(s.sent, s.next(), s.status(), 0)
		}
	}
}

// noteTypes takes the types of parameters from an execution that is not carried out:
// the client will not say them again.
func (s *server) noteTypes(p []byte) {
	if k := wire.Command(p[0]); k != wire.ComStmtExecute && k != wire.ComStmtBulkExecute {
		return
	}
	id, _ := wire.StatementID(p)
	if id == wire.LastStatement {
		id = s.newest
	}
	if st := s.stmts[id]; st != nil {
		if x, need, err := wire.ParseExecute(p, len(p), s.caps, st.params); err == nil && need == 0 && x.HasTypes {
			st.types = x.Types
		}
	}
}

func (s *server) execute(p []byte) {
	st := s.find(p, "mysqld_stmt_execute")
	if st == nil {
		return
	}
	x, need, err := wire.ParseExecute(p, len(p), s.caps, st.params)
	if err != nil || need > 0 {
		s.plainError(1835, "Malformed communication packet")
		return
	}
	if x.HasTypes {
		st.types = x.Types
	}
	if x.Params > 0 && st.types == nil {
		s.plainError(1210, "Incorrect arguments to mysqld_stmt_execute")
		return
	}
	st.open, st.cursor = false, nil
	if x.Bulk && !strings.HasPrefix(st.text, "INSERT ") {
		s.fail(1295, "This command is not supported in the prepared statement protocol yet")
		return
	}
	if x.Bulk {
		s.bulk(st, p[x.Values:])
		return
	}
	params, ok := st.values(&x, p)
	st.long = nil
	if !ok {
		s.plainError(1210, "Incorrect arguments to mysqld_stmt_execute")
		return
	}
	if x.Cursor() && strings.HasPrefix(st.text, "SELECT ") {
		s.cursor = st
	}
	s.statement(st.text, st.meaning, params, true, false)
	s.cursor = nil
}

// find gives the statement of a command; nil if there is none, which is told.
func (s *server) find(p []byte, command string) *stmt {
	id, _ := wire.StatementID(p)
	st := s.stmts[id]
	if id == wire.LastStatement && s.mariaDB {
		st = s.stmts[s.newest]
	}
	if st == nil {
		s.plainError(1243, fmt.Sprintf("Unknown prepared statement handler (%d) given to %s", id, command))
	}
	return st
}

// values reads the values of the parameters.
func (st *stmt) values(x *wire.Execute, p []byte) (params []string, ok bool) {
	at := x.Values
	for i := range x.Params {
		long, ok := st.long[i]
		switch {
		case ok:
			params = append(params, string(long))
		case x.Nulls[i/8]>>(i%8)&1 == 1:
			params = append(params, "\x00")
		case at >= len(p) || wire.Type(st.types[2*i]) == wire.TypeLongLong && at+8 > len(p):
			return nil, false
		case wire.Type(st.types[2*i]) == wire.TypeLongLong:
			params = append(params, fmt.Sprintf("i:%d", binary.LittleEndian.Uint64(p[at:])))
			at += 8
		default:
			v, rest, _ := wire.ReadLenencString(p[at:])
			params = append(params, string(v))
			at = len(p) - len(rest)
		}
	}
	return params, true
}

// bulk executes an INSERT once for each of its rows, which have an indicator ahead
// of each value.
func (s *server) bulk(st *stmt, p []byte) {
	s.clearList("INSERT")
	s.before = s.status()
	n, first := uint64(0), uint64(0)
	for len(p) > 1 {
		v, rest, _ := wire.ReadLenencString(p[1:])
		p = rest
		_, id := s.insert(strings.TrimPrefix(st.text, "INSERT "), []string{string(v)})
		if n++; n == 1 {
			first = id
		}
	}
	if n > 0 {
		s.lastID = first
	}
	s.rowCount = int64(n)
	s.ok(n, first, false)
}

// openCursor answers with the columns; the rows stay.
func (s *server) openCursor(names []string, rows [][]string) {
	s.cursor.open, s.cursor.cursor = true, rows
	s.sent = wire.AppendColumnCount(s.sent, s.next(), s.caps, len(names), true)
	for _, n := range names {
		s.column(n)
	}
	s.sent = wire.AppendResultEnd(s.sent, s.next(), s.caps, wire.OK{Status: s.status() | wire.StatusCursorExists, Track: s.block})
	s.block, s.rowCount = nil, -1
}

// fetch sends rows of a cursor. That there are no more shows when one is missing.
func (s *server) fetch(p []byte) {
	st := s.find(p, "mysqld_stmt_fetch")
	if st == nil {
		return
	}
	if !st.open {
		id, _ := wire.StatementID(p)
		s.plainError(1421, fmt.Sprintf("The statement (%d) has no open cursor.", id))
		return
	}
	n := int(binary.LittleEndian.Uint32(p[5:]))
	status := s.status() | wire.StatusCursorExists
	if n > len(st.cursor) {
		n, status = len(st.cursor), s.status()|wire.StatusLastRowSent
		st.open = false
	}
	for _, row := range st.cursor[:n] {
		s.sent = wire.AppendPacket(s.sent, s.next(), binaryRow(row))
	}
	st.cursor = st.cursor[n:]
	s.sent = wire.AppendResultEnd(s.sent, s.next(), s.caps, wire.OK{Status: status})
}

// load takes a packet of the client's file: rows, one a line. An empty one ends it.
func (s *server) load(p []byte, seq byte) {
	s.outOfStep = s.outOfStep || seq != s.seq
	s.seq = seq + 1
	if len(p) > 0 {
		s.file = append(s.file, p...)
		return
	}
	s.loading = false
	n := uint64(0)
	for row := range strings.Lines(string(s.file)) {
		s.rows = append(s.rows, strings.TrimSuffix(row, "\n"))
		n++
	}
	if !s.inTrans {
		s.end(true)
	}
	s.rowCount = int64(n)
	s.ok(n, 0, false)
}
