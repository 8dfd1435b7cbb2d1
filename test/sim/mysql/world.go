// SPDX-License-Identifier: Apache-2.0

// This program runs the parts of the proxy that serve clients of MySQL and MariaDB
// in a world of virtual time. One seed is one run. See docs/testing-simulator.md.
package main

import (
	"container/heap"
	"fmt"
	"maps"
	"math/rand/v2"
	"strings"
	"time"

	"github.com/rdsproxy/rdsproxy/pkg/pool"
	"github.com/rdsproxy/rdsproxy/pkg/session/mysession"
	wire "github.com/rdsproxy/rdsproxy/pkg/wire/mysql"
)

// world is one run: clients, sessions, the pool and model servers, joined by queues
// of bytes that are cut and merged at random.
type world struct {
	rng       *rand.Rand
	now       time.Duration
	events    eventHeap
	order     int
	group     *pool.Group
	shared    map[string]*mysession.Shared // by user
	caps      wire.Capabilities
	mariaDB   bool
	clients   []*client
	conns     []*conn
	mail      []func()
	committed map[string]int
	budget    int
	commands  int
	steps     int
	faults    bool
	kills     bool // clients kill each other
	switches  bool // databases become read-only
	patience  time.Duration
	met       [faultKinds]int
	tickAt    time.Duration
	failure   string
	log       []string
	verbose   bool
}

// conn is one database connection.
type conn struct {
	w        *world
	number   int
	entry    pool.Conn
	server   *mysession.Server
	db       *server
	borrower *client
	toServer []byte
	kept     []byte
	dying    bool // has said its last words
	broken   bool // closed by the server
	noticed  bool // by the proxy
	closing  bool
	deposed  bool // read-only
}

// fault is something bad that happens to somebody.
type fault int

const (
	clientVanished fault = iota
	serverDied
	borrowTimedOut
	dialRefused
	queryKilled
	queryInterrupted
	clientKilled
	clientDrained
	lastWords
	toldRolledBack
	toldUnknown
	stateLost
	clientLost
	writesRefused
	toldReadOnly
	faultKinds
)

func (f fault) String() string {
	return [...]string{
		"clients vanished", "database connections died", "borrow time-outs", "dials refused", "requests to kill a query",
		"queries interrupted", "clients killed", "clients drained", "database connections that said why they end",
		"commands told as undone", "commands told as unknown",
		"replies that miss what was lost with a connection", "connections of clients lost in the middle of a packet or a login",
		"writes refused by a database that is read-only", "of them that clients were told of",
	}[f]
}

type event struct {
	at    time.Duration
	order int
	f     func()
}

type eventHeap []event

func (h eventHeap) Len() int { return len(h) }
func (h eventHeap) Less(i, j int) bool {
	return h[i].at < h[j].at || h[i].at == h[j].at && h[i].order < h[j].order
}
func (h eventHeap) Swap(i, j int) { h[i], h[j] = h[j], h[i] }
func (h *eventHeap) Push(e any)   { *h = append(*h, e.(event)) }
func (h *eventHeap) Pop() any {
	old := *h
	e := old[len(old)-1]
	*h = old[:len(old)-1]
	return e
}

func (w *world) later(d time.Duration, f func()) {
	w.order++
	heap.Push(&w.events, event{w.now + d, w.order, f})
}

func (w *world) failf(format string, args ...any) {
	if w.failure == "" {
		w.failure = fmt.Sprintf(format, args...)
		w.trace("FAILURE %s", w.failure)
	}
}

func (w *world) trace(format string, args ...any) {
	if w.verbose {
		w.log = append(w.log, fmt.Sprintf("%10s ", w.now)+fmt.Sprintf(format, args...))
	}
}

func (w *world) story() string { return strings.Join(w.log, "\n") }

// users may log in. Their passwords are their names.
var users = [...]string{"u0", "u1"}

// logins are collations of logins: of latin1, utf8mb3, utf8mb4 and latin2.
var logins = [...]uint16{8, 33, 45, 46, 9}

const serverCaps = wire.Always | wire.ClientMultiStatements | wire.ClientLocalFiles

