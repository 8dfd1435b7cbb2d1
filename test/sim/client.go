// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"slices"
	"time"

	"github.com/rdsproxy/rdsproxy/pkg/pool"
	"github.com/rdsproxy/rdsproxy/pkg/session"
	"github.com/rdsproxy/rdsproxy/pkg/session/pgsession"
	wire "github.com/rdsproxy/rdsproxy/pkg/wire/postgres"
)

// client is one virtual client: the driver that sends requests and checks the
// answers, and the host of its session. It holds every answer against that of a
// backend of its own.
type client struct {
	w       *world
	id      int
	key     pool.Key
	session pgsession.Session
	waiter  pool.Waiter
	db      *conn
	shared  *pgsession.Shared

	// The proxy's side.
	kept    []byte // delivered, not used by the session
	paused  bool
	wake    bool
	timerAt time.Duration
	orphans int
	closed  bool // by the proxy
	gone    bool // the session was told

	// The client's side.
	out      []byte // written, not delivered
	inbox    []byte // on its way to the client
	read     []byte // read, not complete
	direct   *postgres
	base     state     // of the session at its start
	sent     []request // whose answers are owed, oldest first
	left     int       // requests still to be sent
	marks    int
	welcomed bool
	done     bool // has ended, by itself or not
	cancels  int
	mayLose  bool // its database connection was broken on purpose
	draining bool // it was asked to end
	now      request
	account  account
	rest     []request // sent before it was told of a loss
	rowsMade int
	ahead    bool // has sent Syncs ahead of the data of a COPY
	doubtful bool // an answer was cut short: the state is not known
	// mended, if not empty, is the mark by which the client knows that the answers
	// are those to a session that it has set back.
	mended  string
	leaving bool
	once    bool   // the unnamed statement may be one that must not be bound again
	got     []byte // of the answer under way
	want    []byte // the answer that a backend of its own gave
	queries int
	own     bool // has settings of its own from the start
	// A COPY whose data is sent when the server asks for it, and what is sent
	// instead if it never does; seen is how much of the answer was looked at.
	data, instead []byte
	awaits        bool
	seen          int
}

func (c *client) fail(format string, args ...any) {
	c.w.failf("client %d: %s", c.id, fmt.Sprintf(format, args...))
}

// write sends a few requests, if not too many are under way.
func (c *client) write() {
	c.left--
	c.marks++
	c.now = request{}
	c.now.bytes = c.batch()
	c.send(c.now)
}

// send sends a request.
func (c *client) send(r request) {
	c.sent = append(c.sent, r)
	c.out = append(c.out, r.bytes...)
	c.w.trace("client %d sends %.1000q", c.id, r.bytes)
}

// ready tells whether the client may send something now.
func (c *client) ready() bool {
	return c.welcomed && c.mended == "" && c.left > 0 && len(c.sent) < 3 && !c.awaits
}

// asked looks whether the server asks for the data, or refuses.
func (c *client) asked() {
	for c.awaits && len(c.read)-c.seen >= 5 {
		m := c.read[c.seen:]
		n := int(binary.BigEndian.Uint32(m[1:])) + 1
		if len(m) < n {
			return
		}
		c.seen += n
		more := c.data
		switch m[0] {
		case 'E':
			more = c.instead
		case 'G':
		default:
			continue
		}
		c.awaits = false
		c.sent[0].bytes = append(c.sent[0].bytes, more...)
		c.out = append(c.out, more...)
		c.w.trace("client %d goes on with %q", c.id, more)
	}
}

// receive takes bytes at the client's end and checks what is complete.
func (c *client) receive(n int) {
	c.read = append(c.read, c.inbox[:n]...)
	c.inbox = c.inbox[n:]
	c.asked()
	for !c.done {
		end := answerEnd(c.read)
		if end < 0 {
			return
		}
		answer := append([]byte(nil), c.read[:end]...)
		c.read = c.read[end:]
		c.check(answer)
	}
}

// answerEnd finds the end of the first ReadyForQuery, or of a fatal error.
func answerEnd(p []byte) int {
	for at := 0; len(p)-at >= 5; {
		n := int(binary.BigEndian.Uint32(p[at+1:])) + 1
		if len(p)-at < n {
			return -1
		}
		if p[at] == 'Z' || p[at] == 'E' && bytes.HasPrefix(p[at+5:], []byte("SFATAL")) {
			return at + n
		}
		at += n
	}
	return -1
}

