// SPDX-License-Identifier: Apache-2.0

package main

import (
	"container/heap"
	"fmt"
	"math/rand/v2"
	"strings"
	"time"

	"github.com/rdsproxy/rdsproxy/pkg/pool"
	"github.com/rdsproxy/rdsproxy/pkg/session/pgsession"
	wire "github.com/rdsproxy/rdsproxy/pkg/wire/postgres"
)

// world is one run: clients, the proxy's pure parts, and backends, joined by
// queues of bytes that are cut and merged at random. One seed gives one run.
type world struct {
	rng      *rand.Rand
	now      time.Duration
	events   eventHeap
	order    int
	group    *pool.Group
	shared   map[pool.Key]*pgsession.Shared
	clients  []*client
	conns    []*conn
	mail     []func()
	budget   int
	queries  int
	steps    int
	faults   bool
	patience time.Duration // of those who wait for a connection
	met      [faultKinds]int
	tickAt   time.Duration
	failure  string
	log      []string
	verbose  bool
}

// conn is one database connection.
type conn struct {
	w        *world
	number   int
	entry    pool.Conn
	server   *pgsession.Server
	pg       *postgres
	borrower *client
	toServer []byte
	kept     []byte
	broken   bool // closed by the backend
	noticed  bool // by the proxy
	closing  bool
}

// fault is something bad that happens to somebody.
type fault int

const (
	clientKilled fault = iota
	clientDrained
	cancelHit
	borrowTimedOut
	dialRefused
	backendKilled
	lossTold
	readerSlow
	faultKinds
)

