// SPDX-License-Identifier: Apache-2.0

package failover

import "time"

// doubt has all members asked at once, and often for a while.
func (c *core) doubt(now time.Time) {
	before := c.inDoubt(now)
	c.doubtUntil = now.Add(c.s.timing.Hold)
	if before {
		return
	}
	for _, m := range c.members {
		if m.loginWait > 0 {
			continue
		}
		m.probe.next = earlier(m.probe.next, now)
		if left := m.patience(c.s.timing.DoubtTimeout); m.probe.running && m.probe.deadline.Sub(now) > left {
			m.probe.deadline = now.Add(left)
			c.actions = append(c.actions, action{kind: actHurry, address: m.Address, round: m.probe.round, timeout: left})
		}
	}
	c.resolve.next = earlier(c.resolve.next, later(now, c.resolve.started.Add(c.s.timing.ResolveFloor)))
}

func (c *core) inDoubt(now time.Time) bool { return now.Before(c.doubtUntil) || c.writer == "" }

// interval is the time from the start of a member's probe to that of the next.
func (c *core) interval(now time.Time, m *member) time.Duration {
	switch {
	case m.loginWait > 0:
		return m.loginWait
	case c.inDoubt(now):
		return c.s.timing.Doubt
	}
	return c.s.timing.Calm
}

// maxPatience bounds the time of a probe of a slow server.
const maxPatience = 5 * time.Second

// patience is the time that a probe has: at least that, and more where answers have
// been taking long lately. A server that has too much to do is not down.
func (m *member) patience(least time.Duration) time.Duration {
	return max(least, min(2*m.slow, maxPatience))
}

// start starts the probes and look-ups that are due.
func (c *core) start(now time.Time) {
	timeout := c.s.timing.CalmTimeout
	if c.inDoubt(now) {
		timeout = c.s.timing.DoubtTimeout
	}
	for _, m := range c.members {
		p, timeout := &m.probe, m.patience(timeout)
		if !p.running {
			// What was due later in calm is due sooner in doubt.
			p.next = earlier(p.next, p.started.Add(c.interval(now, m)))
		}
		if p.running || p.next.After(now) {
			continue
		}
		*p = schedule{running: true, round: p.round + 1, started: now, deadline: now.Add(timeout)}
		c.actions = append(c.actions, action{kind: actProbe, address: m.Address, name: m.Name, timeout: timeout, round: p.round})
	}
	if r := &c.resolve; c.s.resolves && !r.running && !r.next.After(now) {
		*r = schedule{running: true, round: r.round + 1, started: now, deadline: now.Add(c.s.timing.ResolveTimeout)}
		c.actions = append(c.actions, action{kind: actResolve, name: c.s.writer.host, timeout: c.s.timing.ResolveTimeout, round: r.round})
	}
}

// next is when advance has to be called at the latest.
func (c *core) next(now time.Time) time.Time {
	at := now.Add(c.s.timing.Calm)
	for _, m := range c.members {
		if m.probe.running {
			at = earlier(at, m.probe.deadline.Add(grace+1))
		} else {
			at = earlier(at, m.probe.next)
		}
	}
	if c.resolve.running {
		at = earlier(at, c.resolve.deadline.Add(grace+1))
	} else if c.s.resolves {
		at = earlier(at, c.resolve.next)
	}
	return at
}

func earlier(a, b time.Time) time.Time {
	if b.Before(a) {
		return b
	}
	return a
}

func later(a, b time.Time) time.Time {
	if b.After(a) {
		return b
	}
	return a
}
