// SPDX-License-Identifier: Apache-2.0

package proxy_test

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/jackc/pgx/v5/pgproto3"

	"github.com/rdsproxy/rdsproxy/pkg/proxy"
	"github.com/rdsproxy/rdsproxy/pkg/target"
)

// TestBudgetBeforeFacts: until the database has told how many connections it
// takes there is one, the one that asks included.
func TestBudgetBeforeFacts(t *testing.T) {
	s := newScene(t, plan{max: 3})
	gate := make(chan struct{})
	s.db.onFacts(func(b *backend) { b.wait(gate) })
	const n = 20
	done := make(chan error, n)
	for range n {
		go func() {
			c, err := s.tryClient("app")
			if err == nil {
				_, err = ask(c, "x")
			}
			done <- err
		}()
	}
	eventually(t, "all wait", func() bool { return s.stats().Endpoints[0].Waiting == n })
	eventually(t, "one connection asks", func() bool { return s.db.peak() > 0 })
	if p := s.db.peak(); p != 1 {
		t.Errorf("%d connections before the limit is known", p)
	}
	if st := s.stats().Targets[0]; st.Pool.Budget != 1 || st.MaxConnections != 0 {
		t.Errorf("budget %d, max_connections %d", st.Pool.Budget, st.MaxConnections)
	}
	close(gate)
	for range n {
		if err := s.await("the clients", done); err != nil {
			t.Fatal(err)
		}
	}
	if p := s.db.peak(); p > 3 {
		t.Errorf("%d connections, the budget is 3", p)
	}
}

// TestFactsAreAskedAgain: a database that was away may have come back with other
// limits.
func TestFactsAreAskedAgain(t *testing.T) {
	s := newScene(t, plan{max: 3})
	s.must(s.client(), "x")
	s.db.stop()
	eventually(t, "the proxy knows that its connection is gone", func() bool { return s.stats().Targets[0].Pool.Idle == 0 })
	s.db.maxConnections.Store(7)
	waiter := background(func() error {
		c, err := s.tryClient("app")
		if err == nil {
			_, err = ask(c, "y")
		}
		return err
	})
	eventually(t, "a dial has failed", func() bool { return s.stats().Targets[0].Failed["unreachable"] > 0 })
	if st := s.stats().Targets[0]; st.Available || st.LastError == nil || st.MaxConnections != 3 {
		t.Errorf("available %v, error %v, max_connections %d", st.Available, st.LastError, st.MaxConnections)
	}
	s.db.start()
	if err := s.await("the client that waited", waiter); err != nil {
		t.Fatal(err)
	}
	eventually(t, "the new limits are known", func() bool {
		st := s.stats().Targets[0]
		return st.Available && st.MaxConnections == 7 && st.Pool.Budget == 7
	})
}

// TestNoCredentials: nobody waits for a password that is not there.
func TestNoCredentials(t *testing.T) {
	var missing atomic.Bool
	missing.Store(true)
	s := newScene(t, plan{target: func(o *proxy.TargetOptions) {
		had := o.Credentials.(onePassword)
		o.Credentials = onePassword(func(ctx context.Context, user string) (string, error) {
			if missing.Load() {
				return "", errors.New("the secret is not there")
			}
			return had(ctx, user)
		})
	}})
	begun := time.Now()
	_, err := s.tryClient("app")
	s.wantState(err, "28000")
	if took := time.Since(begun); took > patience/2 {
		t.Errorf("it took %v", took)
	}
	if n := s.stats().Targets[0].Failed["no_credentials"]; n == 0 {
		t.Error("not counted")
	}
	missing.Store(false)
	eventually(t, "the password is there", func() bool {
		_, err := s.tryClient("app")
		return err == nil
	})
}

// passwords notes what the proxy logs in with.
type passwords struct {
	proxy.Dialer
	mu   sync.Mutex
	used []string
}

func (d *passwords) Dial(ctx context.Context, r target.Request) (*target.Established, error) {
	d.mu.Lock()
	d.used = append(d.used, r.Password)
	d.mu.Unlock()
	return d.Dialer.Dial(ctx, r)
}

