// SPDX-License-Identifier: Apache-2.0

package compat

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"github.com/rdsproxy/rdsproxy/test/daemonproc"
	"github.com/rdsproxy/rdsproxy/test/pgserver"
)

// step is one statement of one client, whose name may be followed by the
// parameters with which it logs in. want is the value of the only row, an
// SQLSTATE written as "error 12345", or "" where any success will do.
type step struct{ client, sql, want string }

// started is a client with settings of its own from the start.
const started = "a?statement_timeout=1234ms&options=-c work_mem=7MB"

// limits are what docs/compatibility.md says about clients that share connections
// without being noticed. A test that fails here means that the page is wrong.
var limits = []struct {
	name  string
	steps []step
}{
	{"settings changed behind a function are not seen", []step{
		{"a", "CREATE FUNCTION hidden(n text, v text) RETURNS text LANGUAGE sql AS 'SELECT set_config(n, v, false)'", ""},
		{"a", "SELECT hidden('work_mem', '9MB')", "9MB"},
		{"b", "SHOW work_mem", "9MB"},
	}},
	{"unless the server reports the setting", []step{
		{"a", "CREATE FUNCTION hidden2(n text, v text) RETURNS text LANGUAGE sql AS 'SELECT set_config(n, v, false)'", ""},
		{"a", "SELECT hidden2('TimeZone', 'Asia/Tokyo')", "Asia/Tokyo"},
		{"b", "SHOW TimeZone", "error 53300"},
		{"a", "DISCARD ALL", ""},
		{"b", "SHOW TimeZone", "UTC"},
	}},
	{"lastval of an earlier transaction is an error, never another client's", []step{
		{"a", "CREATE TABLE numbered (id serial, x text)", ""},
		{"a", "INSERT INTO numbered (x) VALUES ('a')", ""},
		{"a", "SELECT lastval()", "error 55000"},
		{"a", "DISCARD SEQUENCES", ""},
		{"b", "INSERT INTO numbered (x) VALUES ('b')", ""},
		{"a", "SELECT currval('numbered_id_seq')", "error 55000"},
	}},
	{"lastval of the same transaction is right", []step{
		{"a", "CREATE TABLE numbered2 (id serial, x text)", ""},
		{"a", "BEGIN", ""},
		{"a", "INSERT INTO numbered2 (x) VALUES ('a')", ""},
		{"a", "SELECT lastval()", "1"},
		{"a", "COMMIT", ""},
		{"a", "INSERT INTO numbered2 (x) VALUES ('a')", ""}, // pinned by now
		{"a", "SELECT lastval()", "2"},
	}},
	{"RESET of one start-up parameter gives the start-up value, SET TO DEFAULT the database's", []step{
		{started, "SHOW statement_timeout", "1234ms"},
		{started, "SET statement_timeout = '5s'", ""},
		{started, "RESET statement_timeout", ""},
		{started, "SHOW statement_timeout", "1234ms"},
		{started, "SET work_mem TO DEFAULT", ""},
		{started, "SHOW work_mem", "4MB"},
	}},
	{"RESET ALL and DISCARD ALL give the start-up value", []step{
		{started, "SET statement_timeout = '5s'", ""},
		{started, "RESET ALL", ""},
		{started, "SHOW statement_timeout", "1234ms"},
		{"b", "SHOW statement_timeout", "0"},
		{started, "SET work_mem = '5MB'", ""},
		{started, "DISCARD ALL", ""},
		{started, "SHOW work_mem", "7MB"},
		{"b", "SHOW work_mem", "4MB"},
	}},
	{"what can be set at the start only pins", []step{
		{"b", "SELECT 1", "1"},
		{"a?ignore_system_indexes=on", "SHOW ignore_system_indexes", "on"},
		{"b", "SELECT 1", "error 53300"},
	}},
	{"ALTER ROLE SET waits for new database connections", []step{
		{"a", "ALTER ROLE app SET work_mem = '11MB'", ""},
		{"b", "SHOW work_mem", "4MB"},
		{"b", "ALTER ROLE app RESET work_mem", ""},
	}},
	{"releases of one thing only keep the pin", []step{
		{"a", "SET work_mem = '5MB'", ""},
		{"a", "RESET work_mem", ""},
		{"b", "SELECT 1", "error 53300"},
		{"a", "RESET ALL", ""},
		{"b", "SELECT 1", "1"},
		{"a", "PREPARE p AS SELECT 1", ""},
		{"a", "DEALLOCATE p", ""},
		{"b", "SELECT 1", "error 53300"},
		{"a", "DEALLOCATE ALL", ""},
		{"b", "SELECT 1", "1"},
		{"a", "CREATE TEMP TABLE t (x int)", ""},
		{"a", "DROP TABLE t", ""},
		{"b", "SELECT 1", "error 53300"},
		{"a", "DISCARD TEMP", ""},
		{"b", "SELECT 1", "1"},
		{"a", "SET ROLE pg_monitor", ""},
		{"a", "RESET ROLE", ""},
		{"b", "SELECT 1", "error 53300"},
		{"a", "DISCARD ALL", ""},
		{"b", "SELECT 1", "1"},
	}},
	{"some pins last", []step{
		{"a", "SELECT setseed(0.5)", ""},
		{"a", "DISCARD ALL", ""},
		{"b", "SELECT 1", "error 53300"},
	}},
	{"a statement that does not parse pins nothing", []step{
		{"a", "FROBNICATE", "error 42601"},
		{"b", "SELECT 1", "1"},
	}},
}