// each splits messages.
func each(p []byte, f func(typ byte, m []byte)) {
	for len(p) >= 5 {
		n := int(binary.BigEndian.Uint32(p[1:])) + 1
		f(p[0], p[:n])
		p = p[n:]
	}
}

// plain leaves out what may come at any time.
func plain(p []byte) (out []byte, code string) {
	each(p, func(typ byte, m []byte) {
		switch typ {
		case 'S', 'N', 'A', 'K':
			return
		case 'E':
			if code == "" {
				code = string(wire.ErrorCode(m[5:]))
			}
		}
		out = append(out, m...)
	})
	return out, code
}

func (c *client) check(answer []byte) {
	got, code := plain(answer)
	c.w.trace("client %d reads %q", c.id, got)
	if bytes.Contains(got, []byte("SFATAL")) && bytes.Contains(got, []byte(lossText)) {
		c.lostListener(got)
		return
	}
	if bytes.Contains(got, []byte("SFATAL")) {
		if !(c.draining && code == "57P01") && !(code == "53300" && !c.welcomed) && !(code == "08006" && !c.welcomed) &&
			!(c.mayLose && code == "57P01" && !c.welcomed) {
			c.fail("ended with %q", got)
		}
		c.done = true
		return
	}
	if !c.welcomed {
		if string(got) != "Z\x00\x00\x00\x05I" {
			c.fail("welcomed with %q", got)
		}
		c.welcomed = true
		return
	}
	if c.mended != "" {
		c.checkRest(got, code)
	}
	if bytes.Contains(got, []byte(lossText)) {
		c.lost(got, code, false)
		return
	}
	if c.mended != "" {
		switch {
		case bytes.Contains(got, []byte(c.mended)):
			c.mended, c.doubtful = "", false
		case code == "57014" || code == "53300" || code == "08006":
			c.mend() // it may have been one of these requests
		}
		return
	}
	if len(c.sent) == 0 && c.doubtful {
		return
	}
	if len(c.sent) == 0 {
		c.fail("an answer to nothing: %q", got)
		return
	}
	request := c.sent[0]
	if c.doubtful {
		c.sent = c.sent[1:]
		return
	}
	if code == "57014" && c.cancels > 0 && !bytes.Contains(got, []byte("COPY from stdin failed")) || code == "53300" || code == "08006" {
		// The request had no answer of its own. What it has left undone is not
		// followed: the client goes on without a check, and leaves.
		if code != "57014" && len(c.got) == 0 {
			c.account.undone = append(c.account.undone, request.rows...) // it was never begun
		}
		c.doubtful = true
		c.left = 0
		c.leaving = true
		c.sent = c.sent[1:]
		return
	}
	if c.want == nil {
		c.account.open = slices.Clone(c.direct.pending)
		c.direct.receive(request.bytes)
		c.want, _ = plain(c.direct.sent)
		c.direct.sent = c.direct.sent[:0]
	}
	// A request can have several answers: a Sync that was sent ahead of the data
	// of a COPY is answered too when that COPY never began.
	c.got = append(c.got, got...)
	if readies(c.want) > readies(c.got) {
		return
	}
	got, want := c.got, c.want
	c.got, c.want = nil, nil
	a, b := got, want
	if c.mayLose {
		// Nobody is told that the current values of sequences are lost: the database
		// says so itself when it is asked for one.
		a, b = withoutSequences(got), withoutSequences(want)
	}
	_, code = plain(got)
	if _, wanted := plain(want); c.mayLose && (code == "26000" || wanted == "42P05" && code != wanted) {
		// Nor that what was prepared in SQL is lost.
		c.lost(got, code, true)
		return
	}
	if !bytes.Equal(a, b) && !refused(got, want) {
		c.fail("request %q\n  answer  %q\n  instead %q", request.bytes, got, want)
	}
	c.account.settle()
	c.sent = c.sent[1:]
	c.queries++
	c.w.queries++
}

func readies(p []byte) (n int) {
	each(p, func(typ byte, _ []byte) {
		if typ == 'Z' {
			n++
		}
	})
	return n
}

// withoutSequences leaves out whether a session has such values, and the lengths.
func withoutSequences(p []byte) (out []byte) {
	each(p, func(typ byte, m []byte) {
		if typ == 'D' {
			m = m[6:] // with the length of the only column
		}
		out = append(append(out, typ), bytes.TrimSuffix(bytes.TrimSuffix(m[5:], []byte("true")), []byte("false"))...)
	})
	return out
}

