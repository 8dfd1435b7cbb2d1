// SPDX-License-Identifier: Apache-2.0

package compat

import (
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"testing"

	"github.com/rdsproxy/rdsproxy/test/certs"
	"github.com/rdsproxy/rdsproxy/test/daemonproc"
	"github.com/rdsproxy/rdsproxy/test/pgserver"
)

var pgx5Module = Module{"github.com/jackc/pgx/v5", "v5.12.0"}

// pgx5 leaves out packages whose tests talk to no database.
var pgx5 = suite{
	module: pgx5Module,
	packages: []string{
		".", "pgconn", "pgconn/ctxwatch", "pgtype", "pgtype/zeronull", "pgxpool", "stdlib", "multitracer", "tracelog",
	},
	expected:    "pgx-v5.txt",
	environment: pgx5Environment,
}

// pgx5Environment has the connection strings of pgx's own continuous integration.
// Not served are a Unix-domain socket, which the daemon does not listen on, and
// OAuth, for which the server needs a module that has to be compiled.
func pgx5Environment(w way) []string {
	ca := filepath.Join(w.files, "ca.pem")
	conn := func(host, user, more string) string {
		return fmt.Sprintf("host=%s port=%d user=%s password=secret dbname=pgx_test %s", host, w.port, user, more)
	}
	return []string{
		"PGX_TEST_DATABASE=" + conn(w.host, "pgx_md5", ""),
		"PGX_TEST_TCP_CONN_STRING=" + conn(w.host, "pgx_md5", ""),
		"PGX_TEST_PGBOUNCER_CONN_STRING=" + conn(w.host, "pgx_md5", ""),
		"PGX_TEST_MD5_PASSWORD_CONN_STRING=" + conn(w.host, "pgx_md5", ""),
		"PGX_TEST_PLAIN_PASSWORD_CONN_STRING=" + conn(w.host, "pgx_pw", ""),
		"PGX_TEST_SCRAM_PASSWORD_CONN_STRING=" + conn(w.host, "pgx_scram", "channel_binding=disable"),
		"PGX_TEST_SCRAM_PLUS_CONN_STRING=" + conn("localhost", "pgx_ssl", "sslmode=verify-full sslrootcert="+ca+" channel_binding=require"),
		"PGX_TEST_TLS_CONN_STRING=" + conn("localhost", "pgx_ssl", "sslmode=verify-full sslrootcert="+ca+" channel_binding=disable"),
		"PGX_TEST_TLS_CLIENT_CONN_STRING=" + fmt.Sprintf("host=localhost port=%d user=pgx_sslcert sslmode=verify-full sslrootcert=%s sslcert=%s sslkey=%s dbname=pgx_test",
			w.port, ca, filepath.Join(w.files, "pgx_sslcert.crt"), filepath.Join(w.files, "pgx_sslcert.key")),
		"PGX_SSL_PASSWORD=certpw",
	}
}

// pgx5HBA are the lines of the suite's own pg_hba.conf.
var pgx5HBA = []string{
	"host    all pgx_md5     127.0.0.1/32 md5",
	"host    all pgx_scram   127.0.0.1/32 scram-sha-256",
	"host    all pgx_pw      127.0.0.1/32 password",
	"hostssl all pgx_ssl     127.0.0.1/32 scram-sha-256",
	"hostssl all pgx_sslcert 127.0.0.1/32 cert",
	"host    all postgres    127.0.0.1/32 scram-sha-256",
}

// pgx5Certificates gives the folder with the certificates that the suite's own
// program makes.
func pgx5Certificates(t *testing.T, dir string) string {
	t.Helper()
	folder := filepath.Join(dir, "testsetup")
	if exists(filepath.Join(folder, "pgx_sslcert.crt")) {
		return folder
	}
	if out, err := goCommand(t.Context(), folder, "run", "generate_certs.go").CombinedOutput(); err != nil {
		t.Fatalf("certificates: %v\n%s", err, out)
	}
	return folder
}

// newPgxStack starts what the suites of pgx need.
func newPgxStack(t *testing.T, version int) stack {
	t.Helper()
	dir := copyOf(t, pgx5Module)
	files := pgx5Certificates(t, dir)
	pair := certs.Pair{CertPEM: mustRead(t, files, "localhost.crt"), KeyPEM: mustRead(t, files, "localhost.key")}
	start := func() *pgserver.Server {
		pg := pgserver.Start(t, pgserver.Options{
			Version: version, TLS: &pair, ClientCA: mustRead(t, files, "ca.pem"), HBA: pgx5HBA,
			Databases: []string{"pgx_test"},
			Settings:  map[string]string{"wal_level": "logical"},
		})
		psql(t, pg, "pgx_test", filepath.Join(dir, "testsetup", "postgresql_setup.sql"))
		return pg
	}
	direct, behind := start(), start()
	names := users("secret", "pgx_md5", "pgx_scram", "pgx_pw", "pgx_ssl", "pgx_sslcert", " tricky, ' } \" \\ test user ")
	names[0].Settings = daemonproc.Map{"client_password_auth_type": "POSTGRES_MD5"}
	d := daemonproc.Start(t, daemonproc.Options{
		Writer: behind.Addr(), Users: names, Certificate: &pair,
		Group: daemonproc.Map{"max_connections": 10},
		Top:   daemonproc.Map{"log": daemonproc.Map{"level": "info"}},
	})
	host, port := splitAddr(t, d.Addr)
	return stack{
		direct:  way{name: "directly", host: direct.Host, port: direct.Port, files: files},
		proxied: way{name: "through the proxy", host: host, port: port, files: files},
		version: direct.Installation.Version,
	}
}

func splitAddr(t *testing.T, addr string) (string, int) {
	t.Helper()
	host, text, err := net.SplitHostPort(addr)
	if err != nil {
		t.Fatal(err)
	}
	port, err := strconv.Atoi(text)
	if err != nil {
		t.Fatal(err)
	}
	return host, port
}

func mustRead(t *testing.T, dir, name string) []byte {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(dir, name))
	if err != nil {
		t.Fatal(err)
	}
	return text
}

// TestPgx5 runs the suite on the distribution's PostgreSQL and on 18, the first
// that speaks protocol 3.2.
func TestPgx5(t *testing.T) {
	if testing.Short() {
		t.Skip("takes minutes")
	}
	for _, version := range []int{0, 18} {
		t.Run(fmt.Sprint(version), func(t *testing.T) { pgx5.run(t, newPgxStack(t, version)) })
	}
}