func TestLimits(t *testing.T) {
	if testing.Short() {
		t.Skip("starts a server")
	}
	pg := pgserver.Start(t, pgserver.Options{
		Roles: []pgserver.Role{{Name: "app", Password: "secret", Attributes: "SUPERUSER"}}, Databases: []string{"limits"},
	})
	// One connection, so that a client is served exactly when no other is pinned.
	d := daemonproc.Start(t, daemonproc.Options{
		Writer: pg.Addr(), Users: users("secret", "app"),
		Group: daemonproc.Map{"max_connections": 1, "connection_borrow_timeout": "1s"},
	})
	for _, test := range limits {
		t.Run(test.name, func(t *testing.T) {
			clients := make(map[string]*pgx.Conn)
			for i, s := range test.steps {
				if clients[s.client] == nil {
					_, params, _ := strings.Cut(s.client, "?")
					clients[s.client] = connect(t, d.DSN("app", "secret", "limits", strings.FieldsFunc(params, func(r rune) bool { return r == '&' })...))
				}
				if got := answer(t, clients[s.client], s.sql); s.want != "" && got != s.want || s.want == "" && strings.HasPrefix(got, "error ") {
					t.Fatalf("step %d, %s: %s: %q, want %q", i, s.client, s.sql, got, s.want)
				}
			}
		})
	}
}

func connect(t *testing.T, dsn string) *pgx.Conn {
	t.Helper()
	cfg, err := pgx.ParseConfig(dsn)
	if err != nil {
		t.Fatal(err)
	}
	cfg.DefaultQueryExecMode = pgx.QueryExecModeSimpleProtocol
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	conn, err := pgx.ConnectConfig(ctx, cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), 2*time.Second) // the test's has ended
		defer cancel()
		conn.Close(ctx)
	})
	return conn
}

// answer gives the value of a query's only row, "" if there is none, or the
// SQLSTATE.
func answer(t *testing.T, conn *pgx.Conn, sql string) string {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	var v any
	switch err := conn.QueryRow(ctx, sql).Scan(&v); {
	case errors.Is(err, pgx.ErrNoRows):
		return ""
	case code(err) != "":
		return "error " + code(err)
	case err != nil:
		t.Fatalf("%s: %v", sql, err)
	}
	return fmt.Sprint(v)
}

// TestResultTypeChanges has a definition change between two executions of a
// prepared statement. On the database connection where it was prepared the server
// refuses it; on another one it is prepared anew, and the client is not told that
// the rows have another shape than it was told at first.
func TestResultTypeChanges(t *testing.T) {
	if testing.Short() {
		t.Skip("starts a server")
	}
	pg := pgserver.Start(t, pgserver.Options{
		Roles: []pgserver.Role{{Name: "app", Password: "secret", Attributes: "SUPERUSER"}}, Databases: []string{"limits"},
	})
	d := daemonproc.Start(t, daemonproc.Options{
		Writer: pg.Addr(), Users: users("secret", "app"), Group: daemonproc.Map{"max_connections": 2},
	})
	dsn := d.DSN("app", "secret", "limits")
	a, b := connect(t, dsn), connect(t, dsn)
	answer(t, a, "CREATE TABLE shape (x int); INSERT INTO shape VALUES (1)")
	if _, err := a.Prepare(t.Context(), "s", "SELECT * FROM shape"); err != nil {
		t.Fatal(err)
	}
	execute := func() (columns int, err error) {
		r := a.PgConn().ExecPrepared(t.Context(), "s", nil, nil, nil).Read()
		if len(r.Rows) > 0 {
			columns = len(r.Rows[0])
		}
		return columns, r.Err
	}
	if n, err := execute(); n != 1 || err != nil {
		t.Fatalf("%d columns, %v", n, err)
	}
	answer(t, b, "BEGIN") // on the connection that has the statement
	answer(t, b, "ALTER TABLE shape ADD COLUMN y text")
	answer(t, b, "COMMIT")
	if _, err := execute(); code(err) != "0A000" {
		t.Errorf("on the same connection: %v", err)
	}
	answer(t, b, "BEGIN")
	if n, err := execute(); n != 2 || err != nil {
		t.Errorf("on another connection: %d columns, %v", n, err)
	}
	answer(t, b, "COMMIT")
	// A client that prepares the statement anew gets what holds now.
	if err := a.Deallocate(t.Context(), "s"); err != nil {
		t.Fatal(err)
	}
	sd, err := a.Prepare(t.Context(), "s", "SELECT * FROM shape")
	if err != nil || len(sd.Fields) != 2 {
		t.Fatalf("%v, %v", sd, err)
	}
	if n, err := execute(); n != 2 || err != nil {
		t.Errorf("prepared anew: %d columns, %v", n, err)
	}
}

func code(err error) string {
	if e, ok := errors.AsType[*pgconn.PgError](err); ok {
		return e.Code
	}
	return ""
}
