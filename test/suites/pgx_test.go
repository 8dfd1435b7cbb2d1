// SPDX-License-Identifier: Apache-2.0

package suites

import (
	"os"
	"strings"
	"testing"
	"time"

	"github.com/rdsproxy/rdsproxy/test/certs"
	"github.com/rdsproxy/rdsproxy/test/daemonproc"
	"github.com/rdsproxy/rdsproxy/test/pgserver"
)

func TestMain(m *testing.M) { os.Exit(daemonproc.Main(m)) }

var pgx = suite{
	module:  "github.com/jackc/pgx/v5",
	version: "v5.12.0",
	packages: []string{
		".", "./pgconn/...", "./pgxpool/...", "./pgtype/...", "./stdlib/...", "./tracelog/...", "./multitracer/...",
	},
	skip: map[string]string{
		"^TestConnCheckConn$":                    processID + "; it waits two minutes for that",
		"^TestConnCopyFromConnectionTerminated$": processID + "; it waits two minutes for that",
		"^TestCancelRequestContextWatcherHandler$": "it fails now and then on the database, too: a cancel request of its own " +
			"comes late and hits the next query",
	},
}

// Why a test may have another outcome through the proxy. docs/compatibility.md tells
// users the same.
const (
	processID = "it ends its connection with pg_terminate_backend of the process id that it got at the login, which is the " +
		"proxy's and not that of a backend"
	preparedStatements = "it looks for its statement in pg_prepared_statements, where the database connection's statements are, " +
		"under the proxy's names"
)

// pgxDifferences are the tests with another outcome through the proxy.
var pgxDifferences = map[string]string{
	"TestFatalRxError":                                                 processID,
	"TestFatalTxError":                                                 processID,
	"pgconn TestConnPing":                                              processID,
	"pgxpool TestPoolAcquireChecksIdleConns":                           processID,
	"stdlib TestCheckIdleConn":                                         processID,
	"TestPrepareHandlesTimeoutBetweenParseAndDescribe":                 preparedStatements,
	"TestPrepareWithDigestedNameHandlesTimeoutBetweenParseAndDescribe": preparedStatements,
	"stdlib TestConnMultiplePrepareAndDeallocate":                      preparedStatements,
	"stdlib TestConnMultiplePrepareAndDeallocate/cache_describe":       preparedStatements,
	"stdlib TestConnMultiplePrepareAndDeallocate/cache_statement":      preparedStatements,
	"stdlib TestConnMultiplePrepareAndDeallocate/describe_exec":        preparedStatements,
	"stdlib TestConnMultiplePrepareAndDeallocate/exec":                 preparedStatements,
	"stdlib TestConnMultiplePrepareAndDeallocate/simple_protocol":      preparedStatements,
}

// pgxRoles are the roles that the suite expects; the names are its own.
var pgxRoles = []pgserver.Role{
	{Name: "pgx_test", Password: "secret", Attributes: "SUPERUSER"},
	{Name: "pgx_ssl", Password: "secret", Attributes: "SUPERUSER"},
	{Name: "pgx_md5", Password: "secret", Encryption: "md5", Attributes: "SUPERUSER"},
	{Name: "pgx_scram", Password: "secret", Attributes: "SUPERUSER"},
	{Name: ` tricky, ' } " \ test user `, Password: "secret", Attributes: "SUPERUSER"},
}

// pgxBudget is the number of database connections that the suite's sessions share.
const pgxBudget = 10

// TestPGX runs the suite of pgx v5.
func TestPGX(t *testing.T) {
	if testing.Short() {
		t.Skip("takes minutes")
	}
	ca, err := certs.NewAuthority("test authority")
	if err != nil {
		t.Fatal(err)
	}
	pair, err := ca.Issue(certs.Request{})
	if err != nil {
		t.Fatal(err)
	}
	root, err := ca.Write(t.TempDir(), "root")
	if err != nil {
		t.Fatal(err)
	}
	pg := pgserver.Start(t, pgserver.Options{
		Version:   18,
		TLS:       &pair,
		Roles:     pgxRoles,
		Databases: []string{"pgx_test"},
		HBA:       []string{"host all pgx_md5 all md5", "host all all all scram-sha-256"},
	})
	extend(t, pg)
	var users []daemonproc.User
	for _, r := range pgxRoles {
		users = append(users, daemonproc.User{Name: r.Name, Password: r.Password})
	}
	d := daemonproc.Start(t, daemonproc.Options{
		Writer:      pg.Addr(),
		Users:       users,
		Certificate: &pair,
		Group:       daemonproc.Map{"max_connections": pgxBudget, "connection_borrow_timeout": "10s"},
		Top:         daemonproc.Map{"log": daemonproc.Map{"level": "info"}},
	})
	ctx := limit(t, 15*time.Minute)
	direct, _ := pgx.run(ctx, t, pgxEnvironment(pg.DSN, root)...)
	proxied, output := pgx.run(ctx, t, pgxEnvironment(d.DSN, root)...)
	compare(t, direct, proxied, output, pgxDifferences)
}

// extend makes what the suite expects in its database.
func extend(t *testing.T, pg *pgserver.Server) {
	t.Helper()
	conn, err := pg.ConnectTo(t.Context(), "pgx_test")
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close(t.Context())
	for _, sql := range []string{"CREATE EXTENSION hstore", "CREATE EXTENSION ltree", "CREATE DOMAIN uint64 AS numeric(20,0)"} {
		if _, err := conn.Exec(t.Context(), sql); err != nil {
			t.Fatal(err)
		}
	}
}

func pgxEnvironment(dsn func(user, password, database string, params ...string) string, root string) []string {
	onName := func(s string) string { return strings.Replace(s, "127.0.0.1", "localhost", 1) }
	tls := []string{"sslmode=verify-full", "sslrootcert=" + root}
	return []string{
		"PGX_TEST_DATABASE=" + dsn("pgx_test", "secret", "pgx_test"),
		"PGX_TEST_TCP_CONN_STRING=" + dsn("pgx_test", "secret", "pgx_test"),
		"PGX_TEST_PGBOUNCER_CONN_STRING=" + dsn("pgx_test", "secret", "pgx_test"),
		"PGX_TEST_MD5_PASSWORD_CONN_STRING=" + dsn("pgx_md5", "secret", "pgx_test"),
		"PGX_TEST_SCRAM_PASSWORD_CONN_STRING=" + dsn("pgx_scram", "secret", "pgx_test"),
		"PGX_TEST_SCRAM_PLUS_CONN_STRING=" + onName(dsn("pgx_ssl", "secret", "pgx_test", append(tls, "channel_binding=require")...)),
		"PGX_TEST_TLS_CONN_STRING=" + onName(dsn("pgx_ssl", "secret", "pgx_test", tls...)),
	}
}
