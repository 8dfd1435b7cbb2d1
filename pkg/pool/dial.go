// SPDX-License-Identifier: Apache-2.0

package pool

import (
	"math"
	"time"
)

// DialAttempt is one attempt to open a connection, from a Dial action until
// Group.Dialed.
type DialAttempt struct {
	// Pool is where the connection will belong.
	Pool *Pool
	// Loop is the loop of the waiter that caused the attempt: a good place for
	// the socket to live. Negative: any.
	Loop int
	// Dedicated tells that the connection is for one session only, and Params is
	// what that session's Waiter asked for.
	Dedicated bool
	Params    any

	waiter *Waiter // the one it is for, if dedicated and still waiting
	done   bool
	gen    uint64 // of the pool when it began
	// probe: something had failed before, so that it goes alone. The counts are
	// those at its beginning: of attempts that fail together only one counts.
	probe                        bool
	poolFailures, targetFailures uint64
}

// Failure is what the failure of a dial says of later ones.
type Failure uint8

const (
	// TargetFailed: the database cannot be reached, or takes nobody now. That may
	// pass. Until then dials are repeated after pauses, for all pools together.
	TargetFailed Failure = iota
	// PoolRefused: the database answers, and does not let this pool's user in, which
	// may pass: the password is being changed. The pauses are for this pool alone.
	PoolRefused
	// PoolBarred: trying again for this pool is useless as long as nothing is
	// changed: the password is wrong, or the database does not exist.
	PoolBarred
)

// backoff is the pause between failing dials, to a target or for a pool.
type backoff struct {
	failures uint64 // in a row; 0: dialling works as far as is known
	probing  int    // attempts under way that began after a failure
	retryAt  time.Duration
	err      error // of the last failure
}

// open tells whether a dial may begin. After a failure they go one by one.
func (b *backoff) open(now time.Duration) bool {
	return b.failures == 0 || b.probing == 0 && now >= b.retryAt
}

// fail counts a failure of an attempt that began when there had been seen so
// many before.
func (b *backoff) fail(seen uint64, err error, now time.Duration, o *Options) {
	b.err = err
	if seen != b.failures {
		return
	}
	pause := math.Ldexp(float64(o.DialBackoffMin), int(min(b.failures, 60)))
	pause = min(pause, float64(o.DialBackoffMax))
	b.failures++
	b.retryAt = now + time.Duration(pause*(1-o.Rand()/2))
}

func (b *backoff) succeed() {
	b.failures, b.err = 0, nil
}

// mayDial tells whether the budget and the target's back-off allow a dial.
func (g *Group) mayDial() bool { return g.free() > 0 && g.backoff.open(g.now) }

// dialWorks tells whether dials for p are not known to fail.
func (g *Group) dialWorks(p *Pool) bool { return g.backoff.failures == 0 && p.failures == 0 }

// startDial begins a dial for q, which must be allowed.
func (g *Group) startDial(q *queue, loop int, out []Action) []Action {
	p := q.pool
	d := &DialAttempt{
		Pool: p, Loop: loop, Dedicated: q.dedicated,
		gen: p.gen, poolFailures: p.failures, targetFailures: g.backoff.failures,
	}
	if !g.dialWorks(p) {
		d.probe = true
		p.probing++
		g.backoff.probing++
	}
	g.dialing++
	p.dials++
	g.stats.Dials++
	if q.dedicated {
		w := q.waiting.head
		q.leave(w)
		q.dialled.pushBack(w)
		w.state, w.queue, w.dial = waiterDialing, q, d
		d.waiter, d.Params = w, w.Params
	} else {
		q.dialing++
	}
	g.updateBoth(p)
	return append(out, Action{Kind: Dial, Pool: p, Dial: d})
}

