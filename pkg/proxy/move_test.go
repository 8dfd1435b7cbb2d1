// SPDX-License-Identifier: Apache-2.0

package proxy_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"sync/atomic"
	"testing"
	"time"

	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgproto3"

	"github.com/rdsproxy/rdsproxy/pkg/proxy"
	"github.com/rdsproxy/rdsproxy/pkg/target"
)

// spread logs n clients in; they live on the loops by turns.
func (s *scene) spread(n int) []*pgconn.PgConn {
	s.tb.Helper()
	list := make([]*pgconn.PgConn, n)
	for i := range list {
		list[i] = s.client()
	}
	return list
}

func (s *scene) moves() uint64 { return s.stats().Targets[0].Pool.Moves }

// TestMove: one database connection serves clients on several loops, one after
// the other and without being opened anew.
func TestMove(t *testing.T) {
	for _, driver := range []string{"", "portable"} {
		t.Run("driver="+driver, func(t *testing.T) {
			s := newScene(t, plan{max: 1, loops: 3, driver: driver})
			clients := s.spread(3)
			first := s.must(clients[0], "0")
			for i := range 30 {
				mark := fmt.Sprint(i)
				if r := s.must(clients[i%3], mark); r.pid != first.pid {
					t.Fatalf("served by %s, then by %s", first.pid, r.pid)
				}
			}
			if n := s.moves(); n < 29 {
				t.Errorf("%d moves", n)
			}
			for _, c := range clients {
				hangUpNow(c)
			}
			s.settled()
		})
	}
}

// TestMoveWaitsForUnsentBytes: a connection is given back while the server has
// not yet read all that it was sent, and the next client lives on another loop.
func TestMoveWaitsForUnsentBytes(t *testing.T) {
	for range 10 {
		if moveWithUnsentBytes(t) {
			return
		}
	}
	t.Error("each time a message was half sent")
}

// moveWithUnsentBytes is false if the last of the flood to be read was a part of a
// message, which keeps the connection until the rest of it can be sent.
func moveWithUnsentBytes(t *testing.T) (whole bool) {
	s := newScene(t, plan{max: 1, loops: 2})
	refuse, read := make(chan struct{}), make(chan struct{})
	s.db.on(func(b *backend, at stage, sql string) reaction {
		if at != atQuery || sql != "COPY t FROM STDIN" {
			return goOn
		}
		b.send(&pgproto3.CopyInResponse{ColumnFormatCodes: []uint16{0}})
		b.flush()
		b.wait(refuse)
		b.send(&pgproto3.ErrorResponse{Severity: "ERROR", Code: "22P02", Message: "bad row"})
		b.ready()
		b.wait(read)
		return finished
	})
	clients := s.spread(2)
	first := s.must(clients[1], "first")
	flood := s.raw(clients[0])
	flood.send(&pgproto3.Query{String: "COPY t FROM STDIN"})
	flood.until('G')
	var written atomic.Int64
	sent := background(func() error {
		// Messages of 16 bytes, so that most reads end with a message.
		one, _ := (&pgproto3.CopyData{Data: make([]byte, 11)}).Encode(nil)
		data := bytes.Repeat(one, 1<<16/len(one))
		for range 500 { // more than all buffers on the way
			if _, err := flood.nc.Write(data); err != nil {
				return err
			}
			written.Add(1)
		}
		return nil
	})
	waiting := make(chan row, 1)
	asked := background(func() error {
		r, err := ask(clients[1], "second")
		waiting <- r
		return err
	})
	eventually(t, "the other client waits", func() bool { return s.stats().Endpoints[0].Waiting == 1 })
	stalls(t, &written)
	close(refuse)
	flood.until('Z')
	var err error
	select {
	case err = <-sent:
		whole = true
		close(read)
	case <-time.After(time.Second):
		close(read)
		err = s.await("the flood is swallowed", sent)
	}
	if err != nil {
		t.Fatal(err)
	}
	if err := s.await("the other client's answer", asked); err != nil {
		t.Fatal(err)
	}
	if r := <-waiting; r.pid != first.pid || r.mark != "second" {
		t.Errorf("got %v, the connection was %s", r, first.pid)
	}
	return whole
}

