// SPDX-License-Identifier: Apache-2.0

package pool

import (
	"math"
	"sync"
	"time"
)

// Never is a time that does not come.
const Never time.Duration = math.MaxInt64

// Key names a pool within its group.
type Key struct{ User, Database string }

// Group is all connections to one target. Its methods may be called from any
// goroutine; none of them blocks for longer than it takes to change some lists.
type Group struct {
	mu sync.Mutex // guards everything that can be reached from here

	opts Options
	// now is the latest time seen. The callers' clocks are read once per turn of
	// their loops, so one call's time may be a little before the last one's.
	now   time.Duration
	pools map[Key]*Pool // those in use

	count   [connStates]int // connections by state
	dialing int             // dials under way, also those for a past generation
	idle    connList        // idle connections of all pools, last used first
	expiry  heap[*Conn]     // connections that have not reached their lifetime

	demand   heap[*queue] // queues that want a dial, see demand.go
	starving int          // how many of them starve
	ticket   uint64       // the last waiter's number
	stealAt  time.Duration

	backoff backoff // of the target
	blocked []*Pool // pools with a back-off of their own

	armed time.Duration // when Tick is expected
	stats Counters
}

// Pool is the connections of one user and database. All of it belongs to its
// group.
type Pool struct {
	key        Key
	group      *Group
	registered bool // in group.pools

	conns   [connGone]connList // by state; last used first
	shelves shelves            // the idle ones
	gen     uint64             // see Group.Retire
	dials   int                // dials under way, also those for a past generation

	shared, dedicated queue

	backoff
	listed bool // in group.blocked
}

// NewGroup makes a group without any pools.
func NewGroup(o Options) *Group {
	return &Group{
		opts:    o.withDefaults(),
		pools:   make(map[Key]*Pool),
		idle:    connList{which: linkIdle},
		armed:   Never,
		stealAt: Never,
	}
}

// Pool finds or makes the pool of a key. A session may keep it for as long as it
// likes: it is forgotten by the group while it has no connections and nobody
// waits, and remembered at the next Borrow.
func (g *Group) Pool(k Key) *Pool {
	g.mu.Lock()
	defer g.mu.Unlock()
	if p := g.pools[k]; p != nil {
		return p
	}
	p := &Pool{key: k, group: g}
	p.shared.pool = p
	p.dedicated.pool = p
	p.dedicated.dedicated = true
	return p
}

// Key is what the pool was made for.
func (p *Pool) Key() Key { return p.key }

// held is how many connections can serve the shared queue now or later.
func (p *Pool) held() int { return p.conns[connIdle].n + p.conns[connBorrowed].n }

// resolve gives the pool that is in use for the key of p, which may be another
// one if p was forgotten; nil if none is in use.
func (g *Group) resolve(p *Pool) *Pool {
	if p.registered {
		return p
	}
	return g.pools[p.key]
}

func (g *Group) use(p *Pool) *Pool {
	if known := g.resolve(p); known != nil {
		return known
	}
	p.registered = true
	p.backoff = backoff{}
	g.pools[p.key] = p
	return p
}

// forget drops a pool that has nothing to remember.
func (g *Group) forget(p *Pool) {
	for i := range p.conns {
		if p.conns[i].n > 0 {
			return
		}
	}
	waiting := p.shared.waiting.n + p.dedicated.waiting.n + p.dedicated.dialled.n
	if !p.registered || p.dials > 0 || waiting > 0 || p.listed {
		return
	}
	p.registered = false
	p.shelves = shelves{}
	delete(g.pools, p.key)
}

// enter begins every call that changes something.
func (g *Group) enter(now time.Duration) {
	g.now = max(g.now, now)
}

// finish ends every call that changes something: slots that became free are
// used, and the next Tick is announced if it has to come earlier than expected.
func (g *Group) finish(out []Action) []Action {
	out = g.pump(out)
	if next := g.deadline(); next < g.armed {
		g.armed = next
		out = append(out, Action{Kind: Wake, At: next})
	}
	return out
}

// total is how many slots of the budget are taken.
func (g *Group) total() int {
	return g.dialing + g.count[connIdle] + g.count[connBorrowed] + g.count[connDedicated] + g.count[connClosing]
}

func (g *Group) free() int { return g.opts.Budget - g.total() }

// coming is how many slots will be free when all that is being closed is closed.
func (g *Group) coming() int { return g.free() + g.count[connClosing] }

// setState is the only place where the state of a connection changes, and with
// it the lists that it is in.
func (g *Group) setState(c *Conn, s connState) {
	p := c.pool
	switch c.state {
	case connNew:
	case connIdle:
		c.shelf.remove(c)
		g.idle.remove(c)
		fallthrough
	default:
		p.conns[c.state].remove(c)
		g.count[c.state]--
	}
	c.state = s
	c.since = g.now
	if s == connGone {
		g.expiry.remove(c)
	} else {
		p.conns[s].pushFront(c)
		g.count[s]++
		if s == connIdle {
			g.idle.pushFront(c)
			p.shelves.add(c, p.conns[connIdle].n)
		}
	}
	g.update(&p.shared)
}

// close starts the end of a connection in any state but closing.
func (g *Group) close(c *Conn, why CloseReason, out []Action) []Action {
	g.setState(c, connClosing)
	g.expiry.remove(c)
	c.reason = why
	g.stats.Closed[why]++
	return append(out, Action{Kind: Close, Conn: c, Pool: c.pool, Reason: why})
}
