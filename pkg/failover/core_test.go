// SPDX-License-Identifier: Apache-2.0

package failover

import (
	"errors"
	"fmt"
	"net/netip"
	"testing"
	"time"
)

const (
	one   = "10.0.0.1:5432"
	two   = "10.0.0.2:5432"
	three = "10.0.0.3:5432"
)

// pair is a writer and a reader.
func pair() (Options, map[string]*actor) {
	return Options{Members: []string{one, two}}, map[string]*actor{one: {answer: writer(1)}, two: {answer: reader(2)}}
}

// TestFirstWriter: of members that answer soon the one that accepts writes is the
// writer, at once; a silent one is waited for a second only.
func TestFirstWriter(t *testing.T) {
	o, m := pair()
	m[two].delay = 20 * time.Millisecond
	s := newStage(t, o, m)
	if took := s.until(one, time.Second); took > 50*time.Millisecond {
		t.Errorf("it took %v", took)
	}
	if s.topo.Generation != 1 || s.topo.Cause == "" || s.topo.Changed.IsZero() {
		t.Errorf("%+v", s.topo)
	}
	s.run(time.Second)
	s.wantHealth(one, RoleWriter, StateAvailable, ReasonNone)
	s.wantHealth(two, RoleReader, StateAvailable, ReasonNone)
	if lag := s.member(one).Lag; lag != 0 {
		t.Errorf("the writer is %v behind itself", lag)
	}

	o, m = pair()
	m[one].hangs = true
	m[two].answer = writer(2)
	s = newStage(t, o, m)
	if took := s.until(two, 2*time.Second); took < 400*time.Millisecond || took > 1100*time.Millisecond {
		t.Errorf("with a silent member it took %v", took)
	}
}

// TestCalm: when all is well nobody is asked more often than once a second.
func TestCalm(t *testing.T) {
	o, m := pair()
	s := newStage(t, o, m)
	s.run(5 * time.Second)
	clear(s.probes)
	s.stays(20 * time.Second)
	for a, n := range s.probes {
		if n < 19 || n > 21 {
			t.Errorf("%s was asked %d times in 20 s", a, n)
		}
	}
	s.suspect(one)
	clear(s.probes)
	s.stays(time.Second)
	for a, n := range s.probes {
		if n < 9 || n > 11 {
			t.Errorf("%s was asked %d times in a second of doubt", a, n)
		}
	}
	s.suspect("10.9.9.9:1")
	s.run(2 * time.Second)
	clear(s.probes)
	s.suspect("10.9.9.9:1")
	s.run(500 * time.Millisecond)
	if s.probes[one] > 1 {
		t.Error("a hint about a stranger makes doubt")
	}
}

