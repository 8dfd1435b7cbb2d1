// SPDX-License-Identifier: Apache-2.0

package pool

import "time"

// Tick does what is due by time: it closes idle connections that are too old or
// too many, and repeats dials after a pause. It returns when it has to be called
// again (Never: not until a Wake action says so); calling it at other times is
// harmless.
func (g *Group) Tick(now time.Duration, out []Action) (next time.Duration, _ []Action) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.enter(now)
	for c := g.expiry.top(); c != nil && c.expires <= g.now; c = g.expiry.top() {
		if c.state == connIdle {
			out = g.close(c, CloseLifetime, out)
		} else {
			g.expiry.remove(c) // Release will see to it
		}
	}
	for g.opts.IdleTimeout > 0 && g.idle.n > g.opts.MaxIdle && g.idle.tail.since+g.opts.IdleTimeout <= g.now {
		out = g.close(g.idle.tail, CloseIdle, out)
	}
	g.unblock()
	out = g.pump(out)
	g.armed = g.deadline()
	return g.armed, out
}

// NextTick is when Tick has to be called next: what it returned, or what a later
// Wake action asked for. Never: not at all.
func (g *Group) NextTick() time.Duration {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.armed
}

// unblock lets pools whose back-off is over dial again.
func (g *Group) unblock() {
	still := g.blocked[:0]
	for _, p := range g.blocked {
		if p.failures > 0 && p.retryAt > g.now {
			still = append(still, p)
			continue
		}
		p.listed = false
		g.updateBoth(p)
		g.forget(p)
	}
	clear(g.blocked[len(still):])
	g.blocked = still
}

// SetOptions changes the limits. Connections that are too many now are closed,
// idle ones at once and the others when they are released.
func (g *Group) SetOptions(o Options, now time.Duration, out []Action) []Action {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.enter(now)
	g.opts = o.withDefaults()
	for _, p := range g.pools {
		for _, s := range [...]connState{connIdle, connBorrowed} {
			for c := p.conns[s].head; c != nil; c = c.links[linkState].next {
				g.expiry.remove(c)
				if c.expires = c.expiry(&g.opts); c.expires != Never {
					g.expiry.fix(c)
				}
			}
		}
	}
	for g.coming() < 0 && g.idle.n > 0 {
		out = g.close(g.idle.tail, CloseOverBudget, out)
	}
	return g.finish(out)
}

// Retire makes all connections of all pools old: idle ones are closed, others
// when they are released, and those whose dials are under way as soon as they
// are there. Waiters stay and get new ones. It is for the time after a password
// or the target's address was changed; pauses after failed dials are over too.
func (g *Group) Retire(now time.Duration, out []Action) []Action {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.enter(now)
	probing := g.backoff.probing
	g.backoff = backoff{probing: probing}
	for _, p := range g.pools {
		out = g.retire(p, out)
	}
	return g.finish(out)
}

// RetirePool is Retire for one pool.
func (g *Group) RetirePool(p *Pool, now time.Duration, out []Action) []Action {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.enter(now)
	if p = g.resolve(p); p != nil {
		out = g.retire(p, out)
	}
	return g.finish(out)
}

func (g *Group) retire(p *Pool, out []Action) []Action {
	p.gen++
	probing := p.probing
	p.backoff = backoff{probing: probing}
	p.shared.dialing = 0
	for w := p.dedicated.dialled.tail; w != nil; w = p.dedicated.dialled.tail {
		g.dequeue(w)
		p.dedicated.enter(w, true)
	}
	for c := p.conns[connIdle].head; c != nil; c = p.conns[connIdle].head {
		out = g.close(c, CloseRetired, out)
	}
	g.updateBoth(p)
	return out
}