// TestRotation: connections opened from now on use the new password, and those
// that are there stay.
func TestRotation(t *testing.T) {
	d := &passwords{}
	s := newScene(t, plan{max: 2, dialer: func(real proxy.Dialer) proxy.Dialer { d.Dialer = real; return d }})
	a, b := s.client(), s.client()
	first := s.must(a, "a")
	s.exec(a, "BEGIN")
	renewed := "another"
	s.password.Store(&renewed)
	s.must(b, "b")
	s.exec(a, "COMMIT")
	s.exec(b, "BEGIN")
	if r := s.must(a, "a"); r.pid != first.pid {
		t.Error("the old connection was closed")
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	if fmt.Sprint(d.used) != "[database's another]" {
		t.Errorf("used %q", d.used)
	}
}

// TestRetire: after a change of how connections are made, idle ones are replaced
// at once and others when they are given back.
func TestRetire(t *testing.T) {
	s := newScene(t, plan{max: 3})
	a, b := s.client(), s.client()
	s.exec(a, "BEGIN")
	busy, idle := s.must(a, "a"), s.must(b, "b")
	s.group.Update(s.target, true)
	eventually(t, "the idle one is closed", func() bool { return s.db.open() == 1 })
	if r := s.must(a, "a"); r != busy {
		t.Errorf("the transaction went from %v to %v", busy, r)
	}
	s.exec(a, "COMMIT")
	eventually(t, "the busy one is closed", func() bool { return s.db.open() == 0 })
	if r := s.must(b, "b"); r.pid == idle.pid || r.pid == busy.pid {
		t.Error("an old connection is used")
	}
	if n := s.db.goodbyes.Load(); n != s.db.sessions.Load()-1 {
		t.Errorf("%d goodbyes for %d connections of which one is left", n, s.db.sessions.Load())
	}
}

// TestLimitsFollowTheOptions: the budget is changed while it is in use.
func TestLimitsFollowTheOptions(t *testing.T) {
	s := newScene(t, plan{max: 8})
	clients := s.spread(8)
	for _, c := range clients {
		s.exec(c, "BEGIN")
	}
	if n := s.db.open(); n != 8 {
		t.Fatalf("%d connections", n)
	}
	s.target.MaxConnectionsPercent = 25
	s.group.Update(s.target, false)
	for _, c := range clients {
		s.exec(c, "COMMIT")
	}
	eventually(t, "surplus connections are closed", func() bool { return s.db.open() <= 2 })
	if b := s.stats().Targets[0].Pool.Budget; b != 2 {
		t.Errorf("budget %d", b)
	}
	s.target.MaxConnections = 4
	s.target.MaxConnectionsPercent = 100
	s.group.Update(s.target, false)
	if b := s.stats().Targets[0].Pool.Budget; b != 4 {
		t.Errorf("budget %d", b)
	}
}

// TestNoWaiting: with a borrow timeout of zero, who finds no idle connection is
// refused, and has better luck later.
func TestNoWaiting(t *testing.T) {
	s := newScene(t, plan{max: 2})
	a := s.client()
	s.must(a, "a")
	s.exec(a, "BEGIN")
	s.target.BorrowTimeout = 0
	s.group.Update(s.target, false)
	b := s.client()
	_, err := ask(b, "b")
	s.wantState(err, "53300")
	eventually(t, "one more connection is there", func() bool { _, err := ask(b, "b"); return err == nil })
}

// TestManyDatabases: what a client names and nobody has is not remembered.
func TestManyDatabases(t *testing.T) {
	s := newScene(t, plan{max: 2})
	s.must(s.client(), "x")
	s.db.on(func(b *backend, at stage, _ string) reaction {
		if at == atStartup && strings.HasPrefix(b.started["database"], "none") {
			b.send(&pgproto3.ErrorResponse{
				Severity: "FATAL", Code: "3D000", Message: fmt.Sprintf("database %q does not exist", b.started["database"]),
			})
			b.flush()
			return hangUp
		}
		return goOn
	})
	for i := range 50 {
		_, err := s.tryClient(fmt.Sprintf("none%d", i))
		s.wantState(err, "3D000")
	}
	eventually(t, "they are forgotten", func() bool {
		runtime.GC()
		return s.group.SharedSets() == 1 && len(s.stats().Targets[0].Pool.Pools) == 1
	})
}

// TestInitQueryIsKept: the connections of a target group with an init query are
// thrown away when what it set is gone, also if it was configured later.
func TestInitQueryIsKept(t *testing.T) {
	s := newScene(t, plan{max: 1})
	c := s.client()
	first := s.must(c, "x")
	s.exec(c, "DISCARD ALL")
	if r := s.must(c, "x"); r.pid != first.pid {
		t.Error("a connection without init query was thrown away")
	}
	s.target.InitQuery = true
	s.group.Update(s.target, true)
	second := s.must(c, "x")
	s.exec(c, "DISCARD ALL")
	if r := s.must(c, "x"); r.pid == second.pid {
		t.Error("a connection whose init query is undone is used again")
	}
}

// TestBorrowTimeoutIsReloaded also for clients that are there.
func TestBorrowTimeoutIsReloaded(t *testing.T) {
	s := newScene(t, plan{max: 1})
	holder, waiter := s.client(), s.client()
	s.exec(holder, "BEGIN")
	s.target.BorrowTimeout = 30 * time.Millisecond
	s.group.Update(s.target, false)
	_, err := ask(waiter, "x")
	s.wantState(err, "53300")
	s.exec(holder, "COMMIT")
	s.must(waiter, "x")
}
