// SPDX-License-Identifier: Apache-2.0

package mysql

import (
	"context"
	"fmt"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/rdsproxy/rdsproxy/pkg/wire/mysql"
	"github.com/rdsproxy/rdsproxy/test/daemonproc"
	"github.com/rdsproxy/rdsproxy/test/myclient"
	"github.com/rdsproxy/rdsproxy/test/myserver"
)

// crowd is how many clients there are when something happens to the proxy or to the
// database.
const crowd = 300

// connectMany logs in many clients, of which each has a value of its own.
func (s *stack) connectMany(t *testing.T, n int) []*myclient.Conn {
	t.Helper()
	all := make([]*myclient.Conn, n)
	o := s.options()
	o.Limit = 2 * time.Minute
	for i := range all {
		all[i] = s.dial(t, o)
		run(t, all[i], fmt.Sprintf("SET group_concat_max_len = %d", 1000+i))
	}
	return all
}

// checkMany lets all clients ask for their value at once.
func checkMany(t *testing.T, all []*myclient.Conn) {
	t.Helper()
	var both sync.WaitGroup
	for i, c := range all {
		both.Go(func() {
			lines, err := c.Query("SELECT @@group_concat_max_len")
			if want := fmt.Sprintf("%q", fmt.Sprint(1000+i)); err != nil || rows(lines) != want {
				t.Errorf("client %d: %s, %v, want %s", i, rows(lines), err, want)
			}
		})
	}
	both.Wait()
}

// TestDatabaseRestarts keeps idle clients, with their settings, over a restart.
func TestDatabaseRestarts(t *testing.T) {
	flavors(t, func(t *testing.T, flavor myserver.Flavor) {
		my := myserver.Start(t, myserver.Options{Flavor: flavor})
		group := connections(10)
		group["connection_borrow_timeout"] = "60s"
		s := newStackOn(t, my, daemonproc.Options{Group: group})
		s.daemon.RequireProxy(t)
		all := s.connectMany(t, crowd)
		busy := s.connect(t)
		run(t, busy, "BEGIN", "SELECT 1")
		my.Kill()
		if err := my.Start(t.Context()); err != nil {
			t.Fatal(err)
		}
		if lines, err := busy.Query("SELECT 1"); err == nil && failed(lines) == "" {
			t.Error("a transaction survived")
		}
		checkMany(t, all)
	})
}

// TestReload changes the budget under 300 clients, and adds a user.
func TestReload(t *testing.T) {
	s := newStack(t, myserver.MariaDB, daemonproc.Options{Group: connections(10)})
	s.daemon.RequireProxy(t)
	all := s.connectMany(t, crowd)
	s.admin(t, "CREATE USER IF NOT EXISTS late@'%' IDENTIFIED BY 'comer'")
	late := s.options()
	late.User, late.Password, late.Schema = "late", "comer", ""
	if _, err := myclient.Dial(t.Context(), late); refused(err) != mysql.CodeAccessDenied {
		t.Errorf("a user that is not configured: %v", err)
	}
	o := s.opts
	o.Users = append(o.Users, daemonproc.User{Name: "late", Password: "comer"})
	o.Group["max_connections"] = 3
	s.daemon.Rewrite(t, o)
	s.daemon.Signal(t, syscall.SIGHUP)
	eventually(t, "the new user gets in", func() bool {
		c, err := myclient.Dial(t.Context(), late)
		if err == nil {
			_ = c.Close() // it was there
		}
		return err == nil
	})
	checkMany(t, all)
	eventually(t, "surplus connections are closed", func() bool { return s.backends(t, "TRUE") <= 3 })
}

// TestDrain sends SIGTERM to 300 clients, of which one is in a transaction.
func TestDrain(t *testing.T) {
	flavors(t, func(t *testing.T, flavor myserver.Flavor) {
		s := newStack(t, flavor, daemonproc.Options{Group: connections(10), Top: daemonproc.Map{"drain_timeout": "20s"}})
		s.daemon.RequireProxy(t)
		all := s.connectMany(t, crowd)
		busy := s.connect(t)
		run(t, busy, "DROP TABLE IF EXISTS shop.d", "CREATE TABLE shop.d (v INT)", "BEGIN", "INSERT INTO shop.d VALUES (1)")
		s.daemon.Signal(t, syscall.SIGTERM)
		for i, c := range all {
			if n := firstError(t, c.Reader()); n != mysql.CodeServerShutdown && n != 0 {
				t.Fatalf("client %d: error %d", i, n)
			}
		}
		if s.daemon.Ended() {
			t.Fatal("the daemon ended under a transaction")
		}
		run(t, busy, "INSERT INTO shop.d VALUES (2)", "COMMIT")
		ctx, cancel := context.WithTimeout(t.Context(), 15*time.Second)
		defer cancel()
		if exit, err := s.daemon.Wait(ctx); err != nil || exit != 0 {
			t.Errorf("exit code %d, %v", exit, err)
		}
		if got := s.ask(t, "SELECT SUM(v) FROM shop.d"); got != "3" {
			t.Errorf("sum %s, want 3", got)
		}
		eventually(t, "no database connection is left", func() bool { return s.backends(t, "TRUE") == 0 })
	})
}