// refused tells whether two answers in a failed transaction differ in the reason of
// their last error only, the proxy's being just that the transaction has failed. A
// statement that has to be prepared once more is refused there for that reason,
// whatever else is wrong with the request.
func refused(got, want []byte) bool {
	a, b := split(got), split(want)
	n := len(a)
	if n != len(b) || n < 2 || !bytes.Equal(a[n-1], b[n-1]) || a[n-1][0] != 'Z' || a[n-1][5] != 'E' {
		return false
	}
	for i := range n - 2 {
		if !bytes.Equal(a[i], b[i]) {
			return false
		}
	}
	e := a[n-2]
	return e[0] == 'E' && b[n-2][0] == 'E' && string(wire.ErrorCode(e[5:])) == "25P02"
}

func split(p []byte) (list [][]byte) {
	each(p, func(_ byte, m []byte) { list = append(list, m) })
	return list
}

var _ pgsession.Host = (*client)(nil)

func (c *client) ToClient(p []byte) {
	if !c.gone {
		c.inbox = append(c.inbox, p...)
	}
}

func (c *client) ToServer(p []byte) {
	if c.db == nil {
		c.fail("the session sends without a connection")
		return
	}
	c.w.trace("  client %d to its backend: conn %d %q", c.id, c.db.number, p)
	c.db.toServer = append(c.db.toServer, p...)
}

func (c *client) PauseClient()  { c.paused = true }
func (c *client) ResumeClient() { c.paused, c.wake = false, true }
func (c *client) CloseClient()  { c.closed = true }

func (c *client) SetTimer(d time.Duration) {
	c.timerAt = 0
	if d > 0 {
		c.timerAt = c.w.now + d
	}
}

func (c *client) Now() time.Duration  { return c.w.now }
func (c *client) Pinned(session.Pins) {}
func (c *client) Unpinned()           {}
func (c *client) Served(session.Work) {}
func (c *client) Note(e session.Event, s string) {
	c.w.trace("client %d: event %d %s", c.id, e, s)
	if e == session.EventBorrowTimeout {
		c.w.met[borrowTimedOut]++
	}
	if e == session.EventClientProtocol || e == session.EventServerProtocol {
		c.fail("event %d: %s", e, s)
	}
}

func (c *client) Borrow(settings *pgsession.Settings) *pgsession.Server {
	c.waiter.Settings = settingsKey(settings)
	pc, acts := c.w.group.Borrow(c.w.group.Pool(c.key), &c.waiter, c.w.now, nil)
	c.w.carryOut(acts)
	if pc == nil {
		return nil
	}
	db := pc.Owner.(*conn)
	if c.w.rng.IntN(3) == 0 { // it lives on another loop
		c.w.mail = append(c.w.mail, func() { c.granted(db) })
		return nil
	}
	c.take(db)
	return db.server
}

func (c *client) take(db *conn) {
	c.db, db.borrower = db, c
	c.mayLose = c.mayLose || db.broken || db.pg.dead || db.pg.dying // which the proxy does not know yet
}

func settingsKey(s *pgsession.Settings) any {
	if s == nil {
		return nil
	}
	return s
}

func (c *client) granted(db *conn) {
	if c.orphans > 0 || !c.session.Waiting() {
		c.orphans = max(0, c.orphans-1)
		c.w.release(db, true)
		return
	}
	if db.broken {
		c.w.release(db, false)
		c.waiter.Again = true
		if srv := c.Borrow(c.session.Settings()); srv != nil {
			c.session.Granted(srv)
		}
		return
	}
	c.take(db)
	c.session.Granted(db.server)
}

func (c *client) CancelBorrow() {
	still, acts := c.w.group.Cancel(&c.waiter, c.w.now, nil)
	c.w.carryOut(acts)
	if !still {
		c.orphans++
	}
}

func (c *client) Release(reuse bool) {
	db := c.db
	c.db, db.borrower = nil, nil
	c.w.release(db, reuse)
}

func (c *client) CancelQuery() {
	db := c.db
	c.w.trace("client %d: cancel request", c.id)
	c.w.later(time.Duration(c.w.rng.IntN(5000))*time.Microsecond, func() {
		// It hits what is under way, if anything is.
		if len(db.toServer) > 0 && c.w.rng.IntN(2) == 0 {
			c.w.met[cancelHit]++
			db.pg.cancelled = true
		}
		c.w.later(time.Duration(c.w.rng.IntN(2000))*time.Microsecond, func() { c.session.CancelDone(db.server) })
	})
}
