// SPDX-License-Identifier: Apache-2.0

package integration

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/jackc/pgx/v5/pgconn"

	"github.com/rdsproxy/rdsproxy/test/daemonproc"
	"github.com/rdsproxy/rdsproxy/test/pgserver"
)

// newReplicationStack has a role that may replicate and a database with logical decoding.
func newReplicationStack(t *testing.T, budget int) *stack {
	t.Helper()
	pg := pgserver.Start(t, pgserver.Options{Settings: map[string]string{"wal_level": "logical"}})
	s := newStackOn(t, pg, daemonproc.Options{Group: connections(budget)})
	s.admin(t, fmt.Sprintf("ALTER ROLE %q REPLICATION", s.user))
	return s
}

func TestReceiveWAL(t *testing.T) {
	s := newReplicationStack(t, 3)
	conn := s.connect(t)
	run(t, conn, "CREATE TABLE w (x text)")
	dir := t.TempDir()
	cmd := s.tool(limit(t, time.Minute), t, "pg_receivewal", "-D", dir, "--no-loop", "--synchronous", "-v")
	out := &strings.Builder{}
	cmd.Stdout, cmd.Stderr = out, out
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	watch := s.observer(t)
	eventually(t, "the stream runs", func() bool {
		var n int
		if err := watch.QueryRow(t.Context(), "SELECT count(*) FROM pg_stat_replication WHERE state = 'streaming'").Scan(&n); err != nil {
			t.Fatal(err)
		}
		return n == 1
	})
	run(t, conn, "INSERT INTO w SELECT repeat('needle in the log', 10) FROM generate_series(1, 1000)")
	eventually(t, "the log has arrived", func() bool {
		files, err := filepath.Glob(filepath.Join(dir, "*"))
		if err != nil {
			t.Fatal(err)
		}
		for _, f := range files {
			if text, err := os.ReadFile(f); err == nil && strings.Contains(string(text), "needle in the log") {
				return true
			}
		}
		return false
	})
	if err := cmd.Process.Signal(syscall.SIGINT); err != nil {
		t.Fatal(err)
	}
	if err := cmd.Wait(); err != nil {
		t.Errorf("%v\n%s", err, out)
	}
	run(t, conn, "SELECT 1")
}

// replicationConn opens a connection with replication=database.
func (s *stack) replicationConn(t *testing.T) *pgconn.PgConn {
	t.Helper()
	conn, err := pgconn.Connect(limit(t, 30*time.Second), s.dsn("replication=database"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close(limit(t, 5*time.Second)) })
	return conn
}

// TestReplicationCommands also have to count in the budget and give their
// connection back when they leave.
func TestReplicationCommands(t *testing.T) {
	s := newReplicationStack(t, 2)
	conn := s.replicationConn(t)
	results, err := conn.Exec(limit(t, 20*time.Second), "IDENTIFY_SYSTEM").ReadAll()
	if err != nil {
		t.Fatal(err)
	}
	if got := string(results[0].Rows[0][3]); got != s.database {
		t.Errorf("database %q", got)
	}
	_, err = conn.Exec(limit(t, 20*time.Second), "CREATE_REPLICATION_SLOT s TEMPORARY LOGICAL test_decoding").ReadAll()
	if err != nil {
		t.Fatal(err)
	}
	_, err = conn.Exec(limit(t, 20*time.Second), "NONSENSE").ReadAll()
	wantCode(t, err, "42601")
	watch := s.observer(t)
	run(t, s.connect(t), "SELECT 1")
	if n := s.backends(t, watch, "true"); n > 2 {
		t.Errorf("%d database connections, the budget is 2", n)
	}
	conn.Close(limit(t, 20*time.Second))
	eventually(t, "the connection is gone", func() bool { return s.backends(t, watch, "backend_type = 'walsender'") == 0 })
	a, b := s.connect(t), s.connect(t)
	run(t, a, "BEGIN", "SELECT 1")
	run(t, b, "SELECT 1")
	run(t, a, "COMMIT")
}

// TestReplicationNeedsTheRight has the database's own refusal come through.
func TestReplicationNeedsTheRight(t *testing.T) {
	s := newStack(t, 0, daemonproc.Options{Group: connections(1)})
	_, err := pgconn.Connect(limit(t, 30*time.Second), s.dsn("replication=database"))
	wantCode(t, err, "42501")
}