// TestCauses: each way in which a writer is lost, and what follows from it.
func TestCauses(t *testing.T) {
	promoted := func(n int, timeline uint32) Answer {
		a := writer(n)
		a.Timeline = timeline
		return a
	}
	tests := []struct {
		name string
		// lose is what happens to the writer; promote to the reader, some seconds later.
		lose    func(*actor)
		promote Answer
		// lost is the longest time until there is no writer; 0: it is kept until the
		// other takes its place. found is the longest from the promotion to the new
		// writer.
		lost, found time.Duration
		reason      Reason // of the old one
	}{
		{"killed", func(a *actor) { a.err = errRefused }, promoted(2, 2), 1200 * time.Millisecond, 150 * time.Millisecond, ReasonUnreachable},
		{"black hole", func(a *actor) { a.hangs = true }, promoted(2, 2), 2600 * time.Millisecond, 150 * time.Millisecond, ReasonUnreachable},
		{"a prober that is stuck", func(a *actor) { a.stuck = true }, promoted(2, 2), 2800 * time.Millisecond, 150 * time.Millisecond, ReasonUnreachable},
		{"shutting down", func(a *actor) { a.err = &ProbeError{Down, errors.New("57P01")} }, promoted(2, 2), 1200 * time.Millisecond, 150 * time.Millisecond, ReasonConnectionFailed},
		{"read-only", func(a *actor) { a.answer.ReadOnly = true }, promoted(2, 2), 1100 * time.Millisecond, 150 * time.Millisecond, ReasonNone},
		{"another took over", func(*actor) {}, promoted(2, 2), 0, 1100 * time.Millisecond, ReasonReplication},
		{"MySQL, read-only", func(a *actor) { a.answer = Answer{Server: "a", ReadOnly: true, Replicates: true} }, Answer{Server: "b"}, 1100 * time.Millisecond, 150 * time.Millisecond, ReasonNone},
		{"MySQL, killed", func(a *actor) { a.err = errRefused }, Answer{Server: "b"}, 1200 * time.Millisecond, 150 * time.Millisecond, ReasonUnreachable},
		{"login refused", func(a *actor) { a.err = &ProbeError{Refused, errors.New("28P01")} }, promoted(2, 2), 0, 1100 * time.Millisecond, ReasonAuthFailure},
		{"too many connections", func(a *actor) { a.err = &ProbeError{Full, errors.New("53300")} }, promoted(2, 2), 0, 1100 * time.Millisecond, ReasonConnectionFailed},
		{"queries refused", func(a *actor) { a.err = &ProbeError{Unanswered, errors.New("42501")} }, promoted(2, 2), 0, 1100 * time.Millisecond, ReasonConnectionFailed},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			o, m := pair()
			s := newStage(t, o, m)
			s.run(3 * time.Second)
			tt.lose(m[one])
			if tt.lost > 0 {
				if took := s.until("", 5*time.Second); took > tt.lost {
					t.Errorf("it took %v to see that the writer is gone", took)
				}
				if s.topo.Generation != 1 {
					t.Errorf("generation %d without a writer", s.topo.Generation)
				}
				s.run(10 * time.Second)
			} else {
				s.stays(10 * time.Second)
			}
			clear(s.probes)
			s.stays(5 * time.Second)
			if s.probes[two] > 55 || s.probes[one] > 55 {
				t.Errorf("probes in 5 s: %v", s.probes)
			}
			m[two].answer = tt.promote
			if took := s.until(two, 5*time.Second); took > tt.found {
				t.Errorf("it took %v to find the new writer", took)
			}
			if s.topo.Generation != 2 {
				t.Errorf("generation %d", s.topo.Generation)
			}
			s.stays(5 * time.Second)
			if h := s.member(one).Health; h.Reason != tt.reason {
				t.Errorf("the old writer: %+v", h)
			}
			if n := s.logged("there is no writer"); (tt.lost > 0) != (n == 1) {
				t.Errorf("logged %d times that there is no writer", n)
			}
			if n := s.logged("does not answer as it should"); n > 1 {
				t.Errorf("a cause was logged %d times", n)
			}
		})
	}
}

// TestHint: a relay that has met a broken connection saves the time until the next
// probe.
func TestHint(t *testing.T) {
	o, m := pair()
	s := newStage(t, o, m)
	s.run(3100 * time.Millisecond)
	m[one].err = errRefused
	s.suspect(one)
	if took := s.until("", time.Second); took > 250*time.Millisecond {
		t.Errorf("it took %v", took)
	}
}

// TestSlowAnswers: a writer that answers within the time for a probe, or misses one, is
// no lost one.
func TestSlowAnswers(t *testing.T) {
	o, m := pair()
	s := newStage(t, o, m)
	s.run(3 * time.Second)
	m[one].delay = 400 * time.Millisecond
	s.stays(5 * time.Second)
	for range 5 {
		m[one].hangs = true
		s.run(s.c.find(one).probe.next.Sub(s.now) + time.Millisecond)
		m[one].hangs = false
		s.stays(4 * time.Second)
	}
}

// TestOverload: a writer that takes long to answer, because it has too much to do, is
// given up once at most, and stays the same.
func TestOverload(t *testing.T) {
	for _, slow := range []time.Duration{700 * time.Millisecond, 1200 * time.Millisecond, 4 * time.Second} {
		s := newStage(t, Options{Writer: one}, map[string]*actor{one: {answer: writer(1)}})
		s.run(3 * time.Second)
		s.members[one].slow = slow
		s.suspect(one)
		n := len(s.history)
		s.run(20 * time.Second)
		if lost := len(s.history) - n; lost > 2 || slow < time.Second && lost > 0 {
			t.Errorf("with answers after %v: %q", slow, s.history)
		}
		s.stays(time.Minute)
		s.members[one].slow = 0
		s.stays(20 * time.Second)
		s.members[one].err = errRefused
		if took := s.until("", 3*time.Second); took > 1200*time.Millisecond {
			t.Errorf("when it answers soon again, its end is seen after %v", took)
		}
	}
}

