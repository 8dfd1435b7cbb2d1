// SPDX-License-Identifier: Apache-2.0

package failover

import (
	"errors"
	"fmt"
	"slices"
	"time"
)

// source is how a member became known.
type source uint8

const (
	configured source = iota
	byDNS
	byAurora
)

// member is a Member and what is remembered of it.
type member struct {
	Member
	host   string
	source source
	// named is when the source named it last, for members that were discovered.
	named time.Time

	probe schedule

	tried    bool   // a probe has ended
	has      bool   // answer is there
	answer   Answer // the last one
	promoted bool   // it accepts writes since a moment at which it was known not to
	// deposed: it was the writer until another member became that, and has not been
	// read-only since. What it says of itself may be old.
	deposed bool

	slow      time.Duration // how long answers take; it falls slowly
	failures  int           // since the last answer
	kind      Kind
	failedAt  time.Time     // the first of failures
	told      uint8         // the kinds that were logged since the last answer
	loginWait time.Duration // between probes while the login is refused
}

var (
	errOverdue   = errors.New("no answer in time")
	errNoAddress = errors.New("the name has no address")
)

func (c *core) find(address string) *member {
	for _, m := range c.members {
		if m.Address == address {
			return m
		}
	}
	return nil
}

// add makes a member, which is asked at once.
func (c *core) add(e endpoint, name string, from source, now time.Time) *member {
	m := &member{host: e.host, source: from, named: now}
	m.Member = Member{
		Address: e.String(), Name: name, Role: RoleUnknown, Lag: UnknownLag, Since: now,
		Health: Health{State: StateRegistering},
	}
	m.probe.next = now
	c.members = append(c.members, m)
	return m
}

// forgetOld drops members that their source does not name any longer, but never the
// writer.
func (c *core) forgetOld(now time.Time) {
	c.members = slices.DeleteFunc(c.members, func(m *member) bool {
		if m.source == configured || m.Address == c.incumbent || now.Sub(m.named) < c.s.timing.Forget {
			return false
		}
		c.actions = append(c.actions, action{kind: actForget, address: m.Address})
		c.note(note{text: "a member is gone: neither DNS nor the cluster names it any longer", address: m.Address})
		return true
	})
}

// writable tells whether the member's latest probe was answered, and that it
// accepts writes.
func (m *member) writable() bool { return m.has && m.failures == 0 && !m.answer.ReadOnly }

// down tells whether the member is taken for unable to serve anybody.
func (m *member) down() bool { return m.failures >= 2 && !m.kind.alive() }

// heard takes an answer.
func (c *core) heard(now time.Time, m *member, a Answer) {
	if a.Asked.IsZero() {
		a.Asked = m.probe.started
	}
	m.slow = max(now.Sub(earlier(a.Asked, m.probe.started)), m.slow-m.slow/8)
	first, was := !m.has, m.answer
	if m.failures > 0 {
		c.note(note{text: "a member answers again", address: m.Address, count: m.failures})
	}
	if first || m.failures > 0 || was.ReadOnly != a.ReadOnly || identityOf(&was).differs(identityOf(&a)) != "" {
		c.doubt(now)
	}
	m.failures, m.told, m.loginWait = 0, 0, 0
	m.promoted = !a.ReadOnly && (m.promoted || !first && was.ReadOnly)
	if a.ReadOnly {
		m.deposed = false
	}
	m.has, m.tried, m.answer = true, true, a
	c.listedBy(now, m, a.Peers)
	if m.Address == c.writer && !a.ReadOnly {
		c.history.add(a.Asked, a.Cluster, a.Position)
	}
	m.Lag = c.lag(now, m)
	if m.AsOf = c.asOf(m); !a.ReadOnly {
		m.AsOf = a.Asked
	}
}

// failed takes the failure of a probe.
func (c *core) failed(now time.Time, m *member, err error) {
	kind := kindOf(err)
	if m.failures == 0 {
		m.failedAt = now
		c.doubt(now)
	}
	m.failures++
	m.tried, m.kind, m.Lag, m.AsOf = true, kind, UnknownLag, time.Time{}
	if m.told&(1<<kind) == 0 {
		m.told |= 1 << kind
		c.note(note{warn: true, text: "a member does not answer as it should", address: m.Address, count: m.failures, err: err})
	}
	if kind == Refused {
		m.loginWait = min(max(2*m.loginWait, c.s.timing.Calm), maxLoginWait)
	} else {
		m.loginWait = 0
	}
	m.health(now, Health{StateUnavailable, kind.reason(), err.Error()})
}

// maxLoginWait bounds the time between two logins that are refused. Servers lock
// accounts, or hosts, that go on trying.
const maxLoginWait = 10 * time.Second

// health sets the health. A first failure of a member that was well is not yet one.
func (m *member) health(now time.Time, h Health) {
	if h.State == StateUnavailable && m.failures == 1 && m.Health.State == StateAvailable {
		return
	}
	if m.Health.State != h.State {
		m.Since = now
	}
	m.Health = h
}

func (m *member) role(now time.Time, r Role) {
	if m.Role != r {
		m.Role, m.Since = r, now
	}
}

// describe sets role and health of members that answer, once it is decided who the
// writer is.
func (c *core) describe(now time.Time) {
	for _, m := range c.members {
		switch {
		case !m.has || m.failures > 0:
			switch {
			case m.Address == c.writer:
				m.role(now, RoleWriter) // assumed, or not given up yet
			case c.writer != "" && m.Role == RoleWriter:
				m.role(now, RoleUnknown) // it was, and has not been heard of since
			}
		case m.answer.ReadOnly && m.answer.Broken != "":
			m.role(now, RoleReader)
			m.health(now, Health{StateUnavailable, ReasonReplication, m.answer.Broken})
		case m.answer.ReadOnly:
			m.role(now, RoleReader)
			m.health(now, Health{State: StateAvailable})
		case m.Address == c.writer:
			m.role(now, RoleWriter)
			m.health(now, Health{State: StateAvailable})
			m.Lag = 0
		default:
			c.describeRival(now, m)
		}
	}
}

// describeRival: it accepts writes, and is not the writer.
func (c *core) describeRival(now time.Time, m *member) {
	m.role(now, RoleUnknown)
	m.Lag = UnknownLag
	switch {
	case c.writer == "":
		m.health(now, Health{StateUnavailable, ReasonReplication, "it accepts writes; whether it is the writer is not clear yet"})
	case sameServer(identityOf(&m.answer), c.identity):
		m.health(now, Health{State: StateAvailable, Description: fmt.Sprintf("the same server as %s", c.writer)})
	case m.promoted:
		m.health(now, Health{StateUnavailable, ReasonPromoted, fmt.Sprintf("it accepts writes, but the writer is %s", c.writer)})
	default:
		m.health(now, Health{StateUnavailable, ReasonReplication, fmt.Sprintf("it accepts writes, but the writer is %s", c.writer)})
	}
}
