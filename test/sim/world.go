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
	rough    bool          // many backends fail, and much is written
	patience time.Duration // of those who wait for a connection
	met      [faultKinds]int
	applied  map[string]int // how often each row was committed
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
	backendEnded
	failedOver
	toldUndone
	toldUnknown
	toldState
	cutInMessage
	listenerEnded
	readerSlow
	faultKinds
)

func (f fault) String() string {
	return [...]string{
		"clients killed", "clients drained", "cancel requests that hit", "borrow time-outs", "dials refused", "backends killed",
		"backends that said goodbye", "failovers",
		"losses told as undone", "losses told as not known", "losses of a session's state told",
		"clients closed in the middle of a message", "clients ended that waited for notifications",
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
	w.applied = make(map[string]int)
	w.budget = 1 + w.rng.IntN(4)
	w.faults = w.rng.IntN(2) == 0
	w.rough = w.faults && w.rng.IntN(2) == 0
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
	c.base = base
	c.newDirect()
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
	db.pg.committed, db.pg.dropped = w.commits, func([]string) {}
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
			if !ok && db.pg.dead {
				db.broken = true // as it has said
				db.lost()
				return
			}
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
	w.verifyRows()
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
