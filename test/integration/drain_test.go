// SPDX-License-Identifier: Apache-2.0

package integration

import (
	"net/http"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/rdsproxy/rdsproxy/test/daemonproc"
)

// exits waits for the daemon's end and checks its exit code.
func (s *stack) exits(t *testing.T, within time.Duration) {
	t.Helper()
	exit, err := s.daemon.Wait(limit(t, within))
	if err != nil {
		t.Fatal(err)
	}
	if exit != 0 {
		t.Errorf("exit code %d", exit)
	}
}

// TestDrain sends SIGTERM: no new clients, idle ones are told to go, a transaction
// may end.
func TestDrain(t *testing.T) {
	s := newStack(t, 0, daemonproc.Options{
		Group: connections(3), Top: daemonproc.Map{"drain_timeout": "20s"},
	})
	s.daemon.RequireProxy(t)
	idle, busy, active := s.connect(t), s.connect(t), s.connect(t)
	watch := s.observer(t)
	run(t, idle, "CREATE TABLE d (x int)")
	run(t, busy, "BEGIN", "INSERT INTO d VALUES (1)")
	done := background(t.Context(), active, "INSERT INTO d SELECT 2 FROM pg_sleep(1.5)")
	s.sleeping(t, watch, 1)

	s.daemon.Signal(t, syscall.SIGTERM)
	_, err := idle.WaitForNotification(limit(t, 10*time.Second))
	wantCode(t, err, "57P01")
	status, _, err := s.daemon.Get("/readyz")
	if err != nil || status != http.StatusServiceUnavailable {
		t.Errorf("/readyz while draining: %d, %v", status, err)
	}
	if status, _, err := s.daemon.Get("/livez"); err != nil || status != http.StatusOK {
		t.Errorf("/livez while draining: %d, %v", status, err)
	}
	if _, err := s.tryConnect(t, s.dsn()); err == nil {
		t.Error("a new client was let in")
	}
	run(t, busy, "INSERT INTO d VALUES (3)")
	if s.daemon.Ended() {
		t.Fatal("the daemon ended under a transaction")
	}
	run(t, busy, "COMMIT")
	_, err = busy.Exec(limit(t, 10*time.Second), "SELECT 1")
	if err == nil {
		t.Error("a client was served after its transaction")
	}
	if err := await(t, "the running statement ends", done); err != nil {
		t.Errorf("running statement: %v", err)
	}
	s.exits(t, 10*time.Second)
	var sum int
	if err := watch.QueryRow(t.Context(), "SELECT count(*) FROM pg_stat_activity WHERE usename = $1 AND application_name <> 'rdsproxy probe'", s.user).Scan(&sum); err != nil {
		t.Fatal(err)
	}
	if sum != 0 {
		t.Errorf("%d database connections are left", sum)
	}
	check, err := s.tryConnect(t, s.pg.DSN(s.user, s.password, s.database))
	if err != nil {
		t.Fatal(err)
	}
	if got := value(t, check, "SELECT string_agg(x::text, ',' ORDER BY x) FROM d"); got != "1,2,3" {
		t.Errorf("rows %s, want 1,2,3", got)
	}
}

// TestDrainDeadline does not wait for ever.
func TestDrainDeadline(t *testing.T) {
	s := newStack(t, 0, daemonproc.Options{Group: connections(1), Top: daemonproc.Map{"drain_timeout": "1s"}})
	s.daemon.RequireProxy(t)
	busy := s.connect(t)
	run(t, busy, "BEGIN", "SELECT 1")
	s.daemon.Signal(t, syscall.SIGTERM)
	_, err := busy.WaitForNotification(limit(t, 10*time.Second))
	wantCode(t, err, "57P01")
	s.exits(t, 10*time.Second)
}

// TestSecondSignal ends the drain at once.
func TestSecondSignal(t *testing.T) {
	s := newStack(t, 0, daemonproc.Options{
		Group: connections(1), Top: daemonproc.Map{"drain_timeout": "300s"}, FailureIsExpected: true,
	})
	s.daemon.RequireProxy(t)
	busy, idle := s.connect(t), s.connect(t)
	run(t, busy, "BEGIN", "SELECT 1")
	s.daemon.Signal(t, syscall.SIGTERM)
	_, err := idle.WaitForNotification(limit(t, 10*time.Second))
	wantCode(t, err, "57P01")
	s.daemon.Signal(t, syscall.SIGTERM)
	if _, err := s.daemon.Wait(limit(t, 10*time.Second)); err != nil {
		t.Error(err)
	}
}

