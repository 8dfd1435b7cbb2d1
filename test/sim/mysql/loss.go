// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bytes"
	"fmt"
	"strings"
	"time"

	wire "github.com/rdsproxy/rdsproxy/pkg/wire/mysql"
)

// This file is about what may be lost, and what a client may be told of it.

// verifyRows holds what the client was told of its rows against what is committed.
func (c *client) verifyRows() {
	for _, row := range c.acknowledged {
		if n := c.w.committed[row]; n != 1 {
			c.fail("row %s was acknowledged and committed %d times", row, n)
		}
	}
	for _, row := range c.undone {
		if c.w.committed[row] != 0 {
			c.fail("row %s is committed, and was told as undone", row)
		}
	}
	for _, rows := range c.together {
		for _, row := range rows {
			if c.w.committed[row] != c.w.committed[rows[0]] {
				c.fail("of the rows %v of one transaction not all are committed", rows)
			}
		}
	}
}

// loses notes that a database connection breaks under the client.
func (c *client) loses() {
	c.mayLose = true
	c.losses++
}

// vanish ends the client without a word. What its transaction has written must not
// be committed.
func (c *client) vanish() {
	c.done = true
	if len(c.sent) == 0 {
		c.undone = append(c.undone, c.direct.rows...)
	}
}

// isClosed looks at why the proxy has closed the client.
func (c *client) isClosed() {
	c.done = true
	switch {
	case c.left < 0, !c.welcomed, c.doubtful, c.expelled:
	case c.mayLose && (c.partial() || c.definesNext() || len(c.sent) > 0 && c.sent[0].kind == kindChange):
		c.w.met[clientLost]++
	default:
		c.fail("the proxy closed the connection; read %q", c.read)
	}
}

// definesNext tells whether a definition is to come next, where no error would be
// understood.
func (c *client) definesNext() bool {
	return c.seq > 1 && len(c.want) > wire.HeaderLen && bytes.HasPrefix(c.want[wire.HeaderLen:], []byte("\x03def"))
}

// partial tells whether the client has a part of a packet.
func (c *client) partial() bool { return len(c.read) > 0 }

// lastWords lets the server say that it ends the connection, in place of a reply or
// unasked. It gives false where it cannot say anything.
func (d *conn) lastWords() bool {
	s := d.db
	if len(s.sent) > 0 || s.loading {
		return false
	}
	d.w.trace("connection %d says its last words", d.number)
	d.w.met[lastWords]++
	seq := byte(0)
	if s.busy {
		seq, s.busy = 1, false
	}
	s.sent = wire.AppendError(nil, seq, s.caps, wire.NewError(wire.CodeServerShutdown, "Server shutdown in progress"))
	d.dying = true
	if d.borrower != nil {
		d.borrower.loses()
	}
	return true
}

// slow makes some commands take their time.
func (d *conn) slow() bool {
	w := d.w
	if w.rng.IntN(8) > 0 {
		return false
	}
	w.later(time.Duration(w.rng.IntN(3000))*time.Microsecond, func() {
		if !d.broken && !d.dying {
			d.db.wakes(false)
		}
	})
	return true
}

// refuses tells whether the database is read-only for a write or a COMMIT. Behind that
// it is so for good.
func (d *conn) refuses() bool {
	s, c := d.db, d.borrower
	if c == nil || !d.deposed && (c.refused == maxRefusals || d.w.rng.IntN(8) > 0) {
		return false
	}
	d.deposed = true
	if s.inTrans {
		c.loses()
	}
	c.refused++
	d.w.met[writesRefused]++
	return true
}

// toldLost handles the reply that tells the client that the database connection was
// lost under its command.
func (c *client) toldLost(e *wire.Error, packet []byte) {
	r := c.sent[0]
	c.w.trace("client %d is told: %s", c.id, e.Message)
	if packet[3] != c.seq {
		c.fail("an error with sequence id %d instead of %d", packet[3], c.seq)
	}
	open, rows := c.open, r.rows
	switch {
	case e.State == "40001", e.State == "08S01" && strings.Contains(e.Message, "Lost with it: "):
		c.w.met[toldRolledBack]++
		c.undone = append(append(c.undone, open...), rows...)
	case e.State == "40003":
		c.w.met[toldUnknown]++
		c.together = append(c.together, open)
	case r.kind == kindPlain:
		c.fail("error %d %q when a connection was lost", e.Code, e.Message)
	}
	c.pending = nil
	c.direct.in, c.direct.loading = nil, false
	if c.drained || len(c.sent) > 1 || e.Code == codeLost {
		c.doubtful = true // what follows cannot be foreseen
		return
	}
	c.sent, c.asked = nil, false
	if r.undo != nil && c.seq == 1 {
		r.undo()
		c.direct.forgetNewest(r.p)
	}
	c.direct.lose()
	c.direct.explicit = c.explicit
	c.resume(c.seq == 1 && c.w.rng.IntN(2) == 0 && wire.Command(r.p[4]) != wire.ComResetConnection)
	c.want, c.seq = nil, 1
}

