// SPDX-License-Identifier: Apache-2.0

package integration

import (
	"fmt"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/rdsproxy/rdsproxy/test/daemonproc"
)

// TestStartupParameters interleaves clients with different parameters on few
// database connections; each must see its own.
func TestStartupParameters(t *testing.T) {
	s := newStack(t, 0, daemonproc.Options{Group: connections(2)})
	s.admin(t, fmt.Sprintf("ALTER ROLE %q SET lock_timeout = '4321ms'", s.user))
	run(t, s.connect(t), "CREATE SCHEMA \"odd, name\"")
	cases := []struct{ param, check, want string }{
		{"application_name=it's an app", "SHOW application_name", "it's an app"},
		{"TimeZone=Asia/Tokyo", "SHOW TimeZone", "Asia/Tokyo"},
		{"timezone=America/New_York", "SHOW TimeZone", "America/New_York"},
		{"DateStyle=German", "SELECT date '2026-11-23'::text", "23.11.2026"},
		{`search_path="odd, name", public`, "SELECT current_schema()::text", "odd, name"},
		{"statement_timeout=12345", "SHOW statement_timeout", "12345ms"},
		{"extra_float_digits=-3", "SHOW extra_float_digits", "-3"},
		{"default_transaction_read_only=on", "SHOW default_transaction_read_only", "on"},
		{"options=-c work_mem=5MB -c geqo=off", "SELECT current_setting('work_mem') || current_setting('geqo')", "5MBoff"},
		{`options=--work-mem=6MB -cenable_sort=off`, "SELECT current_setting('work_mem') || current_setting('enable_sort')", "6MBoff"},
		{`options=-c my.own=with\ blank`, "SHOW my.own", "with blank"},
		{"my.other=plain", "SHOW my.other", "plain"},
		{"lock_timeout=1s", "SHOW lock_timeout", "1s"},
		{"work_mem=4MB", "SHOW lock_timeout", "4321ms"},
	}
	type client struct {
		check, want string
		run         func(sql string) string
	}
	var clients []client
	for _, c := range cases {
		name, val, _ := strings.Cut(c.param, "=")
		conn := s.connect(t, name+"="+val)
		clients = append(clients, client{c.check, c.want, func(sql string) string { return value(t, conn, sql) }})
	}
	for round := range 3 {
		for i, c := range clients {
			if got := c.run(c.check); got != c.want {
				t.Errorf("round %d, %s: %q, want %q", round, cases[i].param, got, c.want)
			}
		}
	}
}

// TestApplicationNameIsSeen shows who is who to somebody who looks at the database.
func TestApplicationNameIsSeen(t *testing.T) {
	s := newStack(t, 0, daemonproc.Options{Group: connections(1)})
	watch := s.observer(t)
	a, b := s.connect(t, "application_name=app a"), s.connect(t, "application_name=app b")
	for range 3 {
		run(t, a, "SELECT 1")
		if n := s.backends(t, watch, "application_name = 'app a'"); n < 1 {
			t.Error("app a is not seen")
		}
		run(t, b, "SELECT 1")
		if n := s.backends(t, watch, "application_name = 'app b'"); n < 1 {
			t.Error("app b is not seen")
		}
	}
}

func TestStatementTimeout(t *testing.T) {
	s := newStack(t, 0, daemonproc.Options{Group: connections(1)})
	short, long := s.connect(t, "statement_timeout=100"), s.connect(t)
	for range 2 {
		_, err := short.Exec(limit(t, 20*time.Second), "SELECT pg_sleep(10)")
		wantCode(t, err, "57014")
		run(t, long, "SELECT pg_sleep(0.3)")
	}
}

func TestBadStartupParameters(t *testing.T) {
	s := newStack(t, 0, daemonproc.Options{Group: connections(1)})
	for _, test := range []struct{ params, code string }{
		{"TimeZone=Nowhere/Land", "22023"},
		{"no_such_parameter=1", "42704"},
		{"shared_buffers=1GB", "55P02"},
		{"options=-c work_mem", "42601"},
		{"options=-c no_such_parameter=1", "42704"},
		{"options=--fsync=maybe", ""},
	} {
		t.Run(test.params, func(t *testing.T) {
			name, val, _ := strings.Cut(test.params, "=")
			conn, err := s.tryConnect(t, s.dsn(name+"="+val))
			if err == nil {
				// What the proxy cannot judge may also be refused by the first statement.
				_, err = conn.Exec(limit(t, 20*time.Second), "SELECT 1")
			}
			if err == nil || (test.code != "" && code(err) != test.code) {
				t.Errorf("got %v, want SQLSTATE %s", err, test.code)
			}
		})
	}
	if got := value(t, s.connect(t), "SELECT 'others are served'"); got != "others are served" {
		t.Errorf("got %q", got)
	}
}

// TestServiceURL is a connection URL as applications have it, in full.
func TestServiceURL(t *testing.T) {
	s := newStack(t, 0, daemonproc.Options{Group: connections(1)})
	u, err := url.Parse(s.dsn("application_name=x", "options=-c TimeZone=UTC -c statement_timeout=5s", "client_encoding=UTF8"))
	if err != nil {
		t.Fatal(err)
	}
	out := s.runTool(t, "psql", "-X", "-A", "-t", u.String(), "-c", "SHOW statement_timeout", "-c", "SHOW TimeZone")
	if out != "5s\nUTC\n" {
		t.Errorf("got %q", out)
	}
}