func TestReload(t *testing.T) {
	s := newStack(t, 0, daemonproc.Options{Group: connections(2)})
	s.daemon.RequireProxy(t)
	more := &stack{pg: s.pg, daemon: s.daemon}
	more.makeOwner(t, "")
	before := s.connect(t)
	run(t, before, "SELECT 1")
	_, err := s.tryConnect(t, more.dsn())
	wantCode(t, err, "28P01")

	o := s.opts
	o.Users = append(o.Users, daemonproc.User{Name: more.user, Password: more.password})
	s.daemon.Rewrite(t, o)
	s.daemon.Signal(t, syscall.SIGHUP)
	eventually(t, "the new user gets in", func() bool {
		_, err := s.tryConnect(t, more.dsn())
		return err == nil
	})

	// A configuration that is wrong changes nothing.
	bad := o
	bad.Top = daemonproc.Map{"idle_client_timeuot": "5s"}
	s.daemon.Rewrite(t, bad)
	s.daemon.Signal(t, syscall.SIGHUP)
	s.daemon.WaitLog(t, "idle_client_timeout") // the nearest known name
	run(t, before, "SELECT 1")
	if _, err := s.tryConnect(t, more.dsn()); err != nil {
		t.Errorf("after a refused reload: %v", err)
	}

	// A user that is taken away does not get in any more.
	o.Users = o.Users[:1]
	s.daemon.Rewrite(t, o)
	s.daemon.Signal(t, syscall.SIGHUP)
	eventually(t, "the user is refused", func() bool {
		_, err := s.tryConnect(t, more.dsn())
		return code(err) == "28P01"
	})
	if got := value(t, before, "SELECT 'still here'"); got != "still here" {
		t.Errorf("got %q", got)
	}
}

// TestBudgetIsReloaded lowers and raises the number of database connections.
func TestBudgetIsReloaded(t *testing.T) {
	s := newStack(t, 0, daemonproc.Options{Group: connections(4)})
	s.daemon.RequireProxy(t)
	watch := s.observer(t)
	busy := func(n int) {
		t.Helper()
		o := s.opts
		o.Group = connections(n)
		s.daemon.Rewrite(t, o)
		s.daemon.Signal(t, syscall.SIGHUP)
	}
	s.runTool(t, "pgbench", "-i", "-q")
	for _, n := range []int{2, 6, 1} {
		busy(n)
		eventually(t, "surplus connections are closed", func() bool { return s.backends(t, watch, "true") <= n })
		stop := s.watch(t)
		s.runTool(t, "pgbench", "-n", "-S", "-c", "20", "-T", "1")
		if most := stop(); most > n {
			t.Errorf("%d database connections, the budget is %d", most, n)
		}
	}
}

// TestBadConfiguration ends at once and names the trouble.
func TestBadConfiguration(t *testing.T) {
	if daemonproc.Direct() {
		t.Skip("there is no proxy")
	}
	for _, test := range []struct {
		name string
		top  daemonproc.Map
		want []string
	}{
		{"unknown key", daemonproc.Map{"idle_client_timeuot": "5s"}, []string{"idle_client_timeuot", "idle_client_timeout"}},
		{"bad duration", daemonproc.Map{"drain_timeout": "soon"}, []string{"drain_timeout", "soon"}},
		{"out of range", daemonproc.Map{"idle_client_timeout": "9h"}, []string{"idle_client_timeout", "8h"}},
		{"admin for everybody", daemonproc.Map{"admin": daemonproc.Map{"listen": "0.0.0.0:0"}}, []string{"admin", "loopback"}},
	} {
		t.Run(test.name, func(t *testing.T) {
			d := daemonproc.Spawn(t, daemonproc.Options{
				Writer: "127.0.0.1:1", Users: []daemonproc.User{{Name: "a", Password: "b"}}, Top: test.top, FailureIsExpected: true,
			})
			exit, err := d.Wait(limit(t, 20*time.Second))
			if err != nil || exit == 0 {
				t.Errorf("exit code %d, %v", exit, err)
			}
			for _, want := range test.want {
				if !strings.Contains(d.Log(), want) {
					t.Errorf("%q is not in the output:\n%s", want, d.Log())
				}
			}
		})
	}
}

// TestMissingSecret keeps the other users working: a secret may come later.
func TestMissingSecret(t *testing.T) {
	s := newStack(t, 0, daemonproc.Options{Group: connections(2)})
	s.daemon.RequireProxy(t)
	o := s.opts
	o.Users = append(o.Users, daemonproc.User{
		Name: "late", Password: "comer", Settings: daemonproc.Map{"secret": "late.json"},
	})
	d := daemonproc.Start(t, o)
	d.WaitLog(t, "late.json")
	_, err := s.tryConnect(t, d.DSN("late", "comer", s.database))
	wantCode(t, err, "28P01")
	conn, err := s.tryConnect(t, d.DSN(s.user, s.password, s.database))
	if err != nil {
		t.Fatal(err)
	}
	run(t, conn, "SELECT 1")
}
