// SPDX-License-Identifier: Apache-2.0

package failover

import (
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"
)

// stage runs a core in virtual time, with members that do as they are told.
type stage struct {
	tb      testing.TB
	c       *core
	now     time.Time
	began   time.Time
	members map[string]*actor
	name    func() (Resolved, error) // what the writer's name resolves to
	pending []pending
	notes   []note

	generation uint64
	topo       *Topology
	probes     map[string]int // started since the last look
	lookups    int
	history    []string // writers, one after the other
}

// actor is a member's behaviour.
type actor struct {
	answer Answer
	err    error
	delay  time.Duration
	slow   time.Duration // an answer takes that long, over several probes if need be
	asked  time.Time     // for the answer that is on its way
	hangs  bool          // no answer before the probe's time is up
	stuck  bool          // not even then
}

type pending struct {
	at    time.Time
	probe *answered
	name  *lookedUp
}

var errRefused = &ProbeError{Unreachable, errors.New("connection refused")}

// start is not at zero, which means unknown.
var start = time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)

func newStage(tb testing.TB, o Options, members map[string]*actor) *stage {
	tb.Helper()
	return newNamedStage(tb, o, members, func() (Resolved, error) { return Resolved{}, errors.New("no such host") })
}

// newNamedStage has a DNS too.
func newNamedStage(tb testing.TB, o Options, members map[string]*actor, name func() (Resolved, error)) *stage {
	tb.Helper()
	o.NewProber = func(Member) Prober { return nil }
	s, err := o.check()
	if err != nil {
		tb.Fatal(err)
	}
	st := &stage{tb: tb, now: start, began: start, members: members, probes: make(map[string]int), topo: &Topology{}}
	st.name = name
	st.c = newCore(s, start)
	st.step()
	return st
}

// writer is an answer of a PostgreSQL that accepts writes, reader of one that follows
// it. Their server is n.
func writer(n int) Answer {
	return Answer{Cluster: "4711", Server: fmt.Sprint("server ", n), Started: start.Add(-time.Hour), Timeline: 1, Position: 1000}
}

func reader(n int) Answer {
	a := writer(n)
	a.ReadOnly, a.Replicates = true, true
	return a
}

// step lets the core do what is due, and carries it out.
func (s *stage) step() {
	s.tb.Helper()
	s.c.advance(s.now)
	actions, notes := s.c.take()
	s.notes = append(s.notes, notes...)
	for _, a := range actions {
		s.perform(a)
	}
	s.check()
}

func (s *stage) perform(a action) {
	s.tb.Helper()
	switch a.kind {
	case actProbe:
		s.probes[a.address]++
		m := s.members[a.address]
		if m == nil {
			m = &actor{err: errRefused}
		}
		for _, p := range s.pending {
			if p.probe != nil && p.probe.address == a.address && !m.stuck {
				s.tb.Fatalf("%v: %s is asked twice at once", s.now.Sub(s.began), a.address)
			}
		}
		ev := &answered{address: a.address, round: a.round, answer: m.answer, err: m.err}
		at := s.now.Add(m.delay)
		if m.slow > 0 {
			if m.asked.IsZero() {
				m.asked = s.now
			}
			at, ev.answer.Asked = later(s.now, m.asked.Add(m.slow)), m.asked
			if at.Sub(s.now) > a.timeout {
				ev.err, at = &ProbeError{Unreachable, errOverdue}, s.now.Add(a.timeout)
			} else {
				m.asked = time.Time{}
			}
		}
		switch {
		case m.stuck:
			return
		case m.hangs, m.delay > a.timeout:
			ev.err, at = &ProbeError{Unreachable, errOverdue}, s.now.Add(a.timeout)
		}
		s.pending = append(s.pending, pending{at: at, probe: ev})
	case actHurry:
		for i, p := range s.pending {
			if p.probe != nil && p.probe.address == a.address && p.probe.round == a.round && p.at.After(s.now.Add(a.timeout)) {
				s.pending[i].at = s.now.Add(a.timeout)
			}
		}
	case actForget:
		s.pending = slices.DeleteFunc(s.pending, func(p pending) bool { return p.probe != nil && p.probe.address == a.address })
	case actResolve:
		s.lookups++
		found, err := s.name()
		s.pending = append(s.pending, pending{at: s.now, name: &lookedUp{round: a.round, found: found, err: err}})
	}
}