// TestSurvivors: of a server that was restarted it is told which connections may lead to
// its new run; one that may be on another machine has none.
func TestSurvivors(t *testing.T) {
	here, elsewhere := netip.MustParseAddr("10.0.0.1"), netip.MustParseAddr("10.0.0.9")
	later := func(a *Answer) { a.Server, a.Started = "server 1b", a.Started.Add(time.Minute) }
	tests := []struct {
		name   string
		change func(*Answer)
		spared bool
	}{
		{"PostgreSQL was restarted", later, true},
		{"MySQL was restarted", func(a *Answer) { a.Cluster, a.Started = "", a.Started.Add(time.Minute) }, true},
		{"it has moved with its disk", func(a *Answer) { later(a); a.Remote = elsewhere }, false},
		{"it was promoted", func(a *Answer) { later(a); a.Timeline++ }, false},
		{"another cluster", func(a *Answer) { later(a); a.Cluster = "other" }, false},
		{"an older run", func(a *Answer) { a.Server, a.Started = "server 0", a.Started.Add(-time.Minute) }, false},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			before := writer(1)
			before.Remote = here
			if tt.name == "MySQL was restarted" {
				before.Cluster = ""
			}
			s := newStage(t, Options{Writer: one}, map[string]*actor{one: {answer: before}})
			s.run(3500 * time.Millisecond)
			seen := s.c.find(one).probe.started
			if !s.topo.Survivors.IsZero() {
				t.Errorf("of the first run there are survivors since %v", s.topo.Survivors)
			}
			tt.change(&s.members[one].answer)
			s.run(3 * time.Second)
			if want := seen; !tt.spared && !s.topo.Survivors.IsZero() || tt.spared && !s.topo.Survivors.Equal(want) {
				t.Errorf("%+v, want survivors since %v: %v", s.topo, want, tt.spared)
			}
			if s.topo.Generation != 2 {
				t.Errorf("generation %d", s.topo.Generation)
			}
		})
	}
}

// TestRestart: a server that was restarted is the same writer in another generation,
// even if nobody saw it down. One that was only out of reach is in the same.
func TestRestart(t *testing.T) {
	tests := []struct {
		name   string
		change func(*Answer)
		grows  bool
	}{
		{"the network was gone", func(*Answer) {}, false},
		{"PostgreSQL was restarted", func(a *Answer) { a.Server, a.Started = "server 1b", a.Started.Add(time.Minute) }, true},
		{"the time of the start wavers", func(a *Answer) { a.Started = a.Started.Add(time.Second) }, false},
		{"MySQL was restarted", func(a *Answer) { a.Started = a.Started.Add(time.Minute) }, true},
		{"another timeline", func(a *Answer) { a.Timeline = 9 }, true},
		{"another server", func(a *Answer) { a.Server = "other" }, true},
		{"another cluster", func(a *Answer) { a.Cluster = "other" }, true},
		{"less is known", func(a *Answer) { *a = Answer{} }, false},
	}
	for _, tt := range tests {
		for _, seen := range []bool{true, false} {
			t.Run(fmt.Sprintf("%s, seen down %v", tt.name, seen), func(t *testing.T) {
				s := newStage(t, Options{Writer: one}, map[string]*actor{one: {answer: writer(1)}})
				s.run(3 * time.Second)
				if seen {
					s.members[one].err = errRefused
					s.until("", 3*time.Second)
					s.run(20 * time.Second)
				}
				s.members[one].err = nil
				tt.change(&s.members[one].answer)
				if seen {
					if took := s.until(one, time.Second); took > 120*time.Millisecond {
						t.Errorf("it took %v to see that it is back", took)
					}
				}
				s.run(3 * time.Second)
				want := uint64(1)
				if tt.grows {
					want = 2
				}
				if s.topo.Generation != want || s.topo.Writer != one {
					t.Errorf("writer %q in generation %d, want %d: %s", s.topo.Writer, s.topo.Generation, want, s.topo.Cause)
				}
				s.stays(10 * time.Second)
			})
		}
	}
}

