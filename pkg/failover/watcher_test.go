// SPDX-License-Identifier: Apache-2.0

package failover_test

import (
	"context"
	"errors"
	"net/netip"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"
	"go.uber.org/zap/zaptest/observer"

	"github.com/rdsproxy/rdsproxy/pkg/failover"
)

const (
	one = "10.0.0.1:5432"
	two = "10.0.0.2:5432"
)

// server is a member, and all probers of it.
type server struct {
	mu     sync.Mutex
	answer failover.Answer
	err    error
	hangs  bool          // until the context ends
	deaf   time.Duration // the context is not listened to
	panics bool

	inside, opened, closed, asked atomic.Int64
	overlap                       atomic.Bool
}

func (s *server) set(f func(*server)) {
	s.mu.Lock()
	defer s.mu.Unlock()
	f(s)
}

func (s *server) Probe(ctx context.Context) (failover.Answer, error) {
	s.asked.Add(1)
	if s.inside.Add(1) > 1 {
		s.overlap.Store(true)
	}
	defer s.inside.Add(-1)
	s.mu.Lock()
	answer, err, hangs, deaf, panics := s.answer, s.err, s.hangs, s.deaf, s.panics
	s.mu.Unlock()
	switch {
	case panics:
		panic("test")
	case deaf > 0:
		time.Sleep(deaf) //nolint:forbidigo // virtual time; the context is what it does not heed
	case hangs:
		<-ctx.Done()
		return answer, ctx.Err()
	}
	return answer, err
}

func (s *server) Close() { s.closed.Add(1) }

// site is a watcher and its members.
type site struct {
	t       *testing.T
	members map[string]*server
	watcher *failover.Watcher
	logs    *observer.ObservedLogs
	changes atomic.Int64
}

func watch(t *testing.T, o failover.Options) *site {
	t.Helper()
	core, logs := observer.New(zapcore.DebugLevel)
	s := &site{t: t, logs: logs, members: map[string]*server{
		one: {answer: failover.Answer{Server: "a"}},
		two: {answer: failover.Answer{Server: "b", ReadOnly: true, Replicates: true}},
	}}
	o.Log = zap.New(core)
	o.NewProber = func(m failover.Member) failover.Prober {
		p := s.members[m.Address]
		p.opened.Add(1)
		return p
	}
	o.OnChange = func(before, now *failover.Topology) {
		if before == now {
			t.Error("told of no change")
		}
		s.changes.Add(1)
	}
	var err error
	if s.watcher, err = failover.New(o); err != nil {
		t.Fatal(err)
	}
	return s
}

// end closes the watcher. Goroutines that are left fail the test by themselves.
func (s *site) end() {
	s.t.Helper()
	s.watcher.Close()
	s.watcher.Close() // harmless
	for a, m := range s.members {
		if m.opened.Load() != m.closed.Load() {
			s.t.Errorf("%s: %d probers, %d closed", a, m.opened.Load(), m.closed.Load())
		}
		if m.overlap.Load() {
			s.t.Errorf("%s was asked twice at once", a)
		}
	}
}

// run lets time pass, virtually.
func run(d time.Duration) {
	time.Sleep(d) //nolint:forbidigo // virtual time
	synctest.Wait()
}

func (s *site) want(writer string, generation uint64) {
	s.t.Helper()
	if topo := s.watcher.Topology(); topo.Writer != writer || topo.Generation != generation {
		s.t.Errorf("the writer is %q in generation %d, want %q in %d: %+v", topo.Writer, topo.Generation, writer, generation, topo)
	}
}

func TestWatcher(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := watch(t, failover.Options{Members: []string{one, two}})
		defer s.end()
		if s.watcher.Topology() == nil {
			t.Error("no topology at the start")
		}
		changed, cancel := s.watcher.Subscribe()
		early := s.watcher.Topology().Writer == one // it may be quicker than the subscriber
		run(10 * time.Millisecond)
		s.want(one, 1)
		if s.changes.Load() == 0 {
			t.Error("not told of the writer")
		}
		select {
		case <-changed:
		default:
			if !early {
				t.Error("the subscriber has heard nothing")
			}
		}
		run(5 * time.Second)
		for len(changed) > 0 {
			<-changed
		}
		before := s.changes.Load()
		run(10 * time.Second)
		if n := s.changes.Load() - before; n > 0 || len(changed) > 0 {
			t.Errorf("%d changes while nothing happens", n)
		}

		run(100 * time.Millisecond) // away from the second of a probe
		s.members[one].set(func(m *server) { m.err = errors.New("reset") })
		s.watcher.Suspect(one, "test")
		run(250 * time.Millisecond)
		s.want("", 1)
		s.members[two].set(func(m *server) { m.answer = failover.Answer{Server: "b"} })
		run(150 * time.Millisecond)
		s.want(two, 2)
		if len(changed) != 1 {
			t.Error("the subscriber has heard nothing")
		}
		<-changed
		cancel()
		s.members[two].set(func(m *server) { m.answer.ReadOnly = true })
		run(2 * time.Second)
		s.want("", 2)
		if len(changed) != 0 {
			t.Error("a subscriber that has left hears on")
		}
	})
}

