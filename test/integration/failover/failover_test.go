// SPDX-License-Identifier: Apache-2.0

package failover

import (
	"context"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/rdsproxy/rdsproxy/test/history"
	"github.com/rdsproxy/rdsproxy/test/replicas"
	"github.com/rdsproxy/rdsproxy/test/writers"
)

// scenario is a way in which the writer changes.
type scenario struct {
	name string
	// fail takes the writer away and promotes the other member. The former writer is a
	// reader again when back has been called, if there is one.
	fail func(ctx context.Context, c *replicas.Cluster, to *replicas.Member) error
	back bool
	// thaws: the former writer wakes before that, and still takes itself for the writer.
	thaws bool
}

var scenarios = []scenario{
	{"kill", after(func(m *replicas.Member) error { m.Kill(); return nil }), true, false},
	{"freeze", after(func(m *replicas.Member) error { m.Freeze(); return nil }), true, true},
	{"stop", after(func(m *replicas.Member) error { return m.Stop() }), true, false},
	{"switchover", func(ctx context.Context, c *replicas.Cluster, to *replicas.Member) error {
		return c.Switchover(ctx, to)
	}, false, false},
}

// after promotes after the writer was taken away.
func after(lose func(*replicas.Member) error) func(context.Context, *replicas.Cluster, *replicas.Member) error {
	return func(ctx context.Context, c *replicas.Cluster, to *replicas.Member) error {
		if err := lose(c.Writer()); err != nil {
			return err
		}
		return c.Promote(ctx, to)
	}
}

// standard is the scenario of each engine that is played unless all are asked for.
var standard = map[replicas.Engine]string{replicas.PostgreSQL: "kill", replicas.MariaDB: "freeze", replicas.MySQL: "switchover"}

// TestFailover plays the scenarios. RDSPROXY_TEST_FAILOVER=all plays all of them on
// all engines, with the clients that RDSPROXY_TEST_FAILOVER_WRITERS and
// RDSPROXY_TEST_FAILOVER_IDLE say.
func TestFailover(t *testing.T) {
	all := os.Getenv("RDSPROXY_TEST_FAILOVER") == "all"
	crowd, idle := 40, 60
	if all {
		crowd, idle = 200, 1000
	}
	crowd, idle = number(t, "RDSPROXY_TEST_FAILOVER_WRITERS", crowd), number(t, "RDSPROXY_TEST_FAILOVER_IDLE", idle)
	for _, e := range replicas.Engines() {
		t.Run(string(e), func(t *testing.T) {
			s := newStack(t, e)
			for _, sc := range scenarios {
				if all || standard[e] == sc.name {
					t.Run(sc.name, func(t *testing.T) { s.play(t, sc, crowd, idle) })
				}
			}
		})
	}
}

// pace is the time from one operation to the next, of all clients together: a reader
// that is made anew has to be faster than that.
const pace = 2 * time.Millisecond

// wakeful is how long a former writer is awake before it is made a reader: long enough
// to be asked, and to be taken for a rival.
const wakeful = 3 * time.Second

// recovery is how long clients may take to be served again; measured is much less.
const recovery = 60 * time.Second

// play has a crowd write while the writer changes.
func (s *stack) play(t *testing.T, sc scenario, crowd, idle int) {
	t.Helper()
	ctx := t.Context()
	lap := stopwatch(t)
	dial, judge := s.dial()
	sleepers, err := writers.Park(ctx, idle, dial)
	if err != nil {
		t.Fatal(err)
	}
	defer sleepers.HangUp()
	run, err := writers.Start(ctx, writers.Load{Clients: crowd, Think: time.Duration(crowd) * pace, Dial: dial, Judge: judge, First: s.writers})
	if err != nil {
		t.Fatal(err)
	}
	s.writers += crowd
	stopped := false
	stop := func() (r writers.Result) {
		if !stopped {
			stopped = true
			r = run.Stop(recovery)
			s.operations = append(s.operations, r.Operations...)
		}
		return r
	}
	defer stop()
	began := time.Now()
	lap("logins")
	eventually(t, "each client has written", recovery, func() bool { return run.Silent(began) == 0 })
	lap("writing")

	former, to := s.cluster.Writer(), s.cluster.Readers()[0]
	failed := time.Now()
	if err := sc.fail(ctx, s.cluster, to); err != nil {
		t.Fatal(err)
	}
	lap("failure and promotion")
	promoted := s.cluster.Promoted
	eventually(t, "each client writes again", recovery, func() bool { return run.Silent(promoted) == 0 })
	lap("recovery")
	if sc.thaws {
		former.Thaw()
		for woken := time.Now(); time.Since(woken) < wakeful; {
			since := time.Now()
			eventually(t, "each client writes on beside a former writer that accepts writes", recovery, func() bool { return run.Silent(since) == 0 })
		}
		lap("two that accept writes")
	}
	if sc.back {
		if err := s.cluster.Rejoin(ctx, former); err != nil {
			t.Fatal(err)
		}
	}
	lap("the former writer comes back")
	back := time.Now()
	eventually(t, "each client writes on with the former writer as a reader", recovery, func() bool { return run.Silent(back) == 0 })
	lap("writing on")
	r := stop()
	lap("end")

	outages := r.Outages(promoted)
	t.Logf("promoted %s after the failure; first write %s after the promotion; clients could not write for %s (median), %s (longest)",
		promoted.Sub(failed).Round(time.Millisecond), r.FirstAfter(promoted).Round(time.Millisecond),
		writers.Median(outages).Round(time.Millisecond), outages[len(outages)-1].Round(time.Millisecond))
	t.Log(history.Count(r.Operations))
	s.judge(ctx, t, r, sleepers.Wake(ctx))
}

// stopwatch gives a function that logs how long has passed since it was called last.
func stopwatch(t *testing.T) func(what string) {
	t.Helper()
	last := time.Now()
	return func(what string) {
		t.Helper()
		now := time.Now()
		t.Logf("%s: %s", what, now.Sub(last).Round(time.Millisecond))
		last = now
	}
}

// judge checks what clients were told.
func (s *stack) judge(ctx context.Context, t *testing.T, r writers.Result, idle error) {
	t.Helper()
	for _, err := range r.Closed {
		t.Errorf("a client has lost its connection: %v", err)
	}
	if idle != nil {
		t.Errorf("an idle client got an error: %v", idle)
	}
	table, err := s.table(ctx, s.cluster.Writer())
	if err != nil {
		t.Fatal(err)
	}
	for _, op := range r.Operations {
		if strings.Contains(op.Detail, "1290") {
			t.Errorf("a client was told that the former writer is read-only: %+v", op)
		}
	}
	violations := history.Check(s.operations, table)
	for i, v := range violations {
		if i == 20 {
			t.Errorf("and %d more", len(violations)-i)
			break
		}
		t.Error(v)
	}
}