func newWorld(seed uint64, verbose bool) *world {
	w := &world{
		rng: rand.New(rand.NewPCG(seed, 11)), verbose: verbose, committed: make(map[string]int), patience: time.Second,
	}
	w.shared = make(map[string]*mysession.Shared)
	for _, u := range users {
		w.shared[u] = mysession.NewShared(1 + w.rng.IntN(4))
	}
	w.caps = serverCaps
	if w.mariaDB = w.rng.IntN(2) == 0; w.mariaDB {
		w.caps |= wire.MariaDBStmtBulkOperations
	}
	w.faults = w.rng.IntN(2) == 0
	w.kills = w.faults && w.rng.IntN(2) == 0
	w.switches = w.rng.IntN(4) == 0
	w.budget = 1 + w.rng.IntN(3)
	if w.faults && w.rng.IntN(2) == 0 {
		w.patience = time.Duration(1+w.rng.IntN(10)) * time.Millisecond
	}
	w.group = pool.NewGroup(pool.Options{
		Budget: w.budget, MaxIdle: w.budget, IdleTimeout: time.Second, MaxLifetime: time.Minute, LifetimeJitter: 0.5,
		Rand: w.rng.Float64,
	})
	for i := range 2 + w.rng.IntN(3) {
		w.addClient(i)
	}
	w.later(0, w.tick)
	return w
}

func (w *world) addClient(i int) {
	caps := w.caps
	if w.rng.IntN(2) == 0 {
		caps &^= wire.ClientDeprecateEOF
	}
	if w.rng.IntN(2) == 0 {
		caps &^= wire.ClientSessionTrack
	}
	c := &client{w: w, id: i, caps: caps, left: 1 + w.rng.IntN(80), stmts: make(map[uint32]*known)}
	c.user, c.depth = users[w.rng.IntN(len(users))], 1+w.rng.IntN(2)
	if w.kills {
		c.depth = 1
	}
	c.direct = newServer(caps, uint32(i+100))
	if w.rng.IntN(3) == 0 {
		c.direct.schema = fmt.Sprintf("s%d", w.rng.IntN(3))
	}
	c.direct.user, c.direct.mariaDB = c.user, w.mariaDB
	c.direct.commit = func(row string) { c.pending = append(c.pending, row) }
	c.direct.undo = func(row string) { c.undone = append(c.undone, row) }
	c.direct.kill = func() *wire.Error { return c.killAnswer }
	schema, collation := c.direct.schema, uint16(0)
	if w.rng.IntN(3) == 0 {
		collation = logins[w.rng.IntN(len(logins))]
		c.direct.logIn(collation)
	}
	c.waiter.Owner, c.waiter.Loop = c, w.rng.IntN(2)
	w.clients = append(w.clients, c)
	w.later(time.Duration(w.rng.IntN(3000))*time.Microsecond, func() {
		c.session.Init(mysession.Options{
			Host: c, Shared: w.shared[c.user], ThreadID: uint32(i + 100), User: c.user, Capabilities: caps, Schema: schema, Collation: collation, LoginSeq: 2,
			BorrowTimeout: w.patience, CleanupTimeout: time.Second, ResendWrites: true,
		})
		c.started = true
		c.session.Start()
	})
}

func (w *world) tick() {
	_, acts := w.group.Tick(w.now, nil)
	w.carryOut(acts)
	w.arm()
}

func (w *world) arm() {
	at := w.group.NextTick()
	if at == w.tickAt || at == pool.Never {
		return
	}
	w.tickAt = at
	w.later(max(at-w.now, 0), func() {
		if w.tickAt == at {
			w.tickAt = 0
			w.tick()
		}
	})
}

func (w *world) carryOut(acts []pool.Action) {
	for _, a := range acts {
		switch a.Kind {
		case pool.Grant:
			c, d := a.Waiter.Owner.(*client), a.Conn.Owner.(*conn)
			w.mail = append(w.mail, func() { c.granted(d) })
		case pool.Fail:
			c := a.Waiter.Owner.(*client)
			w.mail = append(w.mail, func() {
				if c.orphans > 0 || !c.session.Waiting() {
					c.orphans = max(0, c.orphans-1)
					return
				}
				c.session.BorrowFailed(wire.NewError(codeNoConnection, a.Err.Error()))
			})
		case pool.Dial:
			w.later(time.Duration(w.rng.IntN(3000))*time.Microsecond, func() { w.dialled(a.Dial) })
		case pool.Close:
			w.shutdown(a.Conn.Owner.(*conn))
		case pool.Wake:
			w.arm()
		}
	}
}