func (f fault) String() string {
	return [...]string{
		"clients killed", "clients drained", "cancel requests that hit", "borrow time-outs", "dials refused", "backends killed",
		"losses of a connection that clients were told of",
		"times that a client was too slow",
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

func newWorld(seed uint64, verbose bool) *world {
	w := &world{rng: rand.New(rand.NewPCG(seed, 7)), shared: make(map[pool.Key]*pgsession.Shared), verbose: verbose}
	w.budget = 1 + w.rng.IntN(4)
	w.faults = w.rng.IntN(2) == 0
	w.patience = 300 * time.Millisecond
	if w.faults && w.rng.IntN(2) == 0 {
		w.patience = time.Duration(1+w.rng.IntN(20)) * time.Millisecond
	}
	w.group = pool.NewGroup(pool.Options{
		Budget: w.budget, MaxIdle: w.budget, IdleTimeout: time.Second, MaxLifetime: time.Minute, LifetimeJitter: 0.5,
		Rand: w.rng.Float64,
	})
	users := 1 + w.rng.IntN(2)
	for i := range 2 + w.rng.IntN(14) {
		w.addClient(i, users)
	}
	w.later(0, w.tick)
	return w
}

func (w *world) addClient(i, users int) {
	key := pool.Key{User: fmt.Sprintf("u%d", w.rng.IntN(users)), Database: "d"}
	sh := w.shared[key]
	if sh == nil {
		sh = pgsession.NewShared(1 + w.rng.IntN(4))
		w.shared[key] = sh
	}
	c := &client{w: w, id: i, key: key, left: 1 + w.rng.IntN(60), shared: sh}
	base := baseState
	var settings []pgsession.Setting
	if w.rng.IntN(3) == 0 {
		base.app = fmt.Sprintf("app%d", w.rng.IntN(3))
		settings = append(settings, pgsession.Setting{Name: "application_name", Value: base.app})
	}
	if w.rng.IntN(6) == 0 {
		base.timeZone = "tz"
		settings = append(settings, pgsession.Setting{Name: "TimeZone", Value: base.timeZone})
	}
	c.own = len(settings) > 0
	c.base, c.direct = base, newPostgres(base)
	c.waiter.Owner, c.waiter.Loop = c, w.rng.IntN(2)
	w.clients = append(w.clients, c)
	w.later(time.Duration(w.rng.IntN(3000))*time.Microsecond, func() {
		c.session.Init(pgsession.Options{
			Host: c, Shared: sh, Settings: sh.Settings(settings), PID: uint32(i), Secret: []byte("1234"),
			BorrowTimeout: w.patience, CleanupTimeout: time.Second,
		})
		c.session.Start()
	})
}

var baseState = state{workMem: "4MB", timeZone: "UTC"}

// tick is called when the pool has asked for it; a time that was replaced since
// does no harm.
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
			c, db := a.Waiter.Owner.(*client), a.Conn.Owner.(*conn)
			w.mail = append(w.mail, func() { c.granted(db) })
		case pool.Fail:
			c := a.Waiter.Owner.(*client)
			w.mail = append(w.mail, func() {
				if c.orphans > 0 || !c.session.Waiting() {
					c.orphans = max(0, c.orphans-1)
					return
				}
				c.session.BorrowFailed(&wire.Error{Severity: "ERROR", Code: "08006", Message: a.Err.Error()})
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
	db := &conn{w: w, pg: newPostgres(baseState)}
	db.entry.Owner, db.entry.Loop = db, max(0, d.Loop)
	db.server = pgsession.NewServer(w.shared[d.Pool.Key()], pgsession.NewParams(map[string]string{
		"TimeZone": baseState.timeZone, "standard_conforming_strings": "on", "client_encoding": "UTF8",
	}), true)
	db.number = len(w.conns)
	w.conns = append(w.conns, db)
	open := 0
	for _, other := range w.conns {
		if !other.noticed {
			open++
		}
	}
	if open > w.budget {
		w.failf("%d connections with a budget of %d", open, w.budget)
	}
	w.carryOut(w.group.Dialed(d, &db.entry, nil, pool.TargetFailed, w.now, nil))
}

func (w *world) release(db *conn, reuse bool) {
	db.entry.Settings = settingsKey(db.server.Applied())
	w.carryOut(w.group.Release(&db.entry, reuse && !db.broken, w.now, nil))
}

// shutdown ends a connection; its slot is free when the backend has noticed.
func (w *world) shutdown(db *conn) {
	db.closing = true
	w.later(time.Duration(w.rng.IntN(2000))*time.Microsecond, func() {
		db.broken, db.noticed = true, true
		w.carryOut(w.group.Closed(&db.entry, w.now, nil))
	})
}

// read gives the proxy what has come from the backend, as dbConn does.
func (db *conn) read(n int) {
	db.kept = append(db.kept, db.pg.sent[:n]...)
	db.pg.sent = db.pg.sent[n:]
	used := 0
	for used < len(db.kept) && !db.closing && !db.noticed {
		c := db.borrower
		if c == nil {
			n, ok := db.server.IdleData(db.kept[used:])
			used += n
			if !ok {
				db.w.failf("an idle connection received %q", db.kept[used:])
				return
			}
			break
		}
		used += c.session.ServerData(db.kept[used:])
		if db.borrower == c {
			break
		}
	}
	db.kept = db.kept[used:]
}

// lost tells the proxy that the backend has gone.
func (db *conn) lost() {
	db.noticed = true
	w := db.w
	if db.closing {
		return
	}
	if c := db.borrower; c != nil {
		c.db, db.borrower = nil, nil
		c.session.ServerGone()
		w.release(db, false)
		return
	}
	w.carryOut(w.group.Lost(&db.entry, w.now, nil))
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

// step does one of the things that can happen now; false if there are none.
func (w *world) step() bool {
	w.steps++
	w.now += time.Duration(w.rng.IntN(40)) * time.Microsecond
	if len(w.events) > 0 && w.events[0].at <= w.now {
		heap.Pop(&w.events).(event).f()
		return true
	}
	if len(w.mail) > 0 && w.rng.IntN(3) == 0 {
		i := w.rng.IntN(len(w.mail))
		f := w.mail[i]
		w.mail = append(w.mail[:i], w.mail[i+1:]...)
		f()
		return true
	}
	n := len(w.clients) + len(w.conns)
	from := w.rng.IntN(n)
	for i := range n {
		k := (from + i) % n
		if k < len(w.clients) {
			if w.stepClient(w.clients[k]) {
				return true
			}
		} else if w.stepConn(w.conns[k-len(w.clients)]) {
			return true
		}
	}
	if len(w.mail) > 0 {
		f := w.mail[0]
		w.mail = w.mail[1:]
		f()
		return true
	}
	if len(w.events) > 0 {
		w.now = max(w.now, w.events[0].at)
		heap.Pop(&w.events).(event).f()
		return true
	}
	return false
}

func (w *world) stepClient(c *client) bool {
	if c.timerAt > 0 && c.timerAt <= w.now {
		c.timerAt = 0
		c.session.TimeUp()
		return true
	}
	if c.done {
		return w.endClient(c)
	}
	roll := w.rng.IntN(1000)
	switch {
	case !c.welcomed && len(c.inbox) == 0:
		return c.closed && w.finish(c)
	case w.faults && roll < 2 && !c.gone:
		w.trace("client %d is killed", c.id)
		w.met[clientKilled]++
		c.done = true
		return true
	case w.faults && roll == 2 && !c.gone && !c.closed && w.rng.IntN(4) == 0:
		w.trace("client %d is drained", c.id)
		w.met[clientDrained]++
		c.draining = true
		c.session.Drain()
		return true
	case w.faults && roll < 12 && !c.gone && len(c.sent) > 0 && c.cancels < 3:
		c.cancels++
		w.trace("client %d cancels", c.id)
		c.session.Cancel()
		return true
	}
	switch w.rng.IntN(3) {
	case 0:
		if c.ready() && !c.closed {
			c.write()
			return true
		}
	case 1:
		if len(c.inbox) > 0 {
			c.receive(w.part(len(c.inbox)))
			return true
		}
	}
	if (len(c.out) > 0 || c.wake) && !c.paused && !c.gone && !c.closed {
		n := w.part(len(c.out))
		c.kept = append(c.kept, c.out[:n]...)
		c.out = c.out[n:]
		c.wake = false
		c.kept = c.kept[c.session.ClientData(c.kept):]
		return true
	}
	if len(c.inbox) > 0 {
		c.receive(w.part(len(c.inbox)))
		return true
	}
	if c.closed {
		return w.finish(c)
	}
	if c.left == 0 && len(c.sent) == 0 && len(c.out) == 0 && !c.gone {
		if !c.leaving {
			c.leaving = true
		}
		if w.rng.IntN(2) == 0 {
			c.out = append(c.out, wire.AppendTerminate(nil)...)
			c.left = -1
			return true
		}
		c.done = true
		return true
	}
	if c.ready() {
		c.write()
		return true
	}
	return false
}

// finish is what a client does when the proxy has closed and all was read.
func (w *world) finish(c *client) bool {
	if len(c.inbox) > 0 {
		return false
	}
	if c.left >= 0 && !c.mayLose && !c.draining && !c.doubtful && c.welcomed {
		c.fail("the proxy closed the connection")
	}
	c.done = true
	return true
}

// endClient lets the proxy notice that a client has gone.
func (w *world) endClient(c *client) bool {
	if c.gone {
		return false
	}
	c.gone = true
	if !c.closed {
		c.session.ClientGone()
	}
	return true
}

func (w *world) stepConn(db *conn) bool {
	if db.noticed {
		return false
	}
	if db.broken {
		if db.closing {
			return false
		}
		db.lost()
		return true
	}
	if w.faults && w.rng.IntN(1500) == 0 && !db.closing {
		w.trace("a backend dies")
		w.met[backendKilled]++
		db.broken = true
		for _, c := range w.clients {
			if c.db == db || c.session.Waiting() || c.db == nil {
				c.mayLose = c.mayLose || c.db == db
			}
		}
		if db.borrower != nil {
			db.borrower.mayLose = true
		}
		db.pg.sent = nil
		return true
	}
	if len(db.toServer) > 0 && w.rng.IntN(2) == 0 {
		n := w.part(len(db.toServer))
		db.pg.receive(db.toServer[:n])
		db.toServer = db.toServer[n:]
		return true
	}
	if c := db.borrower; c != nil && len(c.inbox) >= 400 && !c.gone {
		w.met[readerSlow]++ // which stops the reading
	} else if len(db.pg.sent) > 0 {
		if w.verbose && db.borrower != nil {
			w.trace("  from the backend of client %d: conn %d %q", db.borrower.id, db.number, db.pg.sent)
		}
		db.read(w.part(len(db.pg.sent)))
		return true
	}
	if len(db.toServer) > 0 {
		db.pg.receive(db.toServer)
		db.toServer = nil
		return true
	}
	return false
}

// run goes on until nothing can happen any more.
func (w *world) run() {
	for w.failure == "" && w.step() {
		if w.steps > 100_000 {
			w.failf("no end")
		}
		if w.finished() {
			break
		}
	}
	if w.failure == "" {
		w.verify()
	}
}

func (w *world) finished() bool {
	for _, c := range w.clients {
		if !c.done || !c.gone || !c.session.Closed() {
			return false
		}
	}
	return len(w.mail) == 0
}

// verify looks for what was left behind.
func (w *world) verify() {
	for _, c := range w.clients {
		if !c.done || !c.session.Closed() {
			w.failf("client %d never ended: done %v, waiting %v, borrowed %v, out %d, inbox %d, owed answers %d, kept %q, paused %v",
				c.id, c.done, c.session.Waiting(), c.session.Borrowed(), len(c.out), len(c.inbox), len(c.sent), c.kept, c.paused)
		}
	}
	s := w.group.Stats()
	if s.Waiting != 0 || s.Borrowed != 0 || s.Dedicated != 0 {
		w.failf("left behind: %d waiting, %d borrowed", s.Waiting, s.Borrowed)
	}
	for _, db := range w.conns {
		if db.noticed || db.closing || db.broken {
			continue
		}
		// Settings that clients ask for at their start may remain; the next
		// borrower's take their place.
		app, zone := "", ""
		if strings.HasPrefix(db.pg.cur.app, "app") {
			app = db.pg.cur.app
		}
		if db.pg.cur.timeZone == "tz" {
			zone = "tz"
		}
		if what := db.pg.leftovers(app, zone); what != "" {
			w.failf("an idle connection has leftovers: %s", what)
		}
	}
}

func (w *world) story() string { return strings.Join(w.log, "\n") }
