// SPDX-License-Identifier: Apache-2.0

package integration

import (
	"context"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/rdsproxy/rdsproxy/test/daemonproc"
	"github.com/rdsproxy/rdsproxy/test/pgserver"
)

// tool prepares one of PostgreSQL's client programs to connect through the proxy
// as the stack's role.
func (s *stack) tool(ctx context.Context, t *testing.T, name string, args ...string) *exec.Cmd {
	t.Helper()
	bin := pgserver.RequireTools(t).BinDir
	host, port, err := net.SplitHostPort(s.daemon.Addr)
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.CommandContext(ctx, filepath.Join(bin, name), args...)
	cmd.Dir = t.TempDir()
	cmd.Env = []string{
		"PATH=/usr/bin:/bin", "LC_ALL=C", "TZ=UTC", "HOME=" + cmd.Dir,
		"PGHOST=" + host, "PGPORT=" + port, "PGUSER=" + s.user, "PGPASSWORD=" + s.password, "PGDATABASE=" + s.database,
		"PGSSLMODE=disable", "PGCONNECT_TIMEOUT=60",
	}
	return cmd
}

// runTool runs a client program to its end and returns what it printed.
func (s *stack) runTool(t *testing.T, name string, args ...string) string {
	t.Helper()
	out, err := s.tool(limit(t, 5*time.Minute), t, name, args...).CombinedOutput()
	if err != nil {
		t.Fatalf("%s %s: %v\n%s", name, strings.Join(args, " "), err, out)
	}
	return string(out)
}

// watch counts the role's database connections until stop is called, which gives
// the largest number seen.
func (s *stack) watch(t *testing.T) (stop func() int) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	conn := s.observer(t)
	most := 0
	done := make(chan struct{})
	go func() {
		defer close(done)
		tick := time.NewTicker(5 * time.Millisecond)
		defer tick.Stop()
		for {
			var n int
			err := conn.QueryRow(ctx, "SELECT count(*) FROM pg_stat_activity WHERE usename = $1 AND application_name <> 'rdsproxy probe'", s.user).Scan(&n)
			if err != nil {
				if ctx.Err() == nil {
					t.Errorf("watcher: %v", err)
				}
				return
			}
			most = max(most, n)
			select {
			case <-ctx.Done():
			case <-tick.C:
			}
		}
	}()
	stop = func() int {
		cancel()
		<-done
		return most
	}
	t.Cleanup(func() { stop() }) // ahead of the connection's end, also when the test fails
	return stop
}

// TestPgbench has 500 clients on 10 database connections in each protocol mode.
func TestPgbench(t *testing.T) {
	clients, seconds, budget := 500, 5, 10
	if daemonproc.Direct() {
		clients = 20
	}
	s := newStack(t, 0, daemonproc.Options{
		Group: daemonproc.Map{"max_connections": budget, "connection_borrow_timeout": "60s"},
		Top:   daemonproc.Map{"log": daemonproc.Map{"level": "info"}},
	})
	s.runTool(t, "pgbench", "-i", "-s", "2", "-q")
	for _, mode := range []string{"simple", "extended", "prepared"} {
		t.Run(mode, func(t *testing.T) {
			threads := 2
			if mode == "prepared" {
				// pgbench prepares with a blocking call, so a thread that waits for one client's
				// connection does not let its other clients end the transactions that hold them.
				threads = clients
			}
			stop := s.watch(t)
			out := s.runTool(t, "pgbench", "-n", "-M", mode, "-c", fmt.Sprint(clients), "-j", fmt.Sprint(threads), "-T", fmt.Sprint(seconds),
				"-b", "select-only@9", "-b", "tpcb-like@1")
			most := stop()
			if !strings.Contains(out, "number of failed transactions: 0 ") {
				t.Errorf("failed transactions:\n%s", out)
			}
			if !daemonproc.Direct() && most > budget {
				t.Errorf("%d database connections were seen, the budget is %d", most, budget)
			}
			t.Logf("at most %d database connections\n%s", most, out)
			conn := s.connect(t)
			if value(t, conn, `SELECT ((SELECT sum(abalance) FROM pgbench_accounts)
				= (SELECT sum(bbalance) FROM pgbench_branches))::text`) != "true" {
				t.Error("the balances of accounts and branches differ")
			}
		})
	}
}

// TestPgbenchReconnects opens a client connection for each transaction.
func TestPgbenchReconnects(t *testing.T) {
	s := newStack(t, 0, daemonproc.Options{Group: connections(4)})
	s.runTool(t, "pgbench", "-i", "-q")
	stop := s.watch(t)
	out := s.runTool(t, "pgbench", "-n", "-C", "-S", "-c", "10", "-t", "20")
	if most := stop(); !daemonproc.Direct() && most > 4 {
		t.Errorf("%d database connections were seen, the budget is 4", most)
	}
	if !strings.Contains(out, "number of failed transactions: 0 ") {
		t.Errorf("failed transactions:\n%s", out)
	}
}

func TestPsql(t *testing.T) {
	s := newStack(t, 0, daemonproc.Options{Group: connections(2)})
	s.runTool(t, "psql", "-X", "-c", "CREATE TABLE person (id int, name text)", "-c", `\copy person FROM PROGRAM 'printf "1\tAnn\n2\tBob\n"'`)
	gdesc := filepath.Join(t.TempDir(), "gdesc.sql")
	if err := os.WriteFile(gdesc, []byte("SELECT 1 AS one \\gdesc\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, test := range []struct {
		name string
		args []string
		want string
	}{
		{"query", []string{"-c", "SELECT name FROM person ORDER BY id"}, "Ann\nBob\n"},
		{"describe", []string{"-c", `\d person`}, "id|integer|||\nname|text|||\n"},
		{"conninfo", []string{"-c", `\conninfo`}, s.user},
		{"copy out", []string{"-c", `\copy (SELECT * FROM person ORDER BY id) TO STDOUT CSV`}, "1,Ann\n2,Bob\n"},
		{"one transaction", []string{"-1", "-c", "INSERT INTO person VALUES (3, 'Cid')", "-c", "SELECT count(*) FROM person"}, "3\n"},
		{"fetch count", []string{"-v", "FETCH_COUNT=1", "-c", "SELECT id FROM person ORDER BY id"}, "1\n2\n3\n"},
		{"gdesc", []string{"-f", gdesc}, "one|integer\n"},
	} {
		t.Run(test.name, func(t *testing.T) {
			out := s.runTool(t, "psql", append([]string{"-X", "-A", "-t", "-q", "-v", "ON_ERROR_STOP=1"}, test.args...)...)
			if !strings.Contains(out, test.want) {
				t.Errorf("got %q, want %q", out, test.want)
			}
		})
	}
}
