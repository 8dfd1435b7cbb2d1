// SPDX-License-Identifier: Apache-2.0

package target_test

import (
	"context"
	"net"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/jackc/pgx/v5/pgproto3"

	"github.com/rdsproxy/rdsproxy/pkg/failover"
	"github.com/rdsproxy/rdsproxy/pkg/target"
)

// slowServer is a PostgreSQL that lets everybody in, and answers questions on its role.
type slowServer struct {
	l       net.Listener
	serving sync.WaitGroup
	// accepted and asked count connections and questions.
	accepted, asked atomic.Int32
	// login and question are called before the n-th answer of that sort, from 1.
	login, question func(n int32)
}

func newSlowServer(t *testing.T) *slowServer {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	nothing := func(int32) {}
	return &slowServer{l: l, login: nothing, question: nothing}
}

// start begins to serve, until close.
func (s *slowServer) start() {
	s.serving.Go(func() {
		for {
			nc, err := s.l.Accept()
			if err != nil {
				return
			}
			n := s.accepted.Add(1)
			s.serving.Go(func() { s.serve(nc, n) })
		}
	})
}

func (s *slowServer) close() {
	_ = s.l.Close()
	s.serving.Wait()
}

func (s *slowServer) serve(nc net.Conn, n int32) {
	defer nc.Close()
	pg := pgproto3.NewBackend(nc, nc)
	if _, err := pg.ReceiveStartupMessage(); err != nil {
		return
	}
	s.login(n)
	pg.Send(&pgproto3.AuthenticationOk{})
	pg.Send(&pgproto3.ReadyForQuery{TxStatus: 'I'})
	_ = pg.Flush()
	for {
		if m, err := pg.Receive(); err != nil {
			return
		} else if _, ok := m.(*pgproto3.Query); !ok {
			return
		}
		s.question(s.asked.Add(1))
		pg.Send(&pgproto3.RowDescription{})
		var values [][]byte
		for _, v := range []string{"f", "f", "1", "5", "1", "0", ""} {
			values = append(values, []byte(v))
		}
		pg.Send(&pgproto3.DataRow{Values: values})
		pg.Send(&pgproto3.ReadyForQuery{TxStatus: 'I'})
		_ = pg.Flush()
	}
}

func (s *slowServer) prober() *target.PostgresProber {
	host, port, _ := net.SplitHostPort(s.l.Addr().String())
	n, _ := strconv.Atoi(port)
	o := target.Options{Host: host, Port: n, TLSMode: target.TLSDisable, ConnectTimeout: patience}
	return target.NewPostgresProber(o, func(context.Context) (target.Request, error) { return as("far"), nil }, false)
}

// TestProbeFarAway: a login that takes longer than a probe goes on, and serves a later
// one; it is not broken off and begun again.
func TestProbeFarAway(t *testing.T) {
	s := newSlowServer(t)
	defer s.close()
	slow := make(chan struct{})
	s.login = func(int32) { <-slow }
	s.start()
	p := s.prober()
	for range 3 {
		_, err := probe(t, p, 20*time.Millisecond)
		wantKind(t, "slow", err, failover.Unreachable)
	}
	close(slow)
	if a := mustProbe(t, p); a.Cluster != "1" {
		t.Errorf("%+v", a)
	}
	p.Close()
	if n := s.accepted.Load(); n != 1 {
		t.Errorf("%d connections", n)
	}
	s.close()
	other := s.prober()
	_, err := probe(t, other, patience)
	wantKind(t, "closed", err, failover.Unreachable)
	other.Close()
}

// TestProbeSlowAnswer: so does a question; its answer tells of when it was asked.
func TestProbeSlowAnswer(t *testing.T) {
	s := newSlowServer(t)
	defer s.close()
	slow := make(chan struct{})
	s.question = func(int32) { <-slow }
	s.start()
	p := s.prober()
	defer p.Close()
	began := time.Now()
	for range 3 {
		_, err := probe(t, p, 20*time.Millisecond)
		wantKind(t, "slow", err, failover.Unreachable)
	}
	between := time.Now()
	answered := background(func() error {
		a, err := probe(t, p, patience)
		if err == nil && (a.Asked.Before(began) || a.Asked.After(between)) {
			t.Errorf("asked at %v, not between %v and %v", a.Asked, began, between)
		}
		return err
	})
	close(slow)
	if err := <-answered; err != nil {
		t.Fatal(err)
	}
	if a, n := s.accepted.Load(), s.asked.Load(); a != 1 || n > 2 {
		t.Errorf("%d connections, %d questions", a, n)
	}
}

// TestProbeDeadConnection: when the kept connection leads nowhere any more, another is
// tried beside it; should the first come to life again, it serves.
func TestProbeDeadConnection(t *testing.T) {
	s := newSlowServer(t)
	defer s.close()
	dead := make(chan struct{})
	s.question = func(n int32) {
		if n == 2 {
			<-dead
		}
	}
	s.start()
	p := s.prober()
	defer p.Close()
	mustProbe(t, p)
	_, err := probe(t, p, 20*time.Millisecond)
	wantKind(t, "dead", err, failover.Unreachable)
	mustProbe(t, p)
	if n := s.accepted.Load(); n != 2 {
		t.Errorf("%d connections", n)
	}
	close(dead)
	mustProbe(t, p)
	if n := s.accepted.Load(); n != 2 {
		t.Errorf("%d connections", n)
	}
}

// TestProbeThaws: both the kept connection and the new one hang; whichever goes on first
// serves.
func TestProbeThaws(t *testing.T) {
	for _, first := range []string{"the kept one", "the new one"} {
		t.Run(first, func(t *testing.T) {
			s := newSlowServer(t)
			defer s.close()
			old, young := make(chan struct{}), make(chan struct{})
			s.question = func(n int32) {
				if n == 2 {
					<-old
				}
			}
			s.login = func(n int32) {
				if n == 2 {
					<-young
				}
			}
			s.start()
			p := s.prober()
			mustProbe(t, p)
			for range 2 {
				_, err := probe(t, p, 20*time.Millisecond)
				wantKind(t, "frozen", err, failover.Unreachable)
			}
			if first == "the kept one" {
				close(old)
				mustProbe(t, p)
				p.Close()
				close(young)
			} else {
				close(young)
				mustProbe(t, p)
				p.Close()
				close(old)
			}
		})
	}
}

// background runs f, and gives its error.
func background(f func() error) <-chan error {
	done := make(chan error, 1)
	go func() { done <- f() }()
	return done
}
