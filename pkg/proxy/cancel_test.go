// SPDX-License-Identifier: Apache-2.0

package proxy_test

import (
	"context"
	"errors"
	"sync/atomic"
	"testing"

	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgproto3"

	"github.com/rdsproxy/rdsproxy/pkg/proxy"
)

const endless = "SELECT 'do:wait'"

// canceller sends cancel requests with a client's key.
func (s *scene) canceller(c *pgconn.PgConn) func() {
	pid, secret := c.PID(), c.SecretKey()
	return func() {
		s.tb.Helper()
		if err := s.cancel(pid, secret); err != nil {
			s.tb.Error(err)
		}
	}
}

// cancel sends a cancel request and waits for its end.
func (s *scene) cancel(pid uint32, secret []byte) error {
	nc, err := s.dial()
	if err != nil {
		return err
	}
	defer nc.Close()
	buf, err := (&pgproto3.CancelRequest{ProcessID: pid, SecretKey: secret}).Encode(nil)
	if err != nil {
		return err
	}
	if _, err := nc.Write(buf); err != nil {
		return err
	}
	_, _ = nc.Read(make([]byte, 1)) // it ends in one way or another
	return nil
}

func TestCancel(t *testing.T) {
	s := newScene(t, plan{max: 2})
	victim, other := s.client(), s.client()
	cancel := s.canceller(victim)
	s.exec(other, "BEGIN")
	s.must(other, "other")
	running := background(func() error { _, err := query(victim, endless); return err })
	s.running(1)
	cancel()
	s.wantState(s.await("the query ends", running), "57014")
	s.must(victim, "after")
	s.must(other, "untouched")
	if n := s.db.cancels.Load(); n != 1 {
		t.Errorf("%d cancel requests reached the database", n)
	}
	st := s.stats().Endpoints[0]
	if st.CancelsDelivered != 1 || st.CancelsUnknown != 0 {
		t.Errorf("counted %d, unknown %d", st.CancelsDelivered, st.CancelsUnknown)
	}
}

// running waits until n queries are with the database for longer.
func (s *scene) running(n int) {
	s.tb.Helper()
	eventually(s.tb, "the query runs", func() bool { return s.db.waiting() == n })
}

// TestCancelHoldsTheConnection: until the server has closed the socket of a cancel
// request it may act on it, so nobody else gets the connection.
func TestCancelHoldsTheConnection(t *testing.T) {
	s := newScene(t, plan{max: 1})
	gate := make(chan struct{})
	s.db.on(func(b *backend, at stage, _ string) reaction {
		if at == atCancel {
			b.wait(gate)
		}
		return goOn
	})
	victim, next := s.client(), s.client()
	first := s.must(victim, "victim")
	cancel := s.canceller(victim)
	running := background(func() error { _, err := query(victim, endless); return err })
	s.running(1)
	sent := background(func() error { cancel(); return nil })
	s.wantState(s.await("the query ends", running), "57014")
	got := make(chan row, 1)
	asked := background(func() error { r, err := ask(next, "next"); got <- r; return err })
	eventually(t, "the other one waits", func() bool { return s.stats().Targets[0].Pool.Waiting == 1 })
	// The same client may go on; that is its own risk, as with PostgreSQL.
	s.must(victim, "victim again")
	if p := s.stats().Targets[0].Pool; p.Waiting != 1 || p.Borrowed != 1 {
		t.Errorf("waiting %d, borrowed %d", p.Waiting, p.Borrowed)
	}
	select {
	case err := <-sent:
		t.Error("the sender was told that the request has had its effect", err)
	default:
	}
	close(gate)
	_ = s.await("the request ends", sent)
	if err := s.await("the other client", asked); err != nil {
		t.Fatal(err)
	}
	if r := <-got; r.mark != "next" || r.pid != first.pid {
		t.Errorf("got %v, want the connection %s", r, first.pid)
	}
}

// doubtful delivers cancel requests and says that it does not know.
type doubtful struct {
	proxy.Dialer
	asked atomic.Int64
	gate  chan struct{}
}

func (d *doubtful) Cancel(ctx context.Context, pid uint32, secret []byte) error {
	d.asked.Add(1)
	err := d.Dialer.Cancel(ctx, pid, secret)
	select {
	case <-d.gate:
	case <-ctx.Done():
	}
	return errors.Join(err, errors.New("the socket broke"))
}

