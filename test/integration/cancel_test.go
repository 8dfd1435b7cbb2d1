// SPDX-License-Identifier: Apache-2.0

package integration

import (
	"context"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgconn/ctxwatch"

	"github.com/rdsproxy/rdsproxy/test/daemonproc"
)

// background runs a query and gives its error on the channel.
func background(ctx context.Context, conn *pgx.Conn, sql string) <-chan error {
	done := make(chan error, 1)
	go func() {
		_, err := conn.Exec(ctx, sql)
		done <- err
	}()
	return done
}

func await(t *testing.T, what string, done <-chan error) error {
	t.Helper()
	select {
	case err := <-done:
		return err
	case <-time.After(20 * time.Second):
		t.Fatalf("not within 20s: %s", what)
		return nil
	}
}

func (s *stack) sleeping(t *testing.T, watch *pgx.Conn, n int) {
	t.Helper()
	eventually(t, fmt.Sprintf("%d queries sleep", n), func() bool {
		return s.backends(t, watch, "state = 'active' AND wait_event = 'PgSleep'") == n
	})
}

func TestCancelRunningQuery(t *testing.T) {
	s := newStack(t, 0, daemonproc.Options{Group: connections(2)})
	watch := s.observer(t)
	conn, other := s.connect(t), s.connect(t)
	done := background(t.Context(), conn, "SELECT pg_sleep(60)")
	bystander := background(t.Context(), other, "SELECT pg_sleep(2)")
	s.sleeping(t, watch, 2)
	if err := conn.PgConn().CancelRequest(limit(t, 10*time.Second)); err != nil {
		t.Fatal(err)
	}
	wantCode(t, await(t, "the cancelled query ends", done), "57014")
	if err := await(t, "the other query ends", bystander); err != nil {
		t.Errorf("another client's query: %v", err)
	}
	if got := value(t, conn, "SELECT 'usable'"); got != "usable" {
		t.Errorf("got %q", got)
	}
}

func TestCancelInTransaction(t *testing.T) {
	s := newStack(t, 0, daemonproc.Options{Group: connections(1)})
	watch := s.observer(t)
	conn := s.connect(t)
	run(t, conn, "BEGIN")
	done := background(t.Context(), conn, "SELECT pg_sleep(60)")
	s.sleeping(t, watch, 1)
	if err := conn.PgConn().CancelRequest(limit(t, 10*time.Second)); err != nil {
		t.Fatal(err)
	}
	wantCode(t, await(t, "the cancelled query ends", done), "57014")
	if got := conn.PgConn().TxStatus(); got != 'E' {
		t.Errorf("status %c, want E", got)
	}
	run(t, conn, "ROLLBACK", "SELECT 1")
}

// TestCancelWaitingClient cancels a client that waits for a database connection.
func TestCancelWaitingClient(t *testing.T) {
	s := newStack(t, 0, daemonproc.Options{Group: connections(1)})
	s.daemon.RequireProxy(t)
	holder, waiter := s.connect(t), s.connect(t)
	run(t, holder, "BEGIN")
	done := background(t.Context(), waiter, "SELECT 1")
	// It cannot be seen from outside whether the query has come in; a cancel
	// ahead of it has no effect, so it is repeated.
	tick := time.NewTicker(100 * time.Millisecond)
	defer tick.Stop()
	for deadline := time.Now().Add(10 * time.Second); ; {
		if err := waiter.PgConn().CancelRequest(limit(t, 10*time.Second)); err != nil {
			t.Fatal(err)
		}
		select {
		case err := <-done:
			wantCode(t, err, "57014")
			run(t, holder, "SELECT 1", "COMMIT")
			if got := value(t, waiter, "SELECT 'usable'"); got != "usable" {
				t.Errorf("got %q", got)
			}
			return
		case <-tick.C:
			if time.Now().After(deadline) {
				t.Fatal("the waiting client was not cancelled")
			}
		}
	}
}

