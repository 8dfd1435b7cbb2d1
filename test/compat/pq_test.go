// SPDX-License-Identifier: Apache-2.0

package compat

import (
	"fmt"
	"os"
	"path/filepath"
	"testing"

	"github.com/rdsproxy/rdsproxy/test/certs"
	"github.com/rdsproxy/rdsproxy/test/daemonproc"
	"github.com/rdsproxy/rdsproxy/test/pgserver"
)

var pqModule = Module{"github.com/lib/pq", "v1.12.3"}

// pqHBA are the lines of the suite's own pg_hba.conf.
var pqHBA = []string{
	"host      all pqgomd5      all md5",
	"host      all pqgopassword all password",
	"host      all pqgoscram    all scram-sha-256",
	"hostnossl all pqgossl      all reject",
	"hostnossl all pqgosslcert  all reject",
	"hostssl   all pqgossl      all trust",
	"hostssl   all pqgosslcert  all cert",
	"host      all all          all trust",
}

// newPQStack starts what the suite of lib/pq needs. Its main user logs in without
// a password there; the proxy asks for one, which a password file has.
func newPQStack(t *testing.T) stack {
	t.Helper()
	ssl := filepath.Join(copyOf(t, pqModule), "testdata", "ssl")
	pair := certs.Pair{CertPEM: mustRead(t, ssl, "server.crt"), KeyPEM: mustRead(t, ssl, "server.key")}
	roles := []pgserver.Role{
		{Name: "pqgo", Attributes: "SUPERUSER"},
		{Name: "pqgossl"},
		{Name: "pqgosslcert"},
		{Name: "pqgopassword"},
		{Name: "pqgoscram"},
		{Name: "pqgomd5", Encryption: "md5"},
	}
	var names []string
	for i := range roles {
		roles[i].Password = "wordpass"
		names = append(names, roles[i].Name)
	}
	start := func() *pgserver.Server {
		return pgserver.Start(t, pgserver.Options{
			TLS: &pair, ClientCA: mustRead(t, ssl, "root.crt"), HBA: pqHBA, Roles: roles, Databases: []string{"pqgo"},
		})
	}
	direct, behind := start(), start()
	d := daemonproc.Start(t, daemonproc.Options{
		Writer: behind.Addr(), Users: users("wordpass", names...), Certificate: &pair,
		Group: daemonproc.Map{"max_connections": 10},
		Top:   daemonproc.Map{"log": daemonproc.Map{"level": "info"}},
	})
	files := t.TempDir()
	if err := os.WriteFile(filepath.Join(files, "pgpass"), []byte("*:*:*:pqgo:wordpass\n*:*:*:pqgossl:wordpass\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	host, port := splitAddr(t, d.Addr)
	return stack{
		direct:  way{name: "directly", host: direct.Host, port: direct.Port, files: files},
		proxied: way{name: "through the proxy", host: host, port: port, files: files},
		version: direct.Installation.Version,
	}
}

// TestPQ runs the suite of lib/pq with parameters as text and in binary. Its tests
// of TLS begin by making sure that the server's pg_hba.conf refuses a user without
// TLS, which the proxy's endpoints do for all users or none (require_tls), and want
// host names that no machine has; pgx's tests of TLS run.
func TestPQ(t *testing.T) {
	if testing.Short() {
		t.Skip("takes minutes")
	}
	st := newPQStack(t)
	for _, binary := range []string{"no", "yes"} {
		t.Run("binary parameters "+binary, func(t *testing.T) {
			suite{
				module:   pqModule,
				packages: []string{".", "hstore"},
				expected: "lib-pq.txt",
				skip:     "^TestSSL",
				environment: func(w way) []string {
					return []string{
						"PGHOST=" + w.host, fmt.Sprintf("PGPORT=%d", w.port), "PGPASSFILE=" + filepath.Join(w.files, "pgpass"),
						"PQTEST_BINARY_PARAMETERS=" + binary,
					}
				},
			}.run(t, st)
		})
	}
}
