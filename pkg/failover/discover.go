// SPDX-License-Identifier: Apache-2.0

package failover

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"time"
)

// evidence is what the writer's name resolved to last. Failures leave it alone.
type evidence struct {
	addresses []netip.Addr // sorted
	names     []string     // what the name stands for, along a chain of CNAMEs
	since     time.Time    // when it became this
	seen      int          // how often it has been this
	failures  int          // look-ups in a row
	told      time.Time    // when a change was logged last
	untold    int          // changes since
}

// leadsTo tells whether the writer's name leads to the member.
func (e *evidence) leadsTo(m *member) bool {
	for _, a := range []netip.Addr{addrOf(m.host), m.answer.Remote.Unmap()} {
		if _, found := slices.BinarySearchFunc(e.addresses, a, netip.Addr.Compare); a.IsValid() && found {
			return true
		}
	}
	return slices.ContainsFunc(e.names, func(n string) bool { return sameName(n, m.host) })
}

func sameName(a, b string) bool {
	return strings.EqualFold(strings.TrimSuffix(a, "."), strings.TrimSuffix(b, "."))
}

func (c *core) lookupFailed(now time.Time, err error) {
	if c.names.failures++; c.names.failures == 1 {
		c.note(note{warn: true, text: "the writer's name cannot be resolved; what it resolved to before is kept", err: err})
	}
	c.resolveAgain(now, c.s.timing.ResolveDefault)
}

func (c *core) lookupWorked(now time.Time, found Resolved) {
	e := &c.names
	if e.failures > 0 {
		c.note(note{text: "the writer's name can be resolved again", count: e.failures})
	}
	e.failures = 0
	addresses := make([]netip.Addr, 0, len(found.Addresses))
	for _, a := range found.Addresses[:min(len(found.Addresses), maxAddresses)] {
		addresses = append(addresses, a.Unmap().WithZone(""))
	}
	slices.SortFunc(addresses, netip.Addr.Compare)
	addresses = slices.Compact(addresses)
	if slices.Equal(addresses, e.addresses) && slices.Equal(found.Names, e.names) {
		e.seen++
	} else {
		first := e.since.IsZero()
		e.addresses, e.names, e.since, e.seen = addresses, found.Names, now, 1
		c.nameMoved(now, first)
	}
	if c.s.discovery == DNS {
		for _, a := range addresses {
			c.discovered(now, endpoint{a.String(), c.s.writer.port}, c.s.writer.host, byDNS)
		}
	}
	ttl := found.TTL
	if ttl <= 0 {
		ttl = c.s.timing.ResolveDefault
	}
	c.resolveAgain(now, ttl)
}

// nameMoved logs, at most once a minute, and has the members asked.
func (c *core) nameMoved(now time.Time, first bool) {
	e := &c.names
	e.untold++
	if first || now.Sub(e.told) >= time.Minute {
		c.note(note{text: fmt.Sprintf("the writer's name resolves to %v", e.addresses), count: e.untold})
		e.told, e.untold = now, 0
	}
	if !first {
		c.doubt(now)
	}
}

func (c *core) resolveAgain(now time.Time, after time.Duration) {
	t := c.s.timing
	after = min(max(after, t.ResolveFloor), t.ResolveCeiling)
	if c.inDoubt(now) {
		after = t.ResolveFloor
	}
	c.resolve.next = later(now, c.resolve.started.Add(after))
}

// discovered notes that a source names a member.
func (c *core) discovered(now time.Time, e endpoint, name string, from source) {
	if m := c.find(e.String()); m != nil {
		m.named = now
		return
	}
	if len(c.members) >= maxMembers {
		return
	}
	m := c.add(e, name, from, now)
	c.note(note{text: "a member was found", address: m.Address})
}

// listing is Aurora's table.
type listing struct {
	writer string // address; "" unknown
	lags   map[string]time.Duration
}

// listedBy takes the table that a member has answered with. Instances of a cluster
// tell each other of a failover at different times, so an old writer in it is no
// reason to believe anything; each instance is asked itself.
func (c *core) listedBy(now time.Time, from *member, peers []Peer) {
	if c.s.pattern == "" || len(peers) == 0 {
		return
	}
	list := listing{lags: make(map[string]time.Duration, len(peers))}
	writers := 0
	for _, p := range peers[:min(len(peers), maxMembers)] {
		host, ok := instanceHost(c.s.pattern, p.ID)
		if !ok {
			continue
		}
		e := endpoint{host, c.s.writer.port}
		c.discovered(now, e, host, byAurora)
		list.lags[e.String()] = p.Lag
		if p.Writer {
			writers++
			list.writer = e.String()
		}
	}
	if writers != 1 {
		list.writer = ""
	}
	// The writer's own view is the newest.
	if from.Address == c.writer || c.writer == "" || c.listed.lags == nil {
		c.listed = list
	}
}
