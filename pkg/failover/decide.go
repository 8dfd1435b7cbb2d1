// SPDX-License-Identifier: Apache-2.0

package failover

import (
	"fmt"
	"slices"
	"strings"
	"time"
)

// decide says who the writer is.
func (c *core) decide(now time.Time) {
	in := c.find(c.incumbent)
	claims := c.claims(in)
	switch {
	case len(claims) > 0 && in == nil:
		if c.settled(now) {
			best, why := c.best(now, claims)
			c.install(now, best, why)
		}
	case len(claims) > 0:
		best, why := c.best(now, claims)
		if best != in && !c.mayReplace(now, in, best) {
			c.keepOrLose(now, in)
			break
		}
		c.install(now, best, why)
	case in != nil:
		c.keepOrLose(now, in)
	default:
		c.assume(now)
	}
	c.describe(now)
	c.rivals.observe(c, now)
}

// claims are the members that say they accept writes, each server once. A former
// writer that has been silent meanwhile is not among them.
func (c *core) claims(in *member) []*member {
	var claims []*member
	for _, m := range c.members {
		if !m.writable() || m != in && c.stale(m) {
			continue
		}
		same := slices.IndexFunc(claims, func(o *member) bool { return sameServer(identityOf(&o.answer), identityOf(&m.answer)) })
		switch {
		case same < 0:
			claims = append(claims, m)
		case m == in:
			claims[same] = m
		case claims[same] != in && claims[same].Address == c.s.writer.String() && m.source == byAurora:
			claims[same] = m // the instance rather than the cluster's name
		}
	}
	return claims
}

// stale tells whether what the member says is known to be of the past: it is on an
// older timeline than the last writer, or was the writer before that. Only the
// writer's name can bring it back.
func (c *core) stale(m *member) bool {
	id := identityOf(&m.answer)
	older := id.cluster == c.identity.cluster && id.timeline != 0 && id.timeline < c.identity.timeline
	return (older || m.deposed) && !c.onlyNamed(m)
}

// onlyNamed tells whether the writer's name leads to this member alone.
func (c *core) onlyNamed(m *member) bool {
	return c.names.leadsTo(m) && !slices.ContainsFunc(c.members, func(o *member) bool {
		return o != m && c.names.leadsTo(o) && !sameServer(identityOf(&o.answer), identityOf(&m.answer))
	})
}

// settled tells whether it is time for a first writer: all members have been heard
// of, and so has the writer's name, or the time is over.
func (c *core) settled(now time.Time) bool {
	named := !c.s.resolves || c.names.seen > 0 || c.names.failures > 0
	return now.Sub(c.began) >= c.s.timing.Settle ||
		named && !slices.ContainsFunc(c.members, func(m *member) bool { return !m.tried })
}

// best is the writer among those who claim to be, and why.
func (c *core) best(now time.Time, claims []*member) (best *member, why string) {
	best, why = claims[0], "it accepts writes"
	for _, m := range claims[1:] {
		switch first, reason := c.compare(now, best, m); {
		case first:
			why = reason
		default:
			best, why = m, reason
		}
	}
	return best, why
}

// compare tells whether a rather than b is the writer, and why.
func (c *core) compare(now time.Time, a, b *member) (first bool, why string) {
	x, y := &a.answer, &b.answer
	sameCluster := x.Cluster != "" && x.Cluster == y.Cluster
	switch {
	case x.Replicates != y.Replicates:
		return y.Replicates, "it accepts writes, and the other replicates"
	case sameCluster && x.Timeline != 0 && y.Timeline != 0 && x.Timeline != y.Timeline:
		return x.Timeline > y.Timeline, "it has the higher timeline"
	}
	healthy := a.Address == c.incumbent || b.Address == c.incumbent
	if p, q := c.names.leadsTo(a), c.names.leadsTo(b); p != q && (!healthy || c.confirmed(now)) {
		return p, "the writer's name leads to it"
	}
	if p, q := a.Address == c.listed.writer, b.Address == c.listed.writer; p != q {
		return p, "the cluster names it"
	}
	switch c.incumbent {
	case a.Address:
		return true, "it was the writer before"
	case b.Address:
		return false, "it was the writer before"
	}
	if p, q := a.Address == c.s.writer.String(), b.Address == c.s.writer.String(); p != q {
		return p, "it is configured as the writer"
	}
	return true, "it comes first in the configuration"
}

// confirmed tells whether DNS has been saying the same for long enough to unseat a
// healthy writer. A name that flaps says nothing.
func (c *core) confirmed(now time.Time) bool {
	return c.names.seen >= 3 && now.Sub(c.names.since) >= c.s.timing.Confirm
}

