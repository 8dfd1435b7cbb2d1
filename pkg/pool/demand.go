// SPDX-License-Identifier: Apache-2.0

package pool

import "time"

// Who gets a slot of the budget.
//
// The heap Group.demand has the queues that could use one more dial. First come
// those that starve, because nothing that their pool has can ever serve them;
// then those whose dials have failed less; then the one whose oldest waiter is
// the oldest.
//
// While the budget has free slots, dials begin at once (pump). When it has none,
// slots are taken from other pools:
//
//   - An idle connection, the idlest one of the group (makeRoom). A starving queue
//     takes it at once. Another one takes it when it has been idle for StealAfter,
//     or its own oldest waiter has waited that long: otherwise two pools with
//     short transactions would take each other's connections all the time.
//   - A connection that is just released although its own pool has waiters
//     (owes). A starving queue takes one at once from a pool that has several, and
//     also the last one of a pool, when its own waiter is older than those there
//     and has waited for StealAfter: so more pools than slots take turns. A queue
//     that does not starve takes one after StealAfter from a pool that has at
//     least two more than its own: so busy pools approach equal shares, and stop
//     there.
//
// A new connection is left to its pool for StealAfter, unless that has several.
// So a slot never changes hands more often than that, no matter how many pools
// compete: to open connections is the dearest thing that a server can be asked.
//
// A slot is free when the connection is closed, not before; it then goes to
// whoever is first. No more connections are closed than there are such wants.

// update brings q's place in the demand up to date. It has to be called after
// every change of what it looks at.
func (g *Group) update(q *queue) {
	wants := q.want() > 0 && q.pool.open(g.now)
	starving := wants && q.isStarving()
	if starving != q.rank.starving {
		q.rank.starving = starving
		if starving {
			g.starving++
		} else {
			g.starving--
		}
	}
	if !wants {
		g.demand.remove(q)
		return
	}
	q.rank.failures = q.pool.failures
	q.rank.seq = q.waiting.head.seq
	g.demand.fix(q)
}

func (g *Group) updateBoth(p *Pool) {
	g.update(&p.shared)
	g.update(&p.dedicated)
}

// pump starts the dials that are wanted and possible, and makes room for more.
func (g *Group) pump(out []Action) []Action {
	for q := g.demand.top(); q != nil && g.mayDial(); q = g.demand.top() {
		out = g.startDial(q, q.waiting.head.loop, out)
	}
	return g.makeRoom(out)
}

// roomHelps tells whether closing a connection now would help the first queue of the
// demand: it could dial, but for the budget.
func (g *Group) roomHelps(q *queue) bool {
	if q == nil || g.opts.Budget == 0 || !g.backoff.open(g.now) {
		return false
	}
	need := q.want()
	switch {
	case g.backoff.failures > 0:
		need = 1 // they go one by one
	case g.starving > 0:
		need = g.starving
	}
	return g.coming() < need
}

// Scarce tells a holder of one of p's connections whether somebody could use it now:
// others wait, or whoever came next would have to, since no connection is idle and none
// may be opened.
func (g *Group) Scarce(p *Pool) bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	if used := g.resolve(p); used != nil && used.shared.waiting.n > 0 {
		return true
	}
	return g.demand.top() != nil || g.opts.Budget > 0 && g.count[connIdle] == 0 && g.free() <= 0
}

// makeRoom evicts idle connections for the first in the demand.
func (g *Group) makeRoom(out []Action) []Action {
	g.stealAt = Never
	for c := g.idle.tail; c != nil; c = g.idle.tail {
		q := g.demand.top()
		if !g.roomHelps(q) {
			break
		}
		if at := g.mayTake(c, q); g.now < at {
			g.stealAt = at
			break
		}
		out = g.close(c, CloseEvicted, out)
	}
	return out
}

// mayTake is when q may take the idle connection c from another queue.
func (g *Group) mayTake(c *Conn, q *queue) time.Duration {
	switch {
	case !q.rank.starving:
		return max(c.born, min(c.since, q.waiting.head.since)) + g.opts.StealAfter
	case c.pool.held() >= 2:
		return g.now
	}
	return c.born + g.opts.StealAfter
}

// owes tells whether a connection that is being released must make room for
// another queue than its own.
func (g *Group) owes(c *Conn) bool {
	q, own := g.demand.top(), c.pool.shared.waiting.head
	if own == nil || q == &c.pool.shared || !g.roomHelps(q) {
		return false
	}
	first := q.waiting.head
	older := first.seq < own.seq && g.now-first.since >= g.opts.StealAfter
	held := c.pool.held()
	if q.rank.starving {
		return held >= 2 || older && g.now-c.born >= g.opts.StealAfter
	}
	return older && held >= q.pool.held()+q.dialing+max(g.coming(), 0)+2
}

// deadline is when Tick has something to do.
func (g *Group) deadline() time.Duration {
	next := g.stealAt
	if c := g.expiry.top(); c != nil {
		next = min(next, c.expires)
	}
	if g.opts.IdleTimeout > 0 && g.idle.n > g.opts.MaxIdle {
		next = min(next, g.idle.tail.since+g.opts.IdleTimeout)
	}
	if g.backoff.failures > 0 && g.backoff.retryAt > g.now && g.demand.top() != nil {
		next = min(next, g.backoff.retryAt)
	}
	for _, p := range g.blocked {
		next = min(next, p.retryAt)
	}
	return next
}
