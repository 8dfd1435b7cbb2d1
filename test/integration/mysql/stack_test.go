// SPDX-License-Identifier: Apache-2.0

package mysql

import (
	"context"
	"errors"
	"maps"
	"os"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/rdsproxy/rdsproxy/pkg/wire/mysql"
	"github.com/rdsproxy/rdsproxy/test/daemonproc"
	"github.com/rdsproxy/rdsproxy/test/myclient"
	"github.com/rdsproxy/rdsproxy/test/myserver"
)

// runner lets daemonproc.Main run myserver.Main, which runs the tests.
func TestMain(m *testing.M) { os.Exit(myserver.Main(runner{m})) }

type runner struct{ m *testing.M }

func (r runner) Run() int { return daemonproc.Main(r.m) }

// user is who logs in, with all privileges, so that nothing is refused for want of one.
const (
	user     = "app"
	password = "p @ss'wörd"
	// prober asks the server what it is, so that user's connections are all for clients.
	prober = "prober"
)

// stack is a server with a daemon in front of it.
type stack struct {
	my     *myserver.Server
	daemon *daemonproc.Daemon
	opts   daemonproc.Options
}

// flavors are the servers of tests that run on all of them; each gets its own test.
func flavors(t *testing.T, f func(t *testing.T, flavor myserver.Flavor)) {
	t.Helper()
	for _, flavor := range myserver.Chosen(myserver.MariaDB, myserver.MySQL) {
		t.Run(string(flavor), func(t *testing.T) { f(t, flavor) })
	}
}

// connections are settings for a budget of n database connections.
func connections(n int) daemonproc.Map {
	return daemonproc.Map{"max_connections": n, "max_connections_percent": 100}
}

// newStack starts a daemon in front of the shared server of this flavor.
func newStack(t *testing.T, flavor myserver.Flavor, o daemonproc.Options) *stack {
	t.Helper()
	return newStackOn(t, myserver.Shared(t, flavor), o)
}

func newStackOn(t *testing.T, my *myserver.Server, o daemonproc.Options) *stack {
	t.Helper()
	s := &stack{my: my}
	s.admin(t,
		"CREATE USER IF NOT EXISTS "+user+"@'%' IDENTIFIED BY '"+strings.ReplaceAll(password, "'", "''")+"'",
		"GRANT ALL PRIVILEGES ON *.* TO "+user+"@'%'",
		"CREATE USER IF NOT EXISTS "+prober+"@'%' IDENTIFIED BY 'p'",
		"CREATE DATABASE IF NOT EXISTS shop")
	engine := "mysql"
	if my.Flavor.IsMariaDB() {
		engine = "mariadb"
	}
	group := daemonproc.Map{"engine": engine, "probe_user": prober}
	maps.Copy(group, o.Group)
	o.Group = group
	o.Writer = my.Addr()
	o.Users = append([]daemonproc.User{{Name: user, Password: password}, {Name: prober, Password: "p"}}, o.Users...)
	s.opts = o
	s.daemon = daemonproc.Start(t, o)
	return s
}

// admin runs statements as the superuser on the database itself.
func (s *stack) admin(t *testing.T, sql ...string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 60*time.Second) // also used after the test's context
	defer cancel()
	if err := s.my.Exec(ctx, sql...); err != nil {
		t.Fatal(err)
	}
}

// ask gives the first value of a query of the superuser.
func (s *stack) ask(t *testing.T, sql string) string {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 60*time.Second)
	defer cancel()
	v, err := s.my.Query(ctx, sql)
	if err != nil {
		t.Fatal(err)
	}
	return v
}

// count is ask for a number.
func (s *stack) count(t *testing.T, sql string) int {
	t.Helper()
	n, err := strconv.Atoi(s.ask(t, sql))
	if err != nil {
		t.Fatal(err)
	}
	return n
}

// backends counts the user's connections on the database itself.
func (s *stack) backends(t *testing.T, where string) int {
	t.Helper()
	return s.count(t, "SELECT COUNT(*) FROM information_schema.processlist WHERE user = '"+user+"' AND "+where)
}

// usual are the capabilities of most clients.
const usual = mysql.ClientMultiStatements | mysql.ClientDeprecateEOF | mysql.ClientSessionTrack

func (s *stack) options() myclient.Options {
	return myclient.Options{Addr: s.daemon.Addr, User: user, Password: password, Schema: "shop", Want: usual, Limit: waitLimit}
}

// dial logs in through the proxy; the connection is closed when the test ends.
func (s *stack) dial(t *testing.T, o myclient.Options) *myclient.Conn {
	t.Helper()
	c, err := myclient.Dial(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.Close() }) // it may be closed already
	return c
}

func (s *stack) connect(t *testing.T) *myclient.Conn {
	t.Helper()
	return s.dial(t, s.options())
}

// run sends queries, none of which may fail.
func run(t *testing.T, c *myclient.Conn, sql ...string) {
	t.Helper()
	for _, q := range sql {
		if lines, err := c.Query(q); err != nil || failed(lines) != "" {
			t.Fatalf("%s: %v %s", brief(q), err, failed(lines))
		}
	}
}

func brief(s string) string {
	const most = 200
	if len(s) > most {
		return s[:most] + "…"
	}
	return s
}

// failed is the first error in a reply, or "".
func failed(lines []string) string {
	for _, l := range lines {
		if strings.HasPrefix(l, "error ") {
			return l
		}
	}
	return ""
}

// value runs a query that has one row with one column.
func value(t *testing.T, c *myclient.Conn, sql string) string {
	t.Helper()
	lines, err := c.Query(sql)
	if err != nil {
		t.Fatalf("%s: %v", sql, err)
	}
	return rows(lines)
}

// rows are the rows of a reply, or its error.
func rows(lines []string) string {
	var out []string
	for _, l := range lines {
		if r, ok := strings.CutPrefix(l, "row "); ok {
			out = append(out, r)
		} else if strings.HasPrefix(l, "error ") {
			out = append(out, l)
		}
	}
	return strings.Join(out, "; ")
}

// refused gives the number of the error that a login ended with.
func refused(err error) uint16 {
	if e, ok := errors.AsType[*mysql.Error](err); ok {
		return e.Code
	}
	return 0
}

// eventually polls until cond holds.
func eventually(t *testing.T, what string, cond func() bool) {
	t.Helper()
	deadline := time.NewTimer(20 * time.Second)
	defer deadline.Stop()
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for !cond() {
		select {
		case <-deadline.C:
			t.Fatalf("not within 20s: %s", what)
		case <-tick.C:
		}
	}
}

// size reads a size from the environment.
func size(t *testing.T, name string, standard int) int {
	t.Helper()
	text := os.Getenv(name)
	if text == "" {
		return standard
	}
	n, err := strconv.Atoi(text)
	if err != nil || n < 1 {
		t.Fatalf("%s=%s: want a number", name, text)
	}
	return n
}