func (w *world) dialled(d *pool.DialAttempt) {
	if w.faults && w.rng.IntN(10) == 0 {
		w.met[dialRefused]++
		w.carryOut(w.group.Dialed(d, nil, fmt.Errorf("refused"), pool.TargetFailed, w.now, nil))
		return
	}
	c := &conn{w: w, db: newServer(w.caps, uint32(len(w.conns)+1)), number: len(w.conns)}
	c.db.user, c.db.mariaDB = d.Pool.Key().User, w.mariaDB
	c.db.commit = func(row string) { w.committed[row]++ }
	if w.kills {
		c.db.slow = c.slow
	}
	if w.switches {
		c.db.readOnly = c.refuses
	}
	c.db.query(mysession.Setup)
	c.db.sent = nil
	c.entry.Owner, c.entry.Loop = c, max(0, d.Loop)
	c.server = mysession.NewServer(w.shared[c.db.user], &mysession.ServerFacts{
		Capabilities: w.caps, ThreadID: c.db.id, MariaDB: w.mariaDB, Status: wire.StatusAutocommit,
		Base: maps.Clone(baseVariables), Collation: 45, Setup: mysession.Setup,
	})
	w.conns = append(w.conns, c)
	w.carryOut(w.group.Dialed(d, &c.entry, nil, pool.TargetFailed, w.now, nil))
}

func (w *world) release(d *conn, reuse bool) {
	d.entry.Settings = d.server.Key()
	if reuse && !d.broken && !d.closing {
		w.checkClean(d)
	}
	w.carryOut(w.group.Release(&d.entry, reuse && !d.broken, w.now, nil))
}

// checkClean looks for what a released connection must not have.
func (w *world) checkClean(d *conn) {
	s := d.db
	if len(d.toServer) > 0 {
		return // a statement is being closed
	}
	for _, st := range s.stmts {
		if st.open || len(st.long) > 0 {
			w.failf("connection %d is released with a cursor or long data of %q", d.number, st.text)
		}
	}
	if s.inTrans || s.locked || len(s.users) > 0 || len(s.temp) > 0 || len(s.locks) > 0 || s.vars[untracked] != baseUntracked || !s.tracksAll() {
		w.failf("connection %d is released with state: transaction %v, locked tables %v, %v, %v, %v", d.number, s.inTrans, s.locked, s.users, s.temp, s.locks)
	}
}

// shutdown ends a connection; its slot is free when that is done.
func (w *world) shutdown(d *conn) {
	d.closing = true
	w.later(time.Duration(w.rng.IntN(2000))*time.Microsecond, func() {
		d.broken, d.noticed = true, true
		w.carryOut(w.group.Closed(&d.entry, w.now, nil))
	})
}

// read gives the proxy what has come from the server.
func (d *conn) read(n int) {
	d.kept = append(d.kept, d.db.sent[:n]...)
	d.db.sent = d.db.sent[n:]
	for len(d.kept) > 0 && !d.closing && !d.noticed {
		c := d.borrower
		if c == nil && d.dying {
			d.broken = true
			return
		}
		if c == nil {
			d.w.failf("an idle connection received %q", d.kept)
			return
		}
		used := c.session.ServerData(d.kept)
		d.kept = d.kept[used:]
		if d.borrower == c {
			return
		}
	}
}

// lost tells the proxy that the server has gone.
func (d *conn) lost() {
	d.noticed = true
	w := d.w
	if d.closing {
		return
	}
	if c := d.borrower; c != nil {
		c.loses()
		c.db, d.borrower = nil, nil
		w.release(d, false)
		c.session.ServerGone()
		c.wake = true
		return
	}
	w.carryOut(w.group.Lost(&d.entry, w.now, nil))
}

// part is how much of n bytes comes at once.
func (w *world) part(n int) int {
	if n == 0 {
		return 0
	}
	switch w.rng.IntN(4) {
	case 0:
		return 1
	case 1:
		return n
	}
	return 1 + w.rng.IntN(n)
}
