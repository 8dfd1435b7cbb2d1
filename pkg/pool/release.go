// SPDX-License-Identifier: Apache-2.0

package pool

import "time"

// Release gives a borrowed connection back. With reuse it goes to the next
// waiter or becomes idle, unless there is a reason to close it. The holder has
// set Loop and Settings before, and must not touch c afterwards.
//
// It panics if c is not borrowed.
func (g *Group) Release(c *Conn, reuse bool, now time.Duration, out []Action) []Action {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.enter(now)
	if c.state != connBorrowed && c.state != connDedicated {
		panic("pool: Release of a connection that is " + c.state.String())
	}
	if !reuse {
		return g.finish(g.close(c, CloseDiscarded, out))
	}
	if g.owes(c) {
		return g.finish(g.close(c, CloseEvicted, out))
	}
	return g.finish(g.offer(c, out))
}

// offer gives a borrowed connection that nobody holds any more to whoever is
// next.
func (g *Group) offer(c *Conn, out []Action) []Action {
	if why := g.unfit(c); why != 0 {
		return g.close(c, why, out)
	}
	q := &c.pool.shared
	w, overtaking := q.next(c.Loop, g.opts.MaxOvertakes)
	if w == nil {
		g.setState(c, connIdle)
		return out
	}
	if overtaking {
		g.stats.Overtakes++
	}
	g.update(q)
	return g.grant(c, w, out)
}

// unfit is why c cannot be used again; 0 if it can.
func (g *Group) unfit(c *Conn) CloseReason {
	switch {
	case c.state == connDedicated:
		return CloseDedicated
	case c.gen != c.pool.gen:
		return CloseRetired
	case g.now >= c.expires:
		return CloseLifetime
	case g.coming() < 0:
		return CloseOverBudget
	}
	return 0
}

// Lost reports that the server has closed an idle connection, or that it was
// found to be broken beyond doubt: its slot is free. If c has been borrowed
// meanwhile nothing happens: its holder notices, and releases it without reuse
// (see Waiter.Again). If it is being closed, Closed will tell.
func (g *Group) Lost(c *Conn, now time.Duration, out []Action) []Action {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.enter(now)
	if c.state != connIdle {
		return out
	}
	g.stats.Lost++
	g.setState(c, connGone)
	g.forget(c.pool)
	return g.finish(out)
}

// Closed reports, once, that what a Close action asked for is done. Only now the
// slot is free.
//
// It panics if c is not being closed.
func (g *Group) Closed(c *Conn, now time.Duration, out []Action) []Action {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.enter(now)
	if c.state != connClosing {
		panic("pool: Closed for a connection that is " + c.state.String())
	}
	g.setState(c, connGone)
	g.forget(c.pool)
	return g.finish(out)
}
