// SPDX-License-Identifier: Apache-2.0

package failover

import (
	"context"
	"os"
	"strconv"
	"testing"
	"time"

	"github.com/rdsproxy/rdsproxy/test/daemonproc"
	"github.com/rdsproxy/rdsproxy/test/history"
	"github.com/rdsproxy/rdsproxy/test/myserver"
	"github.com/rdsproxy/rdsproxy/test/replicas"
	"github.com/rdsproxy/rdsproxy/test/writers"
)

// runner lets daemonproc.Main run myserver.Main, which runs the tests.
func TestMain(m *testing.M) { os.Exit(myserver.Main(runner{m})) }

type runner struct{ m *testing.M }

func (r runner) Run() int { return daemonproc.Main(r.m) }

// poolSize is how many database connections the daemon may have: fewer than clients.
const poolSize = 30

// stack is a cluster with a daemon in front of it.
type stack struct {
	cluster *replicas.Cluster
	daemon  *daemonproc.Daemon
	// In all scenarios so far: how many clients have written, and what.
	writers    int
	operations []history.Operation
}

func newStack(t *testing.T, e replicas.Engine) *stack {
	t.Helper()
	if daemonproc.Direct() {
		t.Skip("RDSPROXY_TEST_DIRECT=1: there is no proxy")
	}
	s := &stack{cluster: replicas.Start(t, replicas.Options{Engine: e, Synchronous: true})}
	var members []string
	for _, m := range s.cluster.Members {
		members = append(members, m.Addr())
	}
	engine := map[replicas.Engine]string{replicas.PostgreSQL: "postgresql", replicas.MariaDB: "mariadb", replicas.MySQL: "mysql"}[e]
	s.daemon = daemonproc.Start(t, daemonproc.Options{
		Writer: members[0],
		Users:  []daemonproc.User{{Name: replicas.User, Password: replicas.Password}},
		Group: daemonproc.Map{
			"engine": engine, "members": members, "max_connections": poolSize, "max_connections_percent": 100,
			"connection_borrow_timeout": "60s",
		},
		Top: daemonproc.Map{"log": daemonproc.Map{"level": "info"}},
	})
	if err := s.run(t.Context(), writers.CreateTable); err != nil {
		t.Fatal(err)
	}
	return s
}

// dial is how clients come to the daemon.
func (s *stack) dial() (func(ctx context.Context) (writers.Conn, error), func(error) writers.Told) {
	if s.cluster.Engine == replicas.PostgreSQL {
		return writers.Postgres(s.daemon.DSN(replicas.User, replicas.Password, replicas.Database), nil), writers.JudgePostgres
	}
	return writers.MySQL(s.daemon.Addr, replicas.User, replicas.Password, replicas.Database, nil), writers.JudgeMySQL
}

// run runs a statement through the daemon, on a connection of its own.
func (s *stack) run(ctx context.Context, sql string) error {
	dial, _ := s.dial()
	c, err := dial(ctx)
	if err != nil {
		return err
	}
	defer c.Close()
	return c.Run(ctx, sql)
}

// table gives the ids that a member has.
func (s *stack) table(ctx context.Context, m *replicas.Member) (ids []int64, err error) {
	words, err := m.Column(ctx, "SELECT id FROM "+writers.Table)
	if err != nil {
		return nil, err
	}
	for _, word := range words {
		id, err := strconv.ParseInt(word, 10, 64)
		if err != nil {
			return nil, err
		}
		ids = append(ids, id)
	}
	return ids, nil
}

// eventually polls until cond holds.
func eventually(t *testing.T, what string, limit time.Duration, cond func() bool) {
	t.Helper()
	deadline := time.NewTimer(limit)
	defer deadline.Stop()
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for !cond() {
		select {
		case <-deadline.C:
			t.Fatalf("not within %s: %s", limit, what)
		case <-tick.C:
		}
	}
}

// number is taken from the environment.
func number(t *testing.T, name string, standard int) int {
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
