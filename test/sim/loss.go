// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"slices"
	"time"

	wire "github.com/rdsproxy/rdsproxy/pkg/wire/postgres"
)

// This file is about what may be lost, and what a client may be told of it.

// request is what a client sends at a time: a Query, or a batch that ends with Sync.
type request struct {
	bytes []byte
	// rows are those that it may write. No other request has them.
	rows []string
	// control: it may begin or end a transaction block. twice: it may have two
	// answers. write: it is one INSERT and nothing else.
	control, twice, write bool
}

// row makes a row that nobody else writes.
func (c *client) row() string {
	c.rowsMade++
	row := fmt.Sprintf("r%d.%d", c.id, c.rowsMade)
	c.now.rows = append(c.now.rows, row)
	return row
}

// account is what a client was told of the rows that it has written.
type account struct {
	acknowledged, undone []string
	// together are rows of one transaction each.
	together [][]string
	// open are those of the transaction that the request under way came into.
	open []string
	// kept and left are what the client's own backend has made of the request.
	kept, left []string
}

// settle is called when the client has the answer that its own backend gives.
func (a *account) settle() {
	a.acknowledged, a.undone = append(a.acknowledged, a.kept...), append(a.undone, a.left...)
	a.kept, a.left = nil, nil
}

// newDirect gives the client a new backend of its own.
func (c *client) newDirect() {
	a := &c.account
	a.kept, a.left, a.open = nil, nil, nil
	c.direct = newPostgres(c.base)
	c.direct.committed = func(rows []string) { a.kept = append(a.kept, rows...) }
	c.direct.dropped = func(rows []string) { a.left = append(a.left, rows...) }
}

// commits notes that a backend has committed rows.
func (w *world) commits(rows []string) {
	w.trace("  committed: %v", rows)
	for _, row := range rows {
		w.applied[row]++
	}
}

// verifyRows holds what the clients were told against what is committed.
func (w *world) verifyRows() {
	for row, n := range w.applied {
		if n > 1 {
			w.failf("row %s was written %d times", row, n)
		}
	}
	for _, c := range w.clients {
		for _, row := range c.account.acknowledged {
			if w.applied[row] != 1 {
				c.fail("row %s was acknowledged and written %d times", row, w.applied[row])
			}
		}
		for _, row := range c.account.undone {
			if w.applied[row] != 0 {
				c.fail("row %s is written, and was told as undone", row)
			}
		}
		for _, rows := range c.account.together {
			for _, row := range rows {
				if w.applied[row] != w.applied[rows[0]] {
					c.fail("of the rows %v of one transaction not all are written", rows)
				}
			}
		}
	}
}

// fails lets the backend die, at once and at any byte, or in order at its next
// statement.
func (db *conn) fails() {
	w := db.w
	if db.borrower != nil {
		db.borrower.mayLose = true
	}
	if !db.pg.dying && w.rng.IntN(2) == 0 {
		w.trace("conn %d is told to end", db.number)
		w.met[backendEnded]++
		db.pg.dying, db.pg.late = true, w.rng.IntN(4) == 0
		w.later(time.Duration(w.rng.IntN(3000))*time.Microsecond, func() {
			if !db.pg.dead && !db.broken && len(db.toServer) == 0 {
				db.pg.end() // while it waits for its client
			}
		})
		return
	}
	w.trace("conn %d dies", db.number)
	w.met[backendKilled]++
	db.pg.receive(db.toServer[:w.rng.IntN(len(db.toServer)+1)]) // what it does yet
	db.pg.flush()
	db.pg.sent = db.pg.sent[:w.rng.IntN(len(db.pg.sent)+1)]
	db.pg.die()
}

// failOver lets all backends die together, and others take their place.
func (w *world) failOver() {
	w.trace("failover")
	w.met[failedOver]++
	for _, db := range w.conns {
		if !db.noticed && !db.closing && !db.broken && !db.pg.dead {
			db.fails()
		}
	}
	for _, sh := range w.shared {
		sh.Retire()
	}
	w.carryOut(w.group.Retire(w.now, nil))
}

const lossText = "the database connection was lost"

