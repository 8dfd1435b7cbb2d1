// SPDX-License-Identifier: Apache-2.0

package mysql

import (
	"context"
	"fmt"
	"net"
	"os/exec"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/rdsproxy/rdsproxy/test/daemonproc"
	"github.com/rdsproxy/rdsproxy/test/myserver"
)

// watch counts the user's database connections until stop is called, which gives the
// largest number seen.
func (s *stack) watch(t *testing.T) (stop func() int) {
	t.Helper()
	conn, err := s.my.Connect(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	most, done := 0, make(chan struct{})
	go func() {
		defer close(done)
		defer conn.Close()
		tick := time.NewTicker(5 * time.Millisecond)
		defer tick.Stop()
		for {
			r, err := conn.Execute("SELECT COUNT(*) FROM information_schema.processlist WHERE user = '" + user + "'")
			if err != nil {
				t.Errorf("watcher: %v", err)
				return
			}
			n, err := r.GetInt(0, 0)
			if err != nil {
				t.Errorf("watcher: %v", err)
				return
			}
			most = max(most, int(n))
			select {
			case <-ctx.Done():
				return
			case <-tick.C:
			}
		}
	}()
	stop = func() int {
		cancel()
		<-done
		return most
	}
	t.Cleanup(func() { stop() }) // ahead of the server's end, also when the test fails
	return stop
}

// TestSysbench has 300 clients on 10 database connections.
func TestSysbench(t *testing.T) {
	program, err := exec.LookPath("sysbench")
	if err != nil {
		t.Skip("there is no sysbench")
	}
	seconds := size(t, "RDSPROXY_TEST_SYSBENCH_SECONDS", 4)
	const threads, budget = 300, 10
	flavors(t, func(t *testing.T, flavor myserver.Flavor) {
		group := connections(budget)
		group["connection_borrow_timeout"] = "60s"
		s := newStack(t, flavor, daemonproc.Options{
			Group: group,
			Top:   daemonproc.Map{"log": daemonproc.Map{"level": "info"}},
		})
		s.daemon.RequireProxy(t)
		s.admin(t, "DROP DATABASE IF EXISTS sbtest", "CREATE DATABASE sbtest")
		host, port, err := net.SplitHostPort(s.daemon.Addr)
		if err != nil {
			t.Fatal(err)
		}
		sysbench := func(test, command string, args ...string) string {
			t.Helper()
			ctx, cancel := context.WithTimeout(t.Context(), 5*time.Minute)
			defer cancel()
			out, err := exec.CommandContext(ctx, program, append([]string{
				test, "--mysql-host=" + host, "--mysql-port=" + port, "--mysql-user=" + user, "--mysql-password=" + password,
				"--mysql-db=sbtest", "--tables=4", "--table-size=2000", "--mysql-ignore-errors=1213", command,
			}, args...)...).CombinedOutput()
			if err != nil {
				t.Fatalf("sysbench %s %s: %v\n%s", test, command, err, out)
			}
			return string(out)
		}
		sysbench("oltp_read_write", "prepare")
		for _, test := range []string{"oltp_point_select", "oltp_read_write"} {
			for _, prepared := range []string{"disable", "auto"} {
				t.Run(test+", prepared statements: "+prepared, func(t *testing.T) {
					stop := s.watch(t)
					out := sysbench(test, "run", "--db-ps-mode="+prepared, fmt.Sprintf("--threads=%d", threads), fmt.Sprintf("--time=%d", seconds))
					most := stop()
					// Deadlocks are the test's own: 300 clients change few rows.
					if n := errorsOf(out); n != "0" && !strings.Contains(test, "write") {
						t.Errorf("%s errors\n%s", n, out)
					}
					if strings.Contains(out, "FATAL") {
						t.Errorf("an error:\n%s", out)
					}
					if most > budget {
						t.Errorf("%d database connections were seen, the budget is %d", most, budget)
					}
					t.Logf("at most %d database connections; %s", most, queries.FindString(out))
				})
			}
		}
	})
}

var (
	queries      = regexp.MustCompile(`queries: .*`)
	ignoredError = regexp.MustCompile(`ignored errors:\s+(\d+)`)
)

func errorsOf(out string) string {
	if m := ignoredError.FindStringSubmatch(out); m != nil {
		return m[1]
	}
	return "no count of"
}
