// SPDX-License-Identifier: Apache-2.0

package readers

import (
	"os"
	"strings"
	"testing"
	"time"

	"github.com/rdsproxy/rdsproxy/test/daemonproc"
	"github.com/rdsproxy/rdsproxy/test/myserver"
	"github.com/rdsproxy/rdsproxy/test/replicas"
)

// runner lets daemonproc.Main run myserver.Main, which runs the tests.
func TestMain(m *testing.M) { os.Exit(myserver.Main(runner{m})) }

type runner struct{ m *testing.M }

func (r runner) Run() int { return daemonproc.Main(r.m) }

// TestReadOnlyEndpoint: clients read from a reader, never from the writer and never from
// one that lags, see no older state when they are moved, and keep their connections when
// their reader becomes the writer.
func TestReadOnlyEndpoint(t *testing.T) {
	if daemonproc.Direct() {
		t.Skip("RDSPROXY_TEST_DIRECT=1: there is no proxy")
	}
	for _, e := range replicas.Engines() {
		t.Run(string(e), func(t *testing.T) { readOnlyEndpoint(t, e) })
	}
}

func readOnlyEndpoint(t *testing.T, e replicas.Engine) {
	cluster := replicas.Start(t, replicas.Options{Engine: e, Readers: 2})
	ctx := t.Context()
	var members []string
	for _, m := range cluster.Members {
		members = append(members, m.Addr())
	}
	writer := dial(t, e, cluster.Writer().Addr())
	if err := writer.run(ctx, "CREATE TABLE marks (v BIGINT PRIMARY KEY)"); err != nil {
		t.Fatal(err)
	}
	for _, m := range cluster.Readers() {
		if err := cluster.AwaitCaughtUp(ctx, m); err != nil {
			t.Fatal(err)
		}
	}
	engine := map[replicas.Engine]string{replicas.PostgreSQL: "postgresql", replicas.MariaDB: "mariadb", replicas.MySQL: "mysql"}[e]
	d := daemonproc.Start(t, daemonproc.Options{
		Writer: members[0],
		Users: []daemonproc.User{
			{Name: replicas.User, Password: replicas.Password}, {Name: replicas.Monitor, Password: replicas.MonitorPassword},
		},
		Endpoint: daemonproc.Map{"role": "read_only", "max_replica_lag": "5s"},
		Group: daemonproc.Map{
			"engine": engine, "members": members, "probe_user": replicas.Monitor, "connection_borrow_timeout": "60s",
		},
	})
	c := &reader{t: t, conn: dial(t, e, d.Addr)}

	first := c.until("a reader serves it", func(view) bool { return true })
	if err := c.run(ctx, mark(-1)); !refusesWrites(err) {
		t.Errorf("a write: %v", err)
	}

	lags := member(t, cluster, first.host)
	if err := lags.PauseReplay(ctx); err != nil {
		t.Fatal(err)
	}
	n := int64(0)
	second := c.until("it is moved away from a reader that lags", func(v view) bool {
		n++
		if err := writer.run(ctx, mark(n)); err != nil {
			t.Fatal(err)
		}
		return v.host != first.host
	})
	if err := lags.ResumeReplay(ctx); err != nil {
		t.Fatal(err)
	}
	if err := cluster.AwaitCaughtUp(ctx, lags); err != nil {
		t.Fatal(err)
	}
	if err := cluster.Switchover(ctx, member(t, cluster, second.host)); err != nil {
		t.Fatal(err)
	}
	c.until("it is moved away from the new writer", func(v view) bool { return v.host != second.host })
	if err := cluster.Rejoin(ctx, lags); err != nil { // it still follows the former writer
		t.Fatal(err)
	}
	checkFigures(t, d, members)
}

// reader is a client of the read-only endpoint.
type reader struct {
	conn
	t      *testing.T
	newest int64
}

// until looks again and again. What is seen must be a reader's, and not older than what
// was seen before; while the roles change there may be errors.
func (c *reader) until(what string, cond func(view) bool) view {
	c.t.Helper()
	limit := time.Now().Add(60 * time.Second)
	for {
		v, err := c.look(c.t.Context())
		switch {
		case c.closed():
			c.t.Fatalf("%s: the client has lost its connection: %v", what, err)
		case err == nil && v.newest < c.newest:
			c.t.Fatalf("%s: it has seen mark %d, and then %+v", what, c.newest, v)
		case err == nil && v.reader && cond(v):
			return v
		case time.Now().After(limit):
			c.t.Fatalf("%s: served by %+v, %v", what, v, err)
		}
		if err == nil {
			c.newest = v.newest
		}
	}
}

func member(t *testing.T, c *replicas.Cluster, host string) *replicas.Member {
	t.Helper()
	for _, m := range c.Members {
		if m.Host == host {
			return m
		}
	}
	t.Fatalf("no member is at %q", host)
	return nil
}

// checkFigures: each member is shown with its role, and no figure is there twice.
func checkFigures(t *testing.T, d *daemonproc.Daemon, members []string) {
	t.Helper()
	d.Eventually(t, "each member is shown as well, in one role", 60*time.Second, func() bool {
		status, text, err := d.Get("/metrics")
		if err != nil || status != 200 {
			t.Fatalf("/metrics: %d, %v", status, err)
		}
		seen := make(map[string]bool)
		for line := range strings.Lines(text) {
			series, _, _ := strings.Cut(line, " ")
			if seen[series] && !strings.HasPrefix(line, "#") {
				t.Fatalf("%s is there twice", series)
			}
			seen[series] = true
		}
		roles := 0
		for _, m := range members {
			for _, role := range []string{"read_write", "read_only"} {
				if strings.Contains(text, `rdsproxy_target_health{reason="",role="`+role+`",state="AVAILABLE",target="`+m+`"`) {
					roles++
				}
			}
		}
		return roles == len(members)
	})
}