// TestOldWriterComesBack: a former writer that comes back, as a reader or still as a
// writer of the past, is not written to.
func TestOldWriterComesBack(t *testing.T) {
	tests := []struct {
		name         string
		old, new     Answer // of the first and second member after the failover
		state        State
		reason       Reason
		rivalsLogged int
	}{
		{"as a reader", reader(1), func() Answer { a := writer(2); a.Timeline = 2; return a }(), StateAvailable, ReasonNone, 0},
		{"PostgreSQL, still a writer", writer(1), func() Answer { a := writer(2); a.Timeline = 2; return a }(), StateUnavailable, ReasonReplication, 1},
		{"MySQL, still a writer", Answer{Server: "a"}, Answer{Server: "b"}, StateUnavailable, ReasonReplication, 1},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			o, m := pair()
			m[one].answer, m[two].answer = tt.old, tt.new
			m[one].answer.ReadOnly, m[one].answer.Replicates = false, false
			m[two].answer.ReadOnly, m[two].answer.Replicates = true, true
			s := newStage(t, o, m)
			s.until(one, time.Second)
			m[one].err = errRefused
			s.until("", 3*time.Second)
			m[two].answer = tt.new
			s.until(two, time.Second)
			s.run(30 * time.Second)
			m[one].err, m[one].answer = nil, tt.old
			s.stays(time.Minute)
			if h := s.member(one).Health; h.State != tt.state || h.Reason != tt.reason {
				t.Errorf("the old writer: %+v", h)
			}
			if n := s.logged("not only the writer"); n != tt.rivalsLogged {
				t.Errorf("a second writer was logged %d times", n)
			}
			// It can become the writer again, in order.
			m[one].answer = reader(1)
			m[one].answer.Cluster, m[one].answer.Server, m[one].answer.Timeline = tt.old.Cluster, tt.old.Server, tt.new.Timeline
			s.run(5 * time.Second)
			m[two].answer.ReadOnly = true
			s.until("", 2*time.Second)
			m[one].answer.ReadOnly, m[one].answer.Replicates = false, false
			if m[one].answer.Timeline > 0 {
				m[one].answer.Timeline++
			}
			s.until(one, 2*time.Second)
			if s.topo.Generation != 3 {
				t.Errorf("generation %d", s.topo.Generation)
			}
		})
	}
}

// TestSplitBrain: two members accept writes.
func TestSplitBrain(t *testing.T) {
	higher := writer(2)
	higher.Timeline = 5
	replicating := Answer{Server: "b", Replicates: true}
	tests := []struct {
		name   string
		answer map[string]Answer
		writer string   // Options.Writer
		dns    Resolved // of it
		want   string
	}{
		{"the higher timeline", map[string]Answer{one: writer(1), two: higher}, "", Resolved{}, two},
		{"even against DNS", map[string]Answer{one: writer(1), two: higher}, "db.internal:5432", addresses("10.0.0.1"), two},
		{"the one that DNS names", map[string]Answer{one: {Server: "a"}, two: {Server: "b"}}, "db.internal:5432", addresses("10.0.0.2"), two},
		{"the one that the configuration names", map[string]Answer{one: {Server: "a"}, two: {Server: "b"}}, two, Resolved{}, two},
		{"not the one that replicates", map[string]Answer{one: replicating, two: {Server: "c"}}, "", Resolved{}, two},
		{"the first", map[string]Answer{one: {Server: "a"}, two: {Server: "b"}}, "", Resolved{}, one},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			m := map[string]*actor{one: {answer: tt.answer[one]}, two: {answer: tt.answer[two]}}
			o := Options{Members: []string{one, two}, Writer: tt.writer}
			s := newNamedStage(t, o, m, func() (Resolved, error) { return tt.dns, nil })
			s.run(8 * time.Second)
			if s.topo.Writer != tt.want {
				t.Fatalf("the writer is %q: %s", s.topo.Writer, s.topo.Cause)
			}
			s.stays(time.Minute)
			if n := s.logged("not only the writer"); n != 1 {
				t.Errorf("logged %d times", n)
			}
		})
	}
}

