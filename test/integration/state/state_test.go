// SPDX-License-Identifier: Apache-2.0

package state

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/url"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgproto3"

	"github.com/rdsproxy/rdsproxy/test/daemonproc"
	"github.com/rdsproxy/rdsproxy/test/pgserver"
)

func TestMain(m *testing.M) { os.Exit(daemonproc.Main(m)) }

const (
	user     = "state_app"
	password = "it is a secret"
)

// TestScripts runs the scripts directly and through the proxy, among the noise of other
// clients. RDSPROXY_TEST_SCRIPT names one to run alone.
func TestScripts(t *testing.T) {
	only := os.Getenv("RDSPROXY_TEST_SCRIPT")
	pg := pgserver.Shared(t, 0)
	admin(t, pg, fmt.Sprintf("CREATE ROLE %s LOGIN PASSWORD '%s' CREATEDB", user, password), "GRANT pg_read_all_data TO "+user)
	t.Cleanup(func() { admin(t, pg, "DROP ROLE "+user) })
	for pool := 1; pool <= 2; pool++ {
		d := daemonproc.Start(t, daemonproc.Options{
			Writer: pg.Addr(), Users: []daemonproc.User{{Name: user, Password: password}},
			Group: daemonproc.Map{"max_connections": pool, "max_connections_percent": 100, "connection_borrow_timeout": "4s"},
		})
		for _, sc := range scripts(t) {
			if sc.pool == pool && (only == "" || sc.name == only) {
				t.Run(sc.name, func(t *testing.T) { compare(t, sc, pg, d) })
			}
		}
	}
}

// admin runs statements as the superuser, past the proxy.
func admin(t *testing.T, pg *pgserver.Server, sql ...string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second) // also used after the test's context
	defer cancel()
	if err := pg.Exec(ctx, sql...); err != nil {
		t.Fatal(err)
	}
}

// compare runs a script both ways, each in a database of its own.
func compare(t *testing.T, sc script, pg *pgserver.Server, d *daemonproc.Daemon) {
	t.Helper()
	expected := perform(t, sc, pg, directDSN(pg, "state_direct"), "state_direct", false)
	got := perform(t, sc, pg, d.DSN(user, password, "state_proxy"), "state_proxy", true)
	for i, st := range sc.steps {
		if expected[i] != got[i] && !st.differs {
			t.Errorf("%s\n--- directly\n%s\n--- through the proxy\n%s", st, expected[i], got[i])
		}
	}
}

func directDSN(pg *pgserver.Server, database string) string {
	u := url.URL{
		Scheme: "postgres", User: url.UserPassword(user, password), Host: pg.Addr(), Path: "/" + database,
		RawQuery: "sslmode=disable",
	}
	return u.String()
}

// perform runs a script in a fresh database and returns what its clients were told, for
// each step.
func perform(t *testing.T, sc script, pg *pgserver.Server, dsn, database string, noisy bool) (told []string) {
	t.Helper()
	drop := "DROP DATABASE IF EXISTS " + database + " WITH (FORCE)"
	admin(t, pg, drop, "CREATE DATABASE "+database+" OWNER "+user)
	defer admin(t, pg, drop)
	var n *noise
	if noisy {
		first, err := dial(t.Context(), dsn, nil)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := first.query(noiseSchema); err != nil {
			t.Fatal(err)
		}
		first.close()
		n = startNoise(t, dsn)
		defer n.stop()
	}
	clients := make(map[string]*client)
	defer func() {
		for _, c := range clients {
			if c != nil {
				c.close()
			}
		}
	}()
	for _, st := range sc.steps {
		n.beat()
		told = append(told, run(t, clients, dsn, st))
	}
	return told
}

// run runs one step; a client that is not there yet logs in.
func run(t *testing.T, clients map[string]*client, dsn string, st step) string {
	c, known := clients[st.client]
	if !known {
		var err error
		c, err = dial(t.Context(), dsn, loginOf(st))
		clients[st.client] = c
		if err != nil {
			return gone(err)
		}
	}
	if c == nil {
		return "the connection is gone"
	}
	var lines []string
	var err error
	switch st.verb {
	case "":
		lines, err = c.query(st.words)
	case "sync":
		lines, err = c.sync()
	case "login":
	case "quit":
		c.fe.Send(&pgproto3.Terminate{})
		err = c.fe.Flush()
		c.close()
		delete(clients, st.client)
	default:
		err = verbs[st.verb](c, strings.Fields(st.words))
	}
	if err != nil {
		lines = append(lines, gone(err))
		c.close()
		clients[st.client] = nil
	}
	return strings.Join(lines, "\n")
}

func (c *client) sync() ([]string, error) {
	c.fe.SendSync(&pgproto3.Sync{})
	return c.answer()
}

// loginOf reads start-up parameters; "_" in a value stands for a blank.
func loginOf(st step) map[string]string {
	if st.verb != "login" {
		return nil
	}
	parameters := make(map[string]string)
	for word := range strings.FieldsSeq(st.words) {
		name, value, _ := strings.Cut(word, "=")
		parameters[name] = strings.ReplaceAll(value, "\\_", " ")
	}
	return parameters
}

func gone(err error) string {
	if e, ok := errors.AsType[*pgconn.PgError](err); ok {
		return fmt.Sprintf("refused: %s %s", e.Code, e.Message)
	}
	if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
		return "the connection is closed"
	}
	panic(err) // a test's mistake, or a proxy that does not answer
}