// lost goes on after a loss that the client was told of: it sets the session back,
// and from then on holds it against that of a new backend. sql tells that it has found
// out by a statement prepared in SQL. With a COPY under way
// nobody can tell where the next request begins, so then it leaves.
func (c *client) lost(got []byte, code string, sql bool) {
	switch {
	case !c.mayLose:
		c.fail("lost its connection, which has not ended: %q", got)
		return
	case code != "40001" && code != "40003" && code != "08006" && code != "25P02" && !sql:
		c.fail("told of the loss by %q", got)
		return
	}
	c.note(code)
	c.got, c.want = nil, nil
	c.doubtful = true
	copies := c.awaits
	for _, r := range c.sent {
		copies = copies || bytes.Contains(r.bytes, []byte("copy"))
	}
	if copies || c.left < 0 || c.leaving {
		c.sent, c.left, c.leaving, c.awaits, c.mended = nil, min(c.left, 0), true, false, ""
		return
	}
	if len(c.sent) > 0 {
		c.rest = c.sent[1:]
	}
	if slices.ContainsFunc(c.sent, func(r request) bool { return r.twice }) {
		c.rest = nil
	}
	c.mend()
}

// lostListener ends a client that has asked for notifications, which may never send
// anything again: it is told of the loss by its end.
func (c *client) lostListener(got []byte) {
	if !c.mayLose || !bytes.Contains(got, []byte("listen")) {
		c.fail("ended with %q", got)
	}
	c.w.met[listenerEnded]++
	c.done = true
	switch {
	case bytes.Contains(got, []byte("rolled back")), bytes.Contains(got, []byte("nothing was changed")):
		c.note("40001")
	default:
		c.note("40003")
	}
}

// note notes what the error says of the request at hand.
func (c *client) note(code string) {
	if c.mended != "" || len(c.sent) == 0 {
		return
	}
	if c.want == nil {
		c.account.open = slices.Clone(c.direct.pending)
	}
	a, r := &c.account, c.sent[0]
	switch code {
	case "40001", "08006":
		c.w.met[toldUndone]++
		if code == "08006" {
			c.w.met[toldState]++
		}
		if !bytes.ContainsRune(types(c.got), 'Z') {
			a.undone = append(append(a.undone, a.open...), r.rows...)
		}
	case "40003":
		c.w.met[toldUnknown]++
		if len(a.open) > 0 {
			a.together = append(a.together, a.open)
		}
	}
}

// types gives the types of messages.
func types(p []byte) (list []byte) {
	each(p, func(typ byte, _ []byte) { list = append(list, typ) })
	return list
}

// checkRest notes what the client is told of requests that it had sent before it
// knew of the loss.
func (c *client) checkRest(got []byte, code string) {
	if len(c.rest) == 0 {
		return
	}
	a, r := &c.account, c.rest[0]
	c.rest = c.rest[1:]
	switch {
	case code != "" && code != "40003" && !r.control:
		a.undone = append(a.undone, r.rows...)
	case code == "" && r.write && bytes.HasSuffix(got, []byte{'I'}):
		a.acknowledged = append(a.acknowledged, r.rows...)
	}
}

// mend sets the session back.
func (c *client) mend() {
	c.sent, c.once = nil, false
	c.marks++
	c.mended = fmt.Sprintf("mended %d.%d", c.id, c.marks)
	for _, sql := range []string{"rollback", "discard all"} {
		c.out = wire.AppendQuery(c.out, sql)
	}
	c.out = wire.AppendQuery(c.out, "select '"+c.mended+"'")
	c.newDirect()
}

// isClosed looks at why the proxy has closed the client, without a word.
func (c *client) isClosed() {
	p := c.read
	for len(p) >= 5 {
		n := int(binary.BigEndian.Uint32(p[1:])) + 1
		if n > len(p) {
			break
		}
		p = p[n:]
	}
	switch {
	case c.mayLose && len(p) > 0:
		c.w.met[cutInMessage]++
		return
	case c.mayLose && c.ahead:
		// How many of the Syncs that it has sent ahead of a COPY's data are answered is
		// known to nobody.
		return
	}
	c.fail("the proxy closed the connection; unread: %q", p)
}
