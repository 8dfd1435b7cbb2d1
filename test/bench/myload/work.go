// SPDX-License-Identifier: Apache-2.0

//go:build linux

package myload

import (
	"encoding/binary"
	"math/rand/v2"
	"strconv"

	"github.com/rdsproxy/rdsproxy/pkg/wire/mysql"
)

// Work is what each client does, over and over.
type Work int

// The kinds of work. Keys are drawn evenly from all rows.
const (
	// PointSelect reads a column of a row by its key.
	PointSelect Work = iota
	// Prepared does the same by a statement that each client has prepared.
	Prepared
	// ReadWrite is a transaction of five statements: BEGIN, PointSelect twice, the update of a row, COMMIT. Every statement counts as a query.
	ReadWrite
)

// Table has an integer key id from 1 to Rows, an integer k and a text c.
type Table struct {
	Name string
	Rows int
}

// transaction is the number of statements of ReadWrite.
const transaction = 5

// script makes the queries of one client.
type script struct {
	work      Work
	table     Table
	statement uint32 // of Prepared
	random    *rand.Rand
	step      int
	text      []byte // scratch
}

func newScript(w Work, t Table, seed int) *script {
	return &script{work: w, table: t, random: rand.New(rand.NewPCG(uint64(seed), 0))}
}

// rests tells whether the client is between two pieces of work.
func (s *script) rests() bool { return s.work != ReadWrite || s.step%transaction == 0 }

// next writes the packet of the next query over dst.
func (s *script) next(dst []byte) []byte {
	key := int64(1 + s.random.IntN(s.table.Rows))
	if s.work == Prepared {
		return s.execute(dst[:0], key)
	}
	text := s.text[:0]
	kind := 1
	if s.work == ReadWrite {
		kind = s.step % transaction
		s.step++
	}
	switch kind {
	case 0:
		text = append(text, "BEGIN"...)
	case 1, 2:
		text = append(append(append(text, "SELECT c FROM "...), s.table.Name...), " WHERE id="...)
		text = strconv.AppendInt(text, key, 10)
	case 3:
		text = append(append(append(text, "UPDATE "...), s.table.Name...), " SET k=k+1 WHERE id="...)
		text = strconv.AppendInt(text, key, 10)
	default:
		text = append(text, "COMMIT"...)
	}
	s.text = text
	return mysql.AppendQuery(dst[:0], 0, text)
}

// preparedText is what clients of Prepared prepare.
func (t Table) preparedText() string { return "SELECT c FROM " + t.Name + " WHERE id=?" }

// execute appends COM_STMT_EXECUTE with one parameter, a 32-bit integer. Its type goes with each, as most drivers have it.
func (s *script) execute(dst []byte, key int64) []byte {
	const length = 1 + 4 + 1 + 4 + 1 + 1 + 2 + 4
	dst = append(mysql.AppendHeader(dst, length, 0), byte(mysql.ComStmtExecute))
	dst = binary.LittleEndian.AppendUint32(dst, s.statement)
	dst = append(dst, 0)                             // no cursor
	dst = binary.LittleEndian.AppendUint32(dst, 1)   // iterations
	dst = append(dst, 0, 1, byte(mysql.TypeLong), 0) // nothing NULL; types follow; one of them
	return binary.LittleEndian.AppendUint32(dst, uint32(key))
}