// Dialed reports the end of a dial, once: either a connection, with its Loop and
// Settings set, or an error, and what that means. After PoolBarred those who wait
// fail with err, unless the pool has connections that may still serve them. After
// other failures they wait on, and dials are repeated after a pause.
//
// It panics if d has been reported already, or if c is in use.
func (g *Group) Dialed(d *DialAttempt, c *Conn, err error, failure Failure, now time.Duration, out []Action) []Action {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.enter(now)
	if d.done || err == nil && c.state != connNew {
		panic("pool: Dialed twice")
	}
	p := d.Pool
	d.done = true
	g.dialing--
	p.dials--
	if d.probe {
		p.probing--
		g.backoff.probing--
	}
	if !d.Dedicated && d.gen == p.gen {
		p.shared.dialing--
	}
	if err == nil {
		out = g.dialSucceeded(d, c, out)
	} else {
		g.stats.DialFailures++
		out = g.dialFailed(d, err, failure, out)
	}
	out = g.settle(p, out)
	g.updateBoth(p)
	g.forget(p)
	return g.finish(out)
}

func (g *Group) dialSucceeded(d *DialAttempt, c *Conn, out []Action) []Action {
	p := d.Pool
	g.backoff.succeed()
	if d.gen == p.gen {
		p.succeed()
	}
	c.pool, c.gen = p, d.gen
	c.born, c.jitter = g.now, g.opts.Rand()
	if c.expires = c.expiry(&g.opts); c.expires != Never {
		g.expiry.fix(c)
	}
	if !d.Dedicated {
		g.setState(c, connBorrowed)
		return g.offer(c, out)
	}
	g.setState(c, connDedicated)
	w := d.waiter
	switch {
	case d.gen != p.gen:
		return g.close(c, CloseRetired, out)
	case w == nil:
		return g.close(c, CloseUnwanted, out)
	}
	g.dequeue(w)
	g.stats.Waited++
	g.stats.Borrows++
	return append(out, Action{Kind: Grant, Conn: c, Waiter: w, Pool: p})
}

func (g *Group) dialFailed(d *DialAttempt, err error, failure Failure, out []Action) []Action {
	permanent := failure == PoolBarred
	p := d.Pool
	if d.gen != p.gen {
		return out // it says nothing about how things are now
	}
	if w := d.waiter; w != nil {
		g.dequeue(w)
		if permanent || g.opts.NoWait {
			// Perhaps it was only what this session had asked for.
			out = g.fail(w, p, err, out)
		} else {
			p.dedicated.enter(w, true)
		}
	}
	if d.Dedicated && permanent {
		return out
	}
	if failure == TargetFailed {
		g.backoff.fail(d.targetFailures, err, g.now, &g.opts)
	}
	p.fail(d.poolFailures, err, g.now, &g.opts)
	if !p.listed {
		p.listed = true
		g.blocked = append(g.blocked, p)
	}
	q := &p.shared
	for permanent && p.held() == 0 && q.waiting.n > 0 {
		w := q.waiting.head
		q.leave(w)
		out = g.fail(w, p, err, out)
	}
	return out
}

// settle gives idle connections that were refused for their settings to waiters
// whose dials have come to nothing.
func (g *Group) settle(p *Pool, out []Action) []Action {
	for q := &p.shared; q.want() > 0 && p.conns[connIdle].n > 0; {
		w := q.waiting.head
		c := p.shelves.pick(w)
		q.leave(w)
		if c == nil {
			c = p.conns[connIdle].head
		}
		out = g.grant(c, w, out)
	}
	return out
}

func (g *Group) fail(w *Waiter, p *Pool, err error, out []Action) []Action {
	g.stats.Failed++
	return append(out, Action{Kind: Fail, Waiter: w, Pool: p, Err: err})
}

// Outdated tells whether Retire has come since the attempt began: the connection would
// be closed at once, and others are dialled in its place.
func (g *Group) Outdated(d *DialAttempt) bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	return d.gen != d.Pool.gen
}

// LastDialError is why connections for p cannot be opened at present, as far as
// is known: something to say to a waiter whose time is up. nil: nothing wrong.
func (g *Group) LastDialError(p *Pool) error {
	g.mu.Lock()
	defer g.mu.Unlock()
	if known := g.resolve(p); known != nil {
		p = known
	}
	if p.err != nil {
		return p.err
	}
	return g.backoff.err
}
