// SPDX-License-Identifier: Apache-2.0

package pool

import "time"

// Borrow asks for a connection of p on behalf of w. If one is at hand it is
// returned, borrowed. Otherwise w waits: a Grant or Fail action comes later, or
// is already in out.
//
// It panics if w is waiting already.
func (g *Group) Borrow(p *Pool, w *Waiter, now time.Duration, out []Action) (*Conn, []Action) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.enter(now)
	if w.state != waiterFree {
		panic("pool: Borrow with a waiter that is waiting already")
	}
	p = g.use(p)
	again := w.Again
	w.Again = false
	if !again {
		g.ticket++
		w.seq, w.since = g.ticket, g.now
	}
	if !w.Dedicated {
		if c := g.pick(p, w); c != nil {
			g.lend(c, w)
			return c, g.finish(out)
		}
	}
	if g.opts.NoWait && (!w.Dedicated || !g.mayDial() || !p.open(g.now)) {
		return nil, g.finish(g.refuse(p, w, out))
	}
	q := &p.shared
	if w.Dedicated {
		q = &p.dedicated
	}
	q.enter(w, again)
	g.update(q)
	return nil, g.finish(out)
}

// pick finds an idle connection for w, or nil if w should rather wait.
func (g *Group) pick(p *Pool, w *Waiter) *Conn {
	if p.conns[connIdle].n == 0 {
		return nil
	}
	if c := p.shelves.pick(w); c != nil {
		return c
	}
	// What is left has other settings. A new connection will keep those of w, and
	// both kinds stay hot. But not when the group has more idle connections than
	// it keeps anyway, or when dialling does not work just now.
	if !g.opts.NoWait && g.idle.n < g.opts.MaxIdle && g.mayDial() && g.dialWorks(p) {
		return nil
	}
	return p.conns[connIdle].head
}

// lend makes c borrowed by w.
func (g *Group) lend(c *Conn, w *Waiter) {
	g.stats.Borrows++
	if c.Loop != w.Loop {
		g.stats.Moves++
	}
	if c.Settings != w.Settings {
		g.stats.Replays++
	}
	if c.state != connBorrowed {
		g.setState(c, connBorrowed)
	}
}

// refuse fails w, and sees to it that later borrowers have better luck.
func (g *Group) refuse(p *Pool, w *Waiter, out []Action) []Action {
	out = append(out, Action{Kind: Fail, Waiter: w, Pool: p, Err: ErrNoneReady})
	g.stats.Failed++
	q := &p.shared
	switch {
	case w.Dedicated || !p.open(g.now):
	case g.mayDial():
		// At most twice as many as there are: a burst is not the usual load.
		if q.dialing <= p.held() {
			out = g.startDial(q, w.Loop, out)
		}
	case q.isStarving() && g.opts.Budget > 0 && g.coming() <= 0 && g.idle.n > 0:
		out = g.close(g.idle.tail, CloseEvicted, out)
	}
	g.forget(p)
	return out
}

// Cancel ends the wait of w without a connection: its time is up, or its session
// has ended. It returns false if w was not waiting any more; then a Grant or
// Fail action for it is on its way to its loop, or has been there.
//
// A dial that was started for w goes on, for whoever comes next.
func (g *Group) Cancel(w *Waiter, now time.Duration, out []Action) (still bool, _ []Action) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.enter(now)
	if w.state == waiterFree {
		return false, out
	}
	p := w.queue.pool
	g.stats.Cancelled++
	g.dequeue(w)
	g.forget(p)
	return true, g.finish(out)
}

// dequeue takes w out of its queue, whichever state it is in.
func (g *Group) dequeue(w *Waiter) {
	q := w.queue
	if w.state == waiterDialing {
		q.dialled.remove(w)
		w.dial.waiter = nil
		w.dial = nil
		w.queue = nil
		w.state = waiterFree
	} else {
		q.leave(w)
	}
	g.update(q)
}

// grant hands c to a waiter who has left the queue.
func (g *Group) grant(c *Conn, w *Waiter, out []Action) []Action {
	g.stats.Waited++
	g.lend(c, w)
	return append(out, Action{Kind: Grant, Conn: c, Waiter: w, Pool: c.pool})
}
