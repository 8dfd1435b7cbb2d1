// SPDX-License-Identifier: Apache-2.0

package proxy_test

import (
	"context"
	"fmt"
	"net"
	"testing"
	"time"

	"github.com/jackc/pgx/v5/pgproto3"

	"github.com/rdsproxy/rdsproxy/pkg/proxy"
	"github.com/rdsproxy/rdsproxy/pkg/target"
)

// within fails the test if f takes too long.
func within(tb testing.TB, limit time.Duration, what string, f func()) {
	tb.Helper()
	begun := time.Now()
	done := background(func() error { f(); return nil })
	select {
	case <-done:
	case <-time.After(patience):
		tb.Fatalf("%s does not end", what)
	}
	if took := time.Since(begun); took > limit {
		tb.Errorf("%s took %v", what, took)
	}
}

// TestClose: whatever is going on, everybody is told, the database gets a goodbye
// on each connection, and Close returns.
func TestClose(t *testing.T) {
	s := newScene(t, plan{max: 4, loops: 2})
	clients := s.spread(5)
	s.must(clients[0], "idle")
	s.exec(clients[1], "BEGIN")
	raw := make([]*rawClient, len(clients))
	for i, c := range clients {
		raw[i] = s.raw(c)
	}
	raw[2].send(&pgproto3.Query{String: endless})
	raw[3].send(&pgproto3.Query{String: "BEGIN"})
	raw[3].until('Z')
	raw[3].send(&pgproto3.Query{String: "SET x = 1"})
	raw[3].until('Z')
	s.running(1)
	silent, err := s.dial()
	if err != nil {
		t.Fatal(err)
	}
	defer silent.Close()
	eventually(t, "a login is under way", func() bool { return s.stats().Endpoints[0].Unauthenticated == 1 })
	within(t, patience/2, "Close", s.proxy.Close)
	for i, c := range raw {
		if e := c.ends(); e == nil || e.Code != "57P01" {
			t.Errorf("client %d: last words %+v", i, e)
		}
	}
	eventually(t, "no connection is left", func() bool { return s.db.open() == 0 })
	if sessions, goodbyes := s.db.sessions.Load(), s.db.goodbyes.Load(); sessions != goodbyes {
		t.Errorf("%d goodbyes on %d connections", goodbyes, sessions)
	}
	if n := s.db.cancels.Load(); n != 1 {
		t.Errorf("%d queries cancelled", n)
	}
	if _, err := s.tryClient("app"); err == nil {
		t.Error("a client got in afterwards")
	}
	s.proxy.Close() // again
}

// TestCloseWithStubbornDatabase: it does not say goodbye, nor read ours.
func TestCloseWithStubbornDatabase(t *testing.T) {
	s := newScene(t, plan{max: 2})
	s.db.on(func(b *backend, at stage, sql string) reaction {
		if at == atTerminate || sql == "SELECT 'deaf'" {
			<-b.dead
		}
		return goOn
	})
	idle, busy := s.client(), s.client()
	s.must(idle, "x")
	go func() { _, _ = ask(busy, "deaf") }()
	eventually(t, "it runs", func() bool { return s.stats().Targets[0].Pool.Borrowed == 1 })
	within(t, 10*time.Second, "Close", s.proxy.Close)
}

// TestCloseWhileDialling: the database is slow to let the proxy in.
func TestCloseWhileDialling(t *testing.T) {
	for _, at := range []stage{atAccept, atStartup, atReady} {
		t.Run(fmt.Sprint(at), func(t *testing.T) {
			s := newScene(t, plan{max: 2})
			s.db.on(func(b *backend, now stage, _ string) reaction {
				if now == at {
					<-b.dead
					return hangUp
				}
				return goOn
			})
			waiter := background(func() error { _, err := s.tryClient("app"); return err })
			eventually(t, "it dials", func() bool { return s.stats().Targets[0].Pool.Dialing == 1 && s.db.accepted.Load() > 0 })
			within(t, 10*time.Second, "Close", s.proxy.Close)
			s.wantState(s.await("the client", waiter), "57P01")
		})
	}
}

// late hands over a connection only when it is too late.
type late struct {
	proxy.Dialer
	gate   chan struct{}
	dialed chan struct{}
}

func (d *late) Dial(_ context.Context, r target.Request) (*target.Established, error) {
	est, err := d.Dialer.Dial(context.Background(), r) // its time is not over yet
	close(d.dialed)
	<-d.gate
	return est, err
}

