// SPDX-License-Identifier: Apache-2.0

package integration

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"strconv"
	"sync/atomic"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"github.com/rdsproxy/rdsproxy/test/daemonproc"
	"github.com/rdsproxy/rdsproxy/test/pgserver"
)

func TestMain(m *testing.M) { os.Exit(daemonproc.Main(m)) }

// stack is a database, a role that owns it, and a daemon in front of both.
type stack struct {
	pg     *pgserver.Server
	daemon *daemonproc.Daemon
	opts   daemonproc.Options

	user, password, database string
}

var stackNumber atomic.Int64

// limit keeps a hanging test from hanging the run.
func limit(t testing.TB, d time.Duration) context.Context {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), d)
	t.Cleanup(cancel)
	return ctx
}

// connections returns settings for a budget of n database connections.
func connections(n int) daemonproc.Map {
	return daemonproc.Map{"max_connections": n, "max_connections_percent": 100}
}

// newStack starts a daemon in front of the shared server of this version.
func newStack(t *testing.T, version int, o daemonproc.Options) *stack {
	t.Helper()
	return newStackOn(t, pgserver.Shared(t, version), o)
}

// newStackOn makes a role and a database of its own on pg and starts a daemon that
// serves them, with the settings of o.
func newStackOn(t *testing.T, pg *pgserver.Server, o daemonproc.Options) *stack {
	t.Helper()
	s := &stack{pg: pg}
	s.makeOwner(t, "CREATEDB")
	o.Writer = cmpOr(o.Writer, pg.Addr())
	o.Users = append([]daemonproc.User{{Name: s.user, Password: s.password}}, o.Users...)
	s.opts = o
	s.daemon = daemonproc.Start(t, o)
	return s
}

func cmpOr(a, b string) string {
	if a != "" {
		return a
	}
	return b
}

// makeOwner makes the role and the database, gone when the test ends.
func (s *stack) makeOwner(t *testing.T, attributes string) {
	t.Helper()
	n := stackNumber.Add(1)
	s.user, s.password, s.database = fmt.Sprintf("App%d", n), fmt.Sprintf("secret %d's", n), fmt.Sprintf("shop%d", n)
	s.admin(t,
		fmt.Sprintf(`CREATE ROLE %q LOGIN PASSWORD '%s' %s`, s.user, "secret "+strconv.FormatInt(n, 10)+"''s", attributes),
		fmt.Sprintf(`CREATE DATABASE %q OWNER %q`, s.database, s.user))
	t.Cleanup(func() {
		err := s.pg.Exec(context.Background(), // the test's context has ended
			fmt.Sprintf(`DROP DATABASE IF EXISTS %q WITH (FORCE)`, s.database),
			fmt.Sprintf(`DROP ROLE IF EXISTS %q`, s.user))
		if err != nil {
			t.Error(err)
		}
	})
}

// admin runs statements as the superuser on the database itself, past the proxy.
func (s *stack) admin(t *testing.T, sql ...string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second) // also used after the test's context
	defer cancel()
	if err := s.pg.Exec(ctx, sql...); err != nil {
		t.Fatal(err)
	}
}

// dsn is the connection URL of the role through the proxy.
func (s *stack) dsn(params ...string) string {
	return s.daemon.DSN(s.user, s.password, s.database, params...)
}

// connect opens a client connection through the proxy, closed when the test ends.
func (s *stack) connect(t *testing.T, params ...string) *pgx.Conn {
	t.Helper()
	conn, err := s.tryConnect(t, s.dsn(params...))
	if err != nil {
		t.Fatal(err)
	}
	return conn
}

func (s *stack) tryConnect(t *testing.T, dsn string) (*pgx.Conn, error) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	conn, err := pgx.Connect(ctx, dsn)
	if err != nil {
		return nil, err
	}
	t.Cleanup(func() { closeNow(conn) })
	return conn, nil
}

// closeNow closes a connection without waiting for a peer that may be stuck.
func closeNow(conn *pgx.Conn) {
	ctx, cancel := context.WithTimeout(context.Background(), 2*time.Second) // runs after the test's context
	defer cancel()
	conn.Close(ctx)
}

// observer is a superuser's connection to the database itself.
func (s *stack) observer(t *testing.T) *pgx.Conn {
	t.Helper()
	conn, err := s.pg.Connect(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { closeNow(conn) })
	return conn
}

// backends counts the role's connections on the database itself.
func (s *stack) backends(t *testing.T, watch *pgx.Conn, where string) int {
	t.Helper()
	var n int
	err := watch.QueryRow(t.Context(), "SELECT count(*) FROM pg_stat_activity WHERE usename = $1 AND application_name <> 'rdsproxy probe' AND "+where, s.user).Scan(&n)
	if err != nil {
		t.Fatal(err)
	}
	return n
}

// value runs a query that has one row with one column, as text.
func value(t *testing.T, conn *pgx.Conn, sql string, args ...any) string {
	t.Helper()
	v, err := tryValue(limit(t, 30*time.Second), conn, sql, args...)
	if err != nil {
		t.Fatalf("%s: %v", sql, err)
	}
	return v
}

func tryValue(ctx context.Context, conn *pgx.Conn, sql string, args ...any) (string, error) {
	var v any
	if err := conn.QueryRow(ctx, sql, args...).Scan(&v); err != nil {
		return "", err
	}
	return fmt.Sprint(v), nil
}

func run(t *testing.T, conn *pgx.Conn, sql ...string) {
	t.Helper()
	for _, q := range sql {
		if _, err := conn.Exec(limit(t, 30*time.Second), q); err != nil {
			t.Fatalf("%s: %v", q, err)
		}
	}
}

// code is the SQLSTATE in err, or "".
func code(err error) string {
	if pgErr, ok := errors.AsType[*pgconn.PgError](err); ok {
		return pgErr.Code
	}
	return ""
}

// wantCode fails the test unless err carries the SQLSTATE.
func wantCode(t *testing.T, err error, want string) {
	t.Helper()
	if code(err) != want {
		t.Fatalf("got %v, want SQLSTATE %s", err, want)
	}
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

// sizeMB reads a size from the environment.
func sizeMB(t *testing.T, name string, standard int) int {
	t.Helper()
	text := os.Getenv(name)
	if text == "" {
		return standard
	}
	n, err := strconv.Atoi(text)
	if err != nil || n < 1 {
		t.Fatalf("%s=%s: want a number of megabytes", name, text)
	}
	return n
}

// message frames a body for the wire, for what no driver would send.
func message(kind byte, body string) []byte {
	return append(binary.BigEndian.AppendUint32([]byte{kind}, uint32(len(body)+4)), body...)
}