// TestCancelInDoubt: a connection that a cancel request may still hit is closed
// after its client.
func TestCancelInDoubt(t *testing.T) {
	d := &doubtful{gate: make(chan struct{})}
	close(d.gate)
	s := newScene(t, plan{max: 1, dialer: func(real proxy.Dialer) proxy.Dialer { d.Dialer = real; return d }})
	victim, next := s.client(), s.client()
	first := s.must(victim, "victim")
	cancel := s.canceller(victim)
	running := background(func() error { _, err := query(victim, endless); return err })
	s.running(1)
	cancel()
	s.wantState(s.await("the query ends", running), "57014")
	if r := s.must(next, "next"); r.pid == first.pid {
		t.Error("another client got the connection")
	}
	s.must(victim, "victim")
}

// TestCancelFlood: a client cannot make the proxy open any number of sockets.
func TestCancelFlood(t *testing.T) {
	d := &doubtful{gate: make(chan struct{})}
	s := newScene(t, plan{max: 1, dialer: func(real proxy.Dialer) proxy.Dialer { d.Dialer = real; return d }})
	victim := s.client()
	cancel := s.canceller(victim)
	s.db.on(func(b *backend, at stage, sql string) reaction {
		if at == atQuery && sql == "SELECT 'stubborn'" {
			b.wait(d.gate)
		}
		return goOn
	})
	running := background(func() error { _, err := ask(victim, "stubborn"); return err })
	eventually(t, "it runs", func() bool { return s.stats().Targets[0].Pool.Borrowed == 1 })
	const flood = 50
	done := make(chan error, flood)
	for range flood {
		go func() { cancel(); done <- nil }()
	}
	for range flood - 3 { // the others wait for the database
		_ = s.await("the flood", done)
	}
	eventually(t, "three are under way", func() bool { return d.asked.Load() >= 3 })
	close(d.gate)
	if err := s.await("the query", running); err != nil {
		t.Fatal(err)
	}
	if n := d.asked.Load(); n != 3 {
		t.Errorf("%d cancel requests were under way", n)
	}
}

// TestCancelOfWaiter takes the client out of the queue; the database is not asked.
func TestCancelOfWaiter(t *testing.T) {
	s := newScene(t, plan{max: 1})
	holder, waiter := s.client(), s.client()
	cancel := s.canceller(waiter)
	s.exec(holder, "BEGIN")
	asked := background(func() error { _, err := ask(waiter, "x"); return err })
	eventually(t, "it waits", func() bool { return s.stats().Targets[0].Pool.Waiting == 1 })
	cancel()
	s.wantState(s.await("the wait ends", asked), "57014")
	s.exec(holder, "COMMIT")
	s.must(waiter, "later")
	if n := s.db.cancels.Load(); n != 0 {
		t.Errorf("%d cancel requests reached the database", n)
	}
}

// TestCancelOfNothing: requests for a session that is idle, that has ended, or
// with a wrong key.
func TestCancelOfNothing(t *testing.T) {
	s := newScene(t, plan{max: 1})
	gone, idle := s.client(), s.client()
	s.must(gone, "gone")
	cancelGone, cancelIdle := s.canceller(gone), s.canceller(idle)
	hangUpNow(gone)
	eventually(t, "it has gone", func() bool { return s.clients() == 1 })
	running := background(func() error { _, err := query(idle, endless); return err })
	s.running(1)
	cancelGone()
	for _, secret := range [][]byte{{1, 2, 3, 4}, append([]byte(nil), append(idle.SecretKey(), 0)...)} {
		if err := s.cancel(idle.PID(), secret); err != nil {
			t.Fatal(err)
		}
	}
	s.stats()
	select {
	case err := <-running:
		t.Fatalf("cancelled by a wrong key: %v", err)
	default:
	}
	cancelIdle()
	s.wantState(s.await("the query", running), "57014")
	cancelIdle()
	s.must(idle, "not hit by the late one")
	if st := s.stats().Endpoints[0]; st.CancelsUnknown != 3 || st.CancelsDelivered != 2 {
		t.Errorf("counted %d, unknown %d", st.CancelsDelivered, st.CancelsUnknown)
	}
	if n := s.db.cancels.Load(); n != 1 {
		t.Errorf("%d cancel requests reached the database", n)
	}
}

// TestClientGoneIsCancelled: what a client had running is cancelled when it goes,
// and the next one gets the connection only after that.
func TestClientGoneIsCancelled(t *testing.T) {
	s := newScene(t, plan{max: 1})
	victim, next := s.client(), s.client()
	first := s.must(victim, "victim")
	raw := s.raw(victim)
	raw.send(&pgproto3.Query{String: endless})
	s.running(1)
	raw.nc.Close()
	if r := s.must(next, "next"); r.pid != first.pid {
		t.Errorf("the connection was not kept")
	}
	if n := s.db.cancels.Load(); n != 1 {
		t.Errorf("%d cancel requests reached the database", n)
	}
	hangUpNow(next)
	s.settled()
}