// TestTakeover: a member that accepted writes all along, and is no new writer, takes
// the place of one that is down only after a while.
func TestTakeover(t *testing.T) {
	m := map[string]*actor{one: {answer: Answer{Server: "a"}}, two: {answer: Answer{Server: "b"}}}
	s := newStage(t, Options{Members: []string{one, two}}, m)
	s.until(one, 2*time.Second)
	s.run(5 * time.Second)
	m[one].err = errRefused
	s.until("", 3*time.Second)
	if took := s.until(two, 10*time.Second); took < 3*time.Second || took > 6*time.Second {
		t.Errorf("it took %v", took)
	}
}

// TestCannotBeAsked: with wrong credentials the configured writer is the writer, as
// long as it is alive, and the last good one stays that.
func TestCannotBeAsked(t *testing.T) {
	refused := &ProbeError{Refused, errors.New("28P01")}
	s := newStage(t, Options{Writer: one}, map[string]*actor{one: {err: refused}})
	s.until(one, 2*time.Second)
	s.wantHealth(one, RoleWriter, StateUnavailable, ReasonAuthFailure)
	clear(s.probes)
	s.stays(time.Minute)
	if s.probes[one] > 10 {
		t.Errorf("%d logins in a minute: accounts get locked", s.probes[one])
	}
	s.members[one].err = nil
	s.members[one].answer = writer(1)
	s.run(15 * time.Second)
	if s.topo.Generation != 1 || s.member(one).Health.State != StateAvailable {
		t.Errorf("%+v", s.topo)
	}
	s.members[one].err = refused
	s.stays(time.Minute)
	s.members[one].err = errRefused
	s.until("", 15*time.Second)
	s.members[one].err = refused
	s.until(one, 15*time.Second)
	if s.topo.Generation != 1 {
		t.Errorf("generation %d", s.topo.Generation)
	}

	// Which of two it is nobody knows.
	o, m := pair()
	m[one].err, m[two].err = refused, refused
	s = newStage(t, o, m)
	s.stays(time.Minute)
}

// TestLag: readers that tell their position are measured by the writer's.
func TestLag(t *testing.T) {
	o, m := pair()
	s := newStage(t, o, m)
	s.run(3 * time.Second)
	if m := s.member(two); m.Lag != 0 || s.now.Sub(m.AsOf) > 1100*time.Millisecond {
		t.Errorf("lag %v of a reader that is up to date, as of %v ago", m.Lag, s.now.Sub(m.AsOf))
	}
	for range 20 {
		m[one].answer.Position += 100
		s.run(time.Second)
	}
	if lag := s.member(two).Lag; lag < 18*time.Second || lag > 21*time.Second {
		t.Errorf("lag %v after 20 s without progress", lag)
	}
	if ago := s.now.Sub(s.member(two).AsOf); ago < 20*time.Second || ago > 22*time.Second {
		t.Errorf("as of %v ago after 20 s without progress", ago)
	}
	m[two].answer.Position = m[one].answer.Position
	s.run(2 * time.Second)
	if lag := s.member(two).Lag; lag != 0 {
		t.Errorf("lag %v of a reader that has caught up", lag)
	}
	m[two].answer.Lag, m[two].answer.Position = UnknownLag, 0
	s.run(2 * time.Second)
	if lag := s.member(two).Lag; lag != UnknownLag {
		t.Errorf("lag %v of a reader that cannot tell", lag)
	}
	if at := s.member(two).AsOf; !at.IsZero() {
		t.Errorf("as of %v, which nobody can know", at)
	}
	m[two].answer.Lag = 3 * time.Second
	s.run(2 * time.Second)
	if ago := s.now.Sub(s.member(two).AsOf); ago < 4*time.Second || ago > 6*time.Second {
		t.Errorf("as of %v ago at a lag of 3 s", ago)
	}
	m[two].answer.Broken = "the SQL thread has stopped"
	s.run(2 * time.Second)
	s.wantHealth(two, RoleReader, StateUnavailable, ReasonReplication)
	for range s.topo.Readers() {
		t.Error("a reader that does not replicate is one to read from")
	}
}
