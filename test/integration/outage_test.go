// SPDX-License-Identifier: Apache-2.0

package integration

import (
	"context"
	"strings"
	"testing"
	"time"

	"github.com/rdsproxy/rdsproxy/test/daemonproc"
	"github.com/rdsproxy/rdsproxy/test/pgserver"
)

// TestDatabaseRestarts keeps idle clients over a restart of the database.
func TestDatabaseRestarts(t *testing.T) {
	for name, restart := range map[string]func(ctx context.Context, pg *pgserver.Server) error{
		"fast":      func(ctx context.Context, pg *pgserver.Server) error { return pg.Restart(ctx, pgserver.Fast) },
		"immediate": func(ctx context.Context, pg *pgserver.Server) error { return pg.Restart(ctx, pgserver.Immediate) },
		"killed": func(ctx context.Context, pg *pgserver.Server) error {
			pg.Kill()
			return pg.Start(ctx)
		},
	} {
		t.Run(name, func(t *testing.T) {
			s := newStackOn(t, pgserver.Start(t, pgserver.Options{}), daemonproc.Options{Group: connections(3)})
			s.daemon.RequireProxy(t)
			idle, inTx, active := s.connect(t), s.connect(t), s.connect(t)
			run(t, idle, "SELECT 1")
			run(t, inTx, "BEGIN", "SELECT 1")
			watch := s.observer(t)
			done := background(t.Context(), active, "SELECT pg_sleep(100)")
			s.sleeping(t, watch, 1)
			if err := restart(t.Context(), s.pg); err != nil {
				t.Fatal(err)
			}
			if err := await(t, "the running query ends", done); err == nil {
				t.Error("the running query succeeded")
			} else if strings.Contains(err.Error(), "panic") {
				t.Error(err)
			}
			if _, err := inTx.Exec(limit(t, 20*time.Second), "SELECT 1"); code(err) != "40001" {
				t.Errorf("the transaction survived, or not its client: %v", err)
			}
			run(t, inTx, "ROLLBACK", "SELECT 1")
			run(t, active, "SELECT 1")
			for range 5 {
				if got := value(t, idle, "SELECT 'idle client'"); got != "idle client" {
					t.Errorf("got %q", got)
				}
			}
			if got := value(t, s.connect(t), "SELECT 'new client'"); got != "new client" {
				t.Errorf("got %q", got)
			}
		})
	}
}

// TestDatabaseIsDown starts with the database down, gives a clear error within the
// borrow timeout and recovers by itself.
func TestDatabaseIsDown(t *testing.T) {
	pg := pgserver.Start(t, pgserver.Options{})
	s := &stack{pg: pg}
	s.makeOwner(t, "")
	if err := pg.Stop(pgserver.Fast); err != nil {
		t.Fatal(err)
	}
	group := connections(2)
	group["connection_borrow_timeout"] = "2s"
	s.daemon = daemonproc.Spawn(t, daemonproc.Options{
		Writer: pg.Addr(), Group: group, Users: []daemonproc.User{{Name: s.user, Password: s.password}},
	})
	if daemonproc.Direct() {
		t.Cleanup(func() { _ = pg.Start(context.Background()) })
		t.Skip("there is no proxy")
	}
	var err error
	eventually(t, "the daemon answers", func() bool {
		_, err = s.tryConnect(t, s.dsn())
		return !isRefused(err)
	})
	if c := code(err); c == "" || c == "XX000" || c == "28P01" {
		t.Errorf("got %v, want an error that says the database is down", err)
	}
	if strings.Contains(err.Error(), pg.Addr()) {
		t.Errorf("a client is told the database's address: %v", err)
	}
	if err := pg.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	s.daemon.WaitReady(t)
	eventually(t, "clients are served", func() bool {
		conn, err := s.tryConnect(t, s.dsn())
		if err != nil {
			return false
		}
		_, err = conn.Exec(limit(t, 20*time.Second), "SELECT 1")
		return err == nil
	})
}

// TestTerminatedBackend loses one database connection that is idle in the pool, and
// one that is in use.
func TestTerminatedBackend(t *testing.T) {
	s := newStack(t, 0, daemonproc.Options{Group: connections(1)})
	s.daemon.RequireProxy(t)
	watch := s.observer(t)
	conn := s.connect(t)
	run(t, conn, "SELECT 1")
	terminate := func() {
		t.Helper()
		if _, err := watch.Exec(t.Context(), "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = $1", s.user); err != nil {
			t.Fatal(err)
		}
		eventually(t, "the backend is gone", func() bool { return s.backends(t, watch, "true") == 0 })
	}
	terminate()
	run(t, conn, "SELECT 1")
	run(t, conn, "BEGIN", "SELECT 1")
	terminate()
	_, err := conn.Exec(limit(t, 20*time.Second), "SELECT 1")
	if err == nil {
		t.Fatal("the transaction survived")
	}
	if c := code(err); c != "40001" {
		t.Errorf("got %v", err)
	}
	run(t, conn, "ROLLBACK", "SELECT 1")
	if got := value(t, s.connect(t), "SELECT 'new client'"); got != "new client" {
		t.Errorf("got %q", got)
	}
}

// TestEviction has two pools share one budget: the second gets its connection by
// the end of an idle one of the first.
func TestEviction(t *testing.T) {
	s := newStack(t, 0, daemonproc.Options{Group: connections(2)})
	s.daemon.RequireProxy(t)
	watch := s.observer(t)
	a, b := s.connect(t), s.connect(t)
	run(t, a, "BEGIN", "SELECT 1")
	run(t, b, "BEGIN", "SELECT 1")
	run(t, a, "COMMIT")
	run(t, b, "COMMIT")
	second := *s
	second.database = "postgres"
	c := second.connect(t)
	run(t, c, "BEGIN", "SELECT 1")
	if n := s.backends(t, watch, "true"); n > 2 {
		t.Errorf("%d database connections, the budget is 2", n)
	}
	run(t, a, "SELECT 1")
	run(t, c, "COMMIT")
}

// TestInitQuery runs once on each new database connection, before any client.
func TestInitQuery(t *testing.T) {
	group := connections(2)
	group["init_query"] = "SET work_mem = '9MB'; SET my.own = 'from init'"
	s := newStack(t, 0, daemonproc.Options{Group: group})
	s.daemon.RequireProxy(t)
	for range 3 {
		conn := s.connect(t)
		if got := value(t, conn, "SELECT current_setting('work_mem') || ' ' || current_setting('my.own')"); got != "9MB from init" {
			t.Errorf("got %q", got)
		}
		run(t, conn, "SET work_mem = '3MB'", "DISCARD ALL")
		if got := value(t, conn, "SHOW work_mem"); got != "4MB" && got != "9MB" {
			t.Errorf("after DISCARD ALL: %q", got)
		}
		closeNow(conn)
	}
	if got := value(t, s.connect(t), "SELECT current_setting('work_mem')"); got != "9MB" {
		t.Errorf("after another client's DISCARD ALL: %q", got)
	}
}
