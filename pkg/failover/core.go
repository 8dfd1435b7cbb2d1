// SPDX-License-Identifier: Apache-2.0

package failover

import (
	"fmt"
	"net/netip"
	"slices"
	"time"
)

// core decides. Each method takes the time, and may leave actions, notes and a new
// topology, which the caller collects by take. It is for one goroutine.
type core struct {
	s       settings
	members []*member // in order
	names   evidence  // what DNS says of the writer's name
	listed  listing   // what Aurora's table says
	history history   // of the writer's position

	began      time.Time
	doubtUntil time.Time
	resolve    schedule

	writer     string    // Topology.Writer
	incumbent  string    // the last writer, also while it is down; "" at first
	identity   identity  // of the last writer
	seen       time.Time // when it was asked last and had that identity
	generation uint64
	cause      string
	changed    time.Time
	survivors  time.Time // Topology.Survivors

	rivals  rivalry // members that accept writes beside the writer
	topo    *Topology
	actions []action
	notes   []note
}

// schedule is when something is done next, and whether it is being done.
type schedule struct {
	running  bool
	round    uint64
	started  time.Time
	deadline time.Time
	next     time.Time
}

type actionKind uint8

const (
	actProbe   actionKind = iota // ask the member
	actHurry                     // the probe that runs has only timeout left from now
	actForget                    // the member is gone: close its prober
	actResolve                   // look the writer's name up
)

// action is what the caller has to do.
type action struct {
	kind          actionKind
	address, name string
	timeout       time.Duration
	round         uint64 // goes back with the answer
}

// note is what the caller has to log.
type note struct {
	warn    bool
	text    string
	address string // of a member; "" if it is about none
	count   int    // how often it has happened; 0: not counted
	err     error
}

// The events. An answer to a round that is not the latest is stale and ignored.
type (
	answered struct {
		address string
		round   uint64
		answer  Answer
		err     error
	}
	lookedUp struct {
		round uint64
		found Resolved
		err   error
	}
	suspected struct{ address, why string }
)

func newCore(s settings, now time.Time) *core {
	c := &core{s: s, began: now, topo: &Topology{}}
	c.resolve.next = now
	for _, e := range s.members {
		c.add(e, e.host, configured, now)
	}
	c.publish()
	return c
}

// answered takes the end of a probe.
func (c *core) answered(now time.Time, ev answered) {
	m := c.find(ev.address)
	if m == nil || !m.probe.running || m.probe.round != ev.round {
		return
	}
	m.probe.running = false
	if ev.err != nil {
		c.failed(now, m, ev.err)
	} else {
		c.heard(now, m, ev.answer)
	}
	m.probe.next = m.probe.started.Add(c.interval(now, m))
}

// lookedUp takes the end of a look-up.
func (c *core) lookedUp(now time.Time, ev lookedUp) {
	if !c.resolve.running || c.resolve.round != ev.round {
		return
	}
	c.resolve.running = false
	if ev.err == nil && len(ev.found.Addresses) == 0 {
		ev.err = errNoAddress
	}
	if ev.err != nil {
		c.lookupFailed(now, ev.err)
	} else {
		c.lookupWorked(now, ev.found)
	}
}

// suspected takes a hint of a relay: something is odd with the server at address.
func (c *core) suspected(now time.Time, ev suspected) {
	if m := c.find(ev.address); m != nil {
		c.doubt(now)
	}
}

// advance does what is due, decides, and starts what has to be asked. It is called
// after each event, and when the time that next told has come.
func (c *core) advance(now time.Time) {
	for _, m := range c.members {
		// A prober that does not keep to its time is not waited for.
		if m.probe.running && now.After(m.probe.deadline.Add(grace)) {
			m.probe.running = false
			c.failed(now, m, errOverdue)
			m.probe.next = m.probe.started.Add(c.interval(now, m))
		}
	}
	if c.resolve.running && now.After(c.resolve.deadline.Add(grace)) {
		c.resolve.running = false
		c.lookupFailed(now, errOverdue)
	}
	c.forgetOld(now)
	c.decide(now)
	c.start(now)
	c.publish()
}

// grace is for how long an answer may come after its time: it takes a moment to
// get here.
const grace = 100 * time.Millisecond

// take returns what is to be done and logged, and forgets it.
func (c *core) take() (actions []action, notes []note) {
	actions, notes = c.actions, c.notes
	c.actions, c.notes = nil, nil
	return actions, notes
}

func (c *core) note(n note) { c.notes = append(c.notes, n) }

// publish makes the topology anew if anything in it has changed.
func (c *core) publish() {
	t := &Topology{Generation: c.generation, Writer: c.writer, Cause: c.cause, Changed: c.changed, Survivors: c.survivors, Members: make([]Member, len(c.members))}
	for i, m := range c.members {
		t.Members[i] = m.Member
	}
	if !t.equal(c.topo) || !slices.Equal(t.Members, c.topo.Members) {
		c.topo = t
	}
}

// identity is what makes a server the one that it was.
type identity struct {
	cluster, server string
	timeline        uint32
	started         time.Time
	remote          netip.Addr // does not count for being another
}

func identityOf(a *Answer) identity {
	return identity{a.Cluster, a.Server, a.Timeline, a.Started, a.Remote}
}

// startSlack is by how much the same start of a server may seem to move.
const startSlack = 2 * time.Second

// differs tells in words how b is another server than a, or another run of it; ""
// if nothing says so. What is unknown of either does not count.
func (a identity) differs(b identity) string {
	switch {
	case a.cluster != "" && b.cluster != "" && a.cluster != b.cluster:
		return "another cluster answers there"
	case a.timeline != 0 && b.timeline != 0 && a.timeline != b.timeline:
		return fmt.Sprintf("its timeline is %d and was %d", b.timeline, a.timeline)
	case a.restarted(b):
		return "it was restarted"
	case a.server != "" && b.server != "" && a.server != b.server:
		return "another server answers there, or the same after a restart"
	case !a.started.IsZero() && !b.started.IsZero() && b.started.Sub(a.started).Abs() > startSlack:
		return "it was restarted"
	}
	return ""
}

// restarted tells whether b is surely a later run of a, on the same machine.
func (a identity) restarted(b identity) bool {
	same := a.cluster != "" && a.cluster == b.cluster || a.server != "" && a.server == b.server
	return same && a.cluster == b.cluster && a.timeline == b.timeline && a.remote.IsValid() && a.remote == b.remote &&
		!a.started.IsZero() && b.started.Sub(a.started) > startSlack
}

// sameServer tells whether two answers surely come from one run of one server.
func sameServer(a, b identity) bool {
	return a.server != "" && a.server == b.server && a.cluster == b.cluster && a.differs(b) == ""
}

// addrOf is the IP address in a host, if it is one.
func addrOf(host string) netip.Addr {
	a, err := netip.ParseAddr(host)
	if err != nil {
		return netip.Addr{}
	}
	return a.Unmap()
}