// TestConnectionComesTooLate: one that is logged in after the shutdown has begun
// gets a goodbye all the same.
func TestConnectionComesTooLate(t *testing.T) {
	d := &late{gate: make(chan struct{}), dialed: make(chan struct{})}
	s := newScene(t, plan{max: 2, dialer: func(real proxy.Dialer) proxy.Dialer { d.Dialer = real; return d }})
	waiter := background(func() error { _, err := s.tryClient("app"); return err })
	<-d.dialed
	closed := background(func() error { s.proxy.Close(); return nil })
	s.wantState(s.await("the client", waiter), "57P01")
	eventually(t, "the loops have ended", func() bool { return s.stats().Draining && !s.proxy.Running() })
	close(d.gate)
	s.await("Close", closed)
	eventually(t, "the database is rid of it", func() bool { return s.db.open() == 0 })
	if sessions, goodbyes := s.db.sessions.Load(), s.db.goodbyes.Load(); sessions != goodbyes {
		t.Errorf("%d goodbyes on %d connections", goodbyes, sessions)
	}
}

func TestDrain(t *testing.T) {
	s := newScene(t, plan{max: 2})
	idle, inside, waiting := s.raw(s.client()), s.client(), s.client()
	other := s.client()
	s.exec(inside, "BEGIN")
	s.exec(other, "BEGIN")
	asked := background(func() error { _, err := ask(waiting, "waiting"); return err })
	eventually(t, "one waits", func() bool { return s.stats().Endpoints[0].Waiting == 1 })
	silent, err := s.dial()
	if err != nil {
		t.Fatal(err)
	}
	defer silent.Close()
	halfway, err := s.dial()
	if err != nil {
		t.Fatal(err)
	}
	defer halfway.Close()
	startup, _ := (&pgproto3.StartupMessage{
		ProtocolVersion: pgproto3.ProtocolVersion30, Parameters: map[string]string{"user": "app"},
	}).Encode(nil)
	if _, err := halfway.Write(startup); err != nil {
		t.Fatal(err)
	}
	front := pgproto3.NewFrontend(halfway, halfway)
	if m, err := front.Receive(); err != nil {
		t.Fatalf("%v %v", m, err)
	}

	drained := background(func() error { s.proxy.Drain(context.Background()); return nil })
	if e := idle.ends(); e == nil || e.Code != "57P01" {
		t.Errorf("idle client: %+v", e)
	}
	m, err := front.Receive()
	if e, ok := m.(*pgproto3.ErrorResponse); err != nil || !ok || e.Code != "57P01" {
		t.Errorf("client that was logging in: %+v, %v", m, err)
	}
	if _, err := silent.Read(make([]byte, 1)); err == nil {
		t.Error("a connection that says nothing was told something")
	}
	if nc, err := net.Dial("tcp", s.endpoint.Addr().String()); err == nil {
		nc.Close()
		t.Error("a new client was accepted")
	}
	s.must(inside, "still inside")
	s.exec(inside, "COMMIT")
	if err := s.await("the client that waited", asked); err != nil {
		t.Error(err)
	}
	select {
	case <-drained:
		t.Error("drained although a transaction is open")
	default:
	}
	s.exec(other, "COMMIT")
	hangUpNow(inside)
	hangUpNow(waiting)
	hangUpNow(other)
	_ = s.await("the drain", drained)
	if n := s.stats().Endpoints[0].Closed["drain"]; n != 4 {
		t.Errorf("%d clients closed by the drain: %v", n, s.stats().Endpoints[0].Closed)
	}
}

// TestDrainDeadline: who is still busy then is cut off, and told so.
func TestDrainDeadline(t *testing.T) {
	s := newScene(t, plan{max: 2})
	inside, running := s.raw(s.client()), s.raw(s.client())
	inside.send(&pgproto3.Query{String: "BEGIN"})
	inside.until('Z')
	running.send(&pgproto3.Query{String: endless})
	s.running(1)
	ctx, stop := context.WithCancel(context.Background())
	drained := background(func() error { s.proxy.Drain(ctx); return nil })
	eventually(t, "it drains", func() bool { return s.stats().Draining })
	stop()
	for _, c := range []*rawClient{inside, running} {
		if e := c.ends(); e == nil || e.Code != "57P01" {
			t.Errorf("last words %+v", e)
		}
	}
	_ = s.await("the drain", drained)
	within(t, 10*time.Second, "Close", s.proxy.Close)
	eventually(t, "no connection is left", func() bool { return s.db.open() == 0 })
	if sessions, goodbyes := s.db.sessions.Load(), s.db.goodbyes.Load(); sessions != goodbyes {
		t.Errorf("%d goodbyes on %d connections", goodbyes, sessions)
	}
}

// TestDrainOfDeafClient: one that does not read its last words delays the end by
// a bounded time.
func TestDrainOfDeafClient(t *testing.T) {
	s := newScene(t, plan{max: 1})
	deaf := s.raw(s.client())
	deaf.send(&pgproto3.Query{String: bigResult})
	eventually(t, "it is served", func() bool { return s.stats().Targets[0].Pool.Borrowed == 1 })
	ctx, stop := context.WithCancel(context.Background())
	stop()
	within(t, patience/2, "Drain", func() { s.proxy.Drain(ctx) })
	within(t, patience/2, "Close", s.proxy.Close)
}