func TestCancelOfIdleClientIsNothing(t *testing.T) {
	s := newStack(t, 0, daemonproc.Options{Group: connections(1)})
	watch := s.observer(t)
	idle, busy := s.connect(t), s.connect(t)
	run(t, idle, "SELECT 1")
	done := background(t.Context(), busy, "SELECT pg_sleep(1)")
	s.sleeping(t, watch, 1)
	for range 5 {
		if err := idle.PgConn().CancelRequest(limit(t, 10*time.Second)); err != nil {
			t.Fatal(err)
		}
	}
	if err := await(t, "the other query ends", done); err != nil {
		t.Errorf("another client's query: %v", err)
	}
	run(t, idle, "SELECT 1")
}

// TestWrongCancelKey sends a key with the right process id and another secret.
func TestWrongCancelKey(t *testing.T) {
	s := newStack(t, 0, daemonproc.Options{Group: connections(1)})
	watch := s.observer(t)
	conn := s.connect(t)
	done := background(t.Context(), conn, "SELECT pg_sleep(1)")
	s.sleeping(t, watch, 1)
	forged := cancelRequest(conn.PgConn().PID(), []byte("ABCD"))
	for range 5 {
		c := s.dialRaw(t)
		if _, err := c.Write(forged); err != nil {
			t.Fatal(err)
		}
		expectClosed(t, c)
	}
	if err := await(t, "the query ends", done); err != nil {
		t.Errorf("the query: %v", err)
	}
}

// TestCancelStorm has clients that cancel at random moments beside clients that
// never do. These must never see 57014.
func TestCancelStorm(t *testing.T) {
	s := newStack(t, 0, daemonproc.Options{Group: connections(2)})
	ctx, stop := context.WithTimeout(t.Context(), 5*time.Second)
	defer stop()
	var all sync.WaitGroup
	for i := range 6 {
		conn := s.connect(t)
		cancels := i%2 == 0
		all.Go(func() {
			for n := 0; ctx.Err() == nil; n++ {
				if err := stormQuery(t.Context(), conn, cancels, n); err != nil {
					t.Errorf("client %d (cancels: %v): %v", i, cancels, err)
					return
				}
			}
		})
	}
	all.Wait()
}

// stormQuery runs one short query, marked and checked, and cancels it if it is
// told to, early, late or after its end.
func stormQuery(ctx context.Context, conn *pgx.Conn, cancels bool, n int) error {
	ctx, stop := context.WithTimeout(ctx, 20*time.Second)
	defer stop()
	mark := fmt.Sprintf("%d/%d", conn.PgConn().PID(), n)
	sql := fmt.Sprintf("SELECT '%s' FROM (SELECT pg_sleep(%g)) AS s", mark, float64(n%5)/1000)
	var wait sync.WaitGroup
	var cancelErr error
	if cancels {
		key := conn.PgConn()
		wait.Go(func() {
			cancelErr = key.CancelRequest(ctx)
		})
	}
	got, err := tryValue(ctx, conn, sql)
	wait.Wait()
	switch {
	case cancelErr != nil:
		return fmt.Errorf("cancel request: %w", cancelErr)
	case err == nil && got != mark:
		return fmt.Errorf("foreign row %q, want %q", got, mark)
	case err == nil, cancels && code(err) == "57014":
		return nil
	}
	return err
}

// TestContextCancel is what Go applications do: the driver cancels when the context ends.
func TestContextCancel(t *testing.T) {
	s := newStack(t, 0, daemonproc.Options{Group: connections(1)})
	cfg, err := pgx.ParseConfig(s.dsn())
	if err != nil {
		t.Fatal(err)
	}
	cfg.BuildContextWatcherHandler = cancelHandler
	conn, err := pgx.ConnectConfig(limit(t, 30*time.Second), cfg)
	if err != nil {
		t.Fatal(err)
	}
	defer closeNow(conn)
	for range 3 {
		ctx, cancel := context.WithTimeout(t.Context(), 200*time.Millisecond)
		_, err := conn.Exec(ctx, "SELECT pg_sleep(60)")
		cancel()
		if err == nil || !strings.Contains(err.Error(), "57014") {
			t.Fatalf("got %v, want 57014", err)
		}
		if got := value(t, conn, "SELECT 'usable'"); got != "usable" {
			t.Fatalf("got %q", got)
		}
	}
}

// cancelHandler makes pgconn send a cancel request where it would close the connection.
func cancelHandler(c *pgconn.PgConn) ctxwatch.Handler {
	return &pgconn.CancelRequestContextWatcherHandler{Conn: c, DeadlineDelay: 20 * time.Second}
}