// mayReplace tells whether a member that accepts writes becomes the writer although
// the last writer has not said that it is none.
func (c *core) mayReplace(now time.Time, in, by *member) bool {
	switch x, y := &in.answer, &by.answer; {
	case in.writable():
		return true // both have spoken, and were compared
	case in.has && in.failures == 0: // read-only
		return true
	case x.Cluster != "" && x.Cluster == y.Cluster && y.Timeline > x.Timeline:
		return true
	case by.promoted && !y.Replicates, c.onlyNamed(by), by.Address == c.listed.writer:
		return true
	default:
		// It accepted writes all along, as in a cluster with several writers; or
		// somebody forgot to make a replica read-only.
		return in.down() && !y.Replicates && now.Sub(in.failedAt) >= c.s.timing.Takeover
	}
}

// keepOrLose: nobody takes the place of the last writer.
func (c *core) keepOrLose(now time.Time, in *member) {
	switch {
	case in.has && in.failures == 0 && in.answer.ReadOnly:
		c.lose(now, "it has become read-only")
	case in.down():
		c.lose(now, "it does not answer")
	case c.writer == "" && in.failures > 0 && in.kind.alive() && !in.answer.ReadOnly:
		c.install(now, in, "it is there again, and cannot be asked")
	}
}

// lose: there is no writer for now.
func (c *core) lose(now time.Time, why string) {
	if c.writer == "" {
		return
	}
	c.note(note{warn: true, text: "there is no writer: " + why, address: c.writer})
	c.writer, c.cause, c.changed = "", why, now
	c.doubt(now)
}

// install makes a member the writer, if it is not that already.
func (c *core) install(now time.Time, m *member, why string) {
	id := identityOf(&m.answer)
	another := ""
	switch {
	case c.generation == 0:
		another = why
	case m.Address == c.incumbent:
		another = c.identity.differs(id)
	case !sameServer(c.identity, id):
		another = why
	}
	if in := c.find(c.incumbent); in != nil && in != m {
		in.deposed = !sameServer(c.identity, id)
	}
	m.deposed = false
	if another != "" {
		c.generation++
		if c.survivors = (time.Time{}); c.generation > 1 && m.Address == c.incumbent && c.identity.restarted(id) {
			c.survivors = c.seen
		}
		c.history = history{}
		c.cause, c.changed = another, now
		c.note(note{text: "the writer: " + another, address: m.Address})
		c.doubt(now)
	} else if c.writer != m.Address {
		c.cause, c.changed = "it answers again", now
		c.note(note{text: "the writer is back", address: m.Address})
		c.doubt(now)
	}
	c.writer, c.incumbent, c.identity = m.Address, m.Address, c.identity.with(id)
	if m.failures == 0 {
		c.seen = m.answer.Asked
	}
}

// with takes over what is known of b, and keeps what is not.
func (a identity) with(b identity) identity {
	if a.differs(b) != "" {
		return b
	}
	if b.started.IsZero() || !a.started.IsZero() {
		b.started = a.started // not to drift
	}
	if b.server == "" {
		b.server = a.server
	}
	if b.cluster == "" {
		b.cluster = a.cluster
	}
	if b.timeline == 0 {
		b.timeline = a.timeline
	}
	if !b.remote.IsValid() {
		b.remote = a.remote
	}
	return b
}

// assume takes the configured writer for the writer when it is alive and cannot be
// asked, such as with wrong credentials, and nobody has ever claimed to be one.
func (c *core) assume(now time.Time) {
	if !c.settled(now) {
		return
	}
	var only *member
	for _, m := range c.members {
		if m.Address != c.s.writer.String() && !c.names.leadsTo(m) && len(c.members) > 1 {
			continue
		}
		if only != nil || m.has || !m.kind.alive() || m.failures == 0 {
			return
		}
		only = m
	}
	if only != nil {
		c.install(now, only, "it is configured as the writer, and cannot be asked")
	}
}

// rivalry remembers which members accept writes beside the writer, to log it once.
type rivalry struct {
	last  string
	told  time.Time
	count int
}

func (r *rivalry) observe(c *core, now time.Time) {
	var others []string
	for _, m := range c.members {
		if c.writer != "" && m.Address != c.writer && m.writable() && !sameServer(identityOf(&m.answer), c.identity) {
			others = append(others, m.Address)
		}
	}
	all := strings.Join(others, ", ")
	if all == r.last {
		return
	}
	r.last = all
	if all == "" {
		return
	}
	r.count++
	if r.told.IsZero() || now.Sub(r.told) >= time.Minute {
		c.note(note{
			warn: true, address: c.writer, count: r.count,
			text: fmt.Sprintf("not only the writer accepts writes, but also %s; they are not written to", all),
		})
		r.told, r.count = now, 0
	}
}