// TestWatcherBadMembers: a member that hangs, that ignores the end of its time, or whose
// prober panics costs the others nothing.
func TestWatcherBadMembers(t *testing.T) {
	for name, bad := range map[string]func(*server){
		"hangs":  func(m *server) { m.hangs = true },
		"deaf":   func(m *server) { m.deaf = 20 * time.Second },
		"panics": func(m *server) { m.panics = true },
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := watch(t, failover.Options{Members: []string{one, two}})
				defer s.end()
				run(3 * time.Second)
				s.members[two].set(bad)
				asked := s.members[one].asked.Load()
				run(10 * time.Second)
				s.want(one, 1)
				if n := s.members[one].asked.Load() - asked; n < 10 || n > 30 {
					t.Errorf("the other was asked %d times in 10 s", n)
				}
				if m, _ := s.watcher.Topology().Member(two); m.Health.State != failover.StateUnavailable {
					t.Errorf("%+v", m)
				}
				s.members[two].set(func(m *server) { m.hangs, m.deaf, m.panics = false, 0, false })
				run(25 * time.Second)
				if m, _ := s.watcher.Topology().Member(two); m.Health.State != failover.StateAvailable {
					t.Errorf("%+v", m)
				}
				if n := s.logs.FilterMessageSnippet("does not answer as it should").Len(); n != 1 {
					t.Errorf("the cause was logged %d times", n)
				}
			})
		})
	}
}

// TestWatcherHurries: a probe that runs when doubt begins has only the time of doubt
// left.
func TestWatcherHurries(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := watch(t, failover.Options{Members: []string{one, two}})
		defer s.end()
		run(5*time.Second + 100*time.Millisecond)
		s.members[one].set(func(m *server) { m.hangs = true })
		run(time.Second) // one is being asked now, or has just been
		asked := s.members[one].asked.Load()
		s.watcher.Suspect(one, "test")
		run(700 * time.Millisecond)
		if s.members[one].asked.Load() == asked {
			t.Error("the probe was not cut short")
		}
		run(600 * time.Millisecond)
		s.want("", 1)
	})
}

// names is a resolver.
type names struct {
	mu    sync.Mutex
	found failover.Resolved
	err   error
	hangs bool
}

func (n *names) Resolve(ctx context.Context, _ string) (failover.Resolved, error) {
	n.mu.Lock()
	found, err, hangs := n.found, n.err, n.hangs
	n.mu.Unlock()
	if hangs {
		<-ctx.Done()
		return failover.Resolved{}, ctx.Err()
	}
	return found, err
}

// TestWatcherDNS: members come and go with the name, and their probers with them.
func TestWatcherDNS(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := &names{found: failover.Resolved{Addresses: []netip.Addr{netip.MustParseAddr("10.0.0.1")}}}
		s := watch(t, failover.Options{Writer: "db.internal:5432", Discovery: failover.DNS, Resolver: n})
		defer s.end()
		run(time.Second)
		s.want(one, 1)
		n.mu.Lock()
		n.hangs = true
		n.mu.Unlock()
		run(20 * time.Second)
		s.want(one, 1)
		n.mu.Lock()
		n.hangs, n.found.Addresses[0] = false, netip.MustParseAddr("10.0.0.2")
		n.mu.Unlock()
		s.members[one].set(func(m *server) { m.err = errors.New("gone") })
		s.members[two].set(func(m *server) { m.answer = failover.Answer{Server: "b"} })
		run(8 * time.Second)
		s.want(two, 2)
		run(2 * time.Minute)
		if opened, closed := s.members[one].opened.Load(), s.members[one].closed.Load(); opened != 1 || closed != 1 {
			t.Errorf("%d probers of the old writer, %d closed", opened, closed)
		}
	})
}

// TestWatcherFlood: hints in any number return at once, and do not make more probes.
func TestWatcherFlood(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := watch(t, failover.Options{Members: []string{one, two}})
		defer s.end()
		run(3 * time.Second)
		asked := s.members[one].asked.Load()
		for range 100 {
			for range 1000 {
				s.watcher.Suspect(one, "test")
			}
			run(10 * time.Millisecond)
		}
		if n := s.members[one].asked.Load() - asked; n > 12 {
			t.Errorf("asked %d times in a second", n)
		}
	})
}