// check holds what is always true against what was published.
func (s *stage) check() {
	s.tb.Helper()
	t := s.c.topo
	if t.Generation < s.generation {
		s.tb.Fatalf("the generation falls from %d to %d", s.generation, t.Generation)
	}
	s.generation = t.Generation
	if t.Writer != "" {
		m, ok := t.WriterMember()
		if !ok || m.Role != RoleWriter {
			s.tb.Fatalf("the writer %s is %+v", t.Writer, m)
		}
		if t.Generation == 0 {
			s.tb.Fatal("a writer in generation 0")
		}
	}
	for _, m := range t.Members {
		if m.Role == RoleWriter && m.Address != t.Writer && t.Writer != "" {
			s.tb.Fatalf("%s is a writer beside %s", m.Address, t.Writer)
		}
		if m.Health.State == StateUnavailable && m.Health.Reason == ReasonNone || m.Health.State == StateAvailable && m.Health.Reason != ReasonNone {
			s.tb.Fatalf("%s: %+v", m.Address, m.Health)
		}
	}
	if n := len(s.history); n == 0 || s.history[n-1] != t.Writer {
		s.history = append(s.history, t.Writer)
	}
	if next := s.c.next(s.now); !next.After(s.now) {
		s.tb.Fatalf("at %v it wants to go on at %v: it spins", s.now, next)
	}
	s.topo = t
}

// run lets time pass.
func (s *stage) run(d time.Duration) {
	s.tb.Helper()
	until := s.now.Add(d)
	for {
		at := s.c.next(s.now)
		i := -1
		for j, p := range s.pending {
			if !p.at.After(at) && (i < 0 || p.at.Before(s.pending[i].at)) {
				i, at = j, later(p.at, s.now)
			}
		}
		if at.After(until) {
			s.now = until
			return
		}
		s.now = at
		if i >= 0 {
			p := s.pending[i]
			s.pending = slices.Delete(s.pending, i, i+1)
			if p.probe != nil {
				s.c.answered(s.now, *p.probe)
			} else {
				s.c.lookedUp(s.now, *p.name)
			}
		}
		s.step()
	}
}

// until runs until the writer is that one, and tells how long it took.
func (s *stage) until(writer string, limit time.Duration) time.Duration {
	s.tb.Helper()
	began := s.now
	for s.topo.Writer != writer {
		if s.now.Sub(began) > limit {
			s.tb.Fatalf("after %v the writer is %q, not %q: %+v", limit, s.topo.Writer, writer, s.topo)
		}
		s.run(10 * time.Millisecond)
	}
	return s.now.Sub(began)
}

// stays runs, and fails if writer or generation change.
func (s *stage) stays(d time.Duration) {
	s.tb.Helper()
	writer, generation, n := s.topo.Writer, s.topo.Generation, len(s.history)
	s.run(d)
	if s.topo.Writer != writer || s.topo.Generation != generation || len(s.history) != n {
		s.tb.Fatalf("the writer was %q in generation %d, is %q in %d, by %v", writer, generation, s.topo.Writer, s.topo.Generation, s.history[n-1:])
	}
}

// suspect is a hint.
func (s *stage) suspect(address string) {
	s.tb.Helper()
	s.c.suspected(s.now, suspected{address, "test"})
	s.step()
}

func (s *stage) member(address string) Member {
	s.tb.Helper()
	m, ok := s.topo.Member(address)
	if !ok {
		s.tb.Fatalf("%s is not known: %+v", address, s.topo.Members)
	}
	return m
}

func (s *stage) wantHealth(address string, role Role, state State, reason Reason) {
	s.tb.Helper()
	if m := s.member(address); m.Role != role || m.Health.State != state || m.Health.Reason != reason {
		s.tb.Errorf("%s is %s, %+v; want %s, %s %s", address, m.Role, m.Health, role, state, reason)
	}
}

// logged counts the notes that contain a text.
func (s *stage) logged(text string) (n int) {
	for _, l := range s.notes {
		if strings.Contains(l.text, text) {
			n++
		}
	}
	return n
}

func addresses(list ...string) Resolved {
	var r Resolved
	for _, a := range list {
		r.Addresses = append(r.Addresses, netip.MustParseAddr(a))
	}
	return r
}