// forgetNewest takes back a COM_STMT_PREPARE that the session did not see succeed.
func (s *server) forgetNewest([]byte) {
	if s.newest != 0 {
		delete(s.stmts, s.newest)
		s.lastStmt, s.newest = s.lastStmt-1, 0
	}
}

// lose takes away what is lost with a connection.
func (s *server) lose() {
	s.users, s.temp, s.locks = make(map[string]string), make(map[string]string), make(map[string]bool)
	s.inTrans, s.locked, s.rows, s.diags, s.block = false, false, nil, nil, nil
	s.vars[untracked], s.muddled = baseUntracked, true
	for _, st := range s.stmts {
		st.long, st.open, st.cursor = nil, false, nil
	}
}

// resume lets the client go on after a loss: it makes its session what it ought to
// be, and keeps its statements or forgets everything.
func (c *client) resume(keep bool) {
	c.longData, c.unclear, c.resuming = false, true, true
	c.script, c.madeGood = nil, c.losses
	if !keep {
		c.script = append(c.script, c.reset(), request{p: wire.AppendCommand(nil, wire.ComInitDB, "s0")})
		return
	}
	for _, st := range c.stmts {
		st.unsure = true
	}
	settings := []string{
		"sql_mode=''", "time_zone='again'", "foreign_key_checks=1", "sql_select_limit=7",
		"character_set_client='utf8mb4'", "character_set_results='utf8mb4'", "collation_connection='utf8mb4_bin'", "autocommit=1",
	}
	c.lastUnsure = true
	c.again++
	row := fmt.Sprintf("%sr%d:%d", c.mark(), c.again, c.id*1000+c.marks+1)
	c.script = append(c.script,
		request{p: wire.AppendQuery(nil, c.caps, "SET session_track_state_change=0,session_track_schema=1,"+trackList+"='time_zone',sql_mode=''")},
		request{p: wire.AppendQuery(nil, c.caps, "SET "+strings.Join(settings, ","))},
		request{p: wire.AppendQuery(nil, c.caps, "USE s1")},
		request{p: wire.AppendQuery(nil, c.caps, "INSERT INTO t VALUES ('"+row+"')"), rows: []string{row}})
}

// shutdown handles the error that tells a client that it has to go. Nothing of what
// it has sent and got no answer for was carried out.
func (c *client) shutdown(seq byte) {
	c.w.trace("client %d is told to go", c.id)
	if c.seq > 1 && len(c.sent) > 0 && c.sent[0].kind != kindChange {
		c.fail("told to go in the middle of a reply")
	}
	if c.direct.inTrans && !c.mayLose {
		c.fail("told to go in a transaction")
	}
	if seq > 1 && (len(c.sent) == 0 || c.sent[0].kind != kindChange) {
		c.fail("told to go with sequence id %d", seq)
	}
	for _, r := range c.sent {
		c.undone = append(c.undone, r.rows...)
	}
	c.doubtful = true
}

// interrupted handles the reply to a command that somebody has killed.
func (c *client) interrupted() {
	c.w.trace("client %d is interrupted", c.id)
	c.w.met[queryInterrupted]++
	c.hits--
	r := c.sent[0]
	c.sent = c.sent[1:]
	c.undone = append(c.undone, r.rows...)
	if r.undo != nil {
		r.undo()
	}
	c.unclear, c.direct.muddled = true, true
	if c.resuming || c.longData || interruptibleExecute(r.p) {
		c.resume(false)
	}
}

func interruptibleExecute(p []byte) bool {
	k := wire.Command(p[4])
	return k == wire.ComStmtExecute || k == wire.ComStmtBulkExecute
}