// TestWaiterGivesUp: a connection is on its way to a client on another loop that
// does not want it any more.
func TestWaiterGivesUp(t *testing.T) {
	s := newScene(t, plan{max: 1, loops: 2})
	holder := s.client()
	s.must(holder, "holder")
	patience := s.target.BorrowTimeout
	s.target.BorrowTimeout = 3 * time.Millisecond
	s.group.Update(s.target, false)
	waiter := s.client()
	timeouts := 0
	for i := range 300 {
		mark := fmt.Sprint(i)
		eventually(t, "the holder has it", func() bool { return holder.Exec(t.Context(), "BEGIN").Close() == nil })
		asked := background(func() error {
			r, err := ask(waiter, mark)
			if err == nil && r.mark != mark {
				err = fmt.Errorf("asked for %q, got %q", mark, r.mark)
			}
			return err
		})
		// COMMIT meets the end of the wait, more or less.
		<-time.After(time.Duration(2000+i%20*100) * time.Microsecond)
		s.exec(holder, "COMMIT")
		if err := s.await("the waiter's answer", asked); err != nil {
			s.wantState(err, "53300")
			timeouts++
		}
	}
	t.Logf("%d of 300 timed out", timeouts)
	s.target.BorrowTimeout = patience
	s.group.Update(s.target, false)
	s.must(holder, "holder")
	hangUpNow(holder)
	hangUpNow(waiter)
	s.settled()
}

// TestDeathOnTheWay: the server closes a connection right after it has become
// free, when it may be on its way to another loop. Waiting clients get another one.
func TestDeathOnTheWay(t *testing.T) {
	s := newScene(t, plan{max: 2, loops: 3})
	clients := s.spread(6)
	s.must(clients[0], "x")
	s.db.on(func(b *backend, at stage, sql string) reaction {
		if at == atQuery && b.queries.Load()%7 == 0 {
			b.row("last", false)
			b.ready()
			return hangUp
		}
		return goOn
	})
	done := make(chan error, len(clients))
	for i, c := range clients {
		go func() {
			for n := range 200 {
				mark := fmt.Sprintf("%d/%d", i, n)
				r, err := ask(c, mark)
				if e, ok := errors.AsType[*pgconn.PgError](err); ok && e.Code == "40003" {
					continue // it died between the borrow and the query
				}
				if err != nil {
					done <- err
					return
				}
				if r.mark != mark && r.mark != "last" {
					done <- fmt.Errorf("asked for %q, got %q", mark, r.mark)
					return
				}
			}
			hangUpNow(c)
			done <- nil
		}()
	}
	for range clients {
		if err := s.await("the clients", done); err != nil {
			t.Fatal(err)
		}
	}
	s.db.on(nil)
	s.settled()
	if s.db.peak() > 3 { // two, and one that has said goodbye and is about to close
		t.Errorf("%d database connections at a time", s.db.peak())
	}
}

// slowDialer lets a test decide when connections are opened.
type slowDialer struct {
	proxy.Dialer
	gate chan struct{}
}

func (d *slowDialer) Dial(ctx context.Context, r target.Request) (*target.Established, error) {
	select {
	case <-d.gate:
	case <-ctx.Done():
		return nil, ctx.Err()
	}
	return d.Dialer.Dial(ctx, r)
}

// TestGrantsDoNotNest: a thousand clients that wait for the first connection are
// welcomed one after the other by the same connection.
func TestGrantsDoNotNest(t *testing.T) {
	gate := make(chan struct{})
	s := newScene(t, plan{max: 1, loops: 1, dialer: func(d proxy.Dialer) proxy.Dialer { return &slowDialer{d, gate} }})
	const n = 500
	done := make(chan error, n)
	for range n {
		go func() {
			c, err := s.tryClient("app")
			if err == nil {
				hangUpNow(c)
			}
			done <- err
		}()
	}
	eventually(t, "all wait", func() bool { return s.stats().Endpoints[0].Waiting == n })
	close(gate)
	for range n {
		if err := s.await("the logins", done); err != nil {
			t.Fatal(err)
		}
	}
	s.settled()
	if opened := s.stats().Targets[0].Opened; opened != 1 {
		t.Errorf("%d connections opened", opened)
	}
}
