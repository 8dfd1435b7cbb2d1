// SPDX-License-Identifier: Apache-2.0

package compat

import (
	"fmt"
	"net"
	"strconv"
	"strings"
	"testing"

	"github.com/rdsproxy/rdsproxy/test/daemonproc"
	"github.com/rdsproxy/rdsproxy/test/myserver"
)

var goMySQLModule = Module{"github.com/go-sql-driver/mysql", "v1.9.3"}

const (
	goMySQLUser     = "gotest"
	goMySQLPassword = "secret"
	goMySQLDatabase = "gotest"
)

// newMySQLStack starts two equal servers, one of them behind a daemon.
func newMySQLStack(t *testing.T, flavor myserver.Flavor) stack {
	t.Helper()
	o := myserver.Options{
		Flavor: flavor, Databases: []string{goMySQLDatabase},
		Users:  []myserver.User{{Name: goMySQLUser, Password: goMySQLPassword, Grants: []string{"ALL PRIVILEGES ON *.*"}}},
		Config: []string{"max_allowed_packet=64M"},
	}
	direct, behind := myserver.Start(t, o), myserver.Start(t, o)
	engine := "mysql"
	if flavor.IsMariaDB() {
		engine = "mariadb"
	}
	if !flavor.IsMariaDB() { // for drivers that have query attributes
		for _, my := range []*myserver.Server{direct, behind} {
			if err := my.Exec(t.Context(), "INSTALL COMPONENT 'file://component_query_attributes'"); err != nil {
				t.Fatal(err)
			}
		}
	}
	d := daemonproc.Start(t, daemonproc.Options{
		Writer: behind.Addr(), Users: users(goMySQLPassword, goMySQLUser),
		Group: daemonproc.Map{"engine": engine, "max_connections": 10, "max_connections_percent": 100},
		Top:   daemonproc.Map{"log": daemonproc.Map{"level": "info"}},
	})
	major, _, _ := strings.Cut(direct.Version, ".")
	version, err := strconv.Atoi(major)
	if err != nil {
		t.Fatal(err)
	}
	host, port := splitAddr(t, d.Addr)
	return stack{
		direct:  way{name: "directly", host: direct.Host, port: direct.Port},
		proxied: way{name: "through the proxy", host: host, port: port},
		version: version, server: string(flavor),
	}
}

// TestGoMySQL runs the suite of go-sql-driver/mysql. It leaves tests out without a
// word when it cannot reach its server, so one of those that need it has to pass.
func TestGoMySQL(t *testing.T) {
	if testing.Short() {
		t.Skip("takes minutes")
	}
	for _, flavor := range []myserver.Flavor{myserver.MariaDB, myserver.MySQL} {
		t.Run(string(flavor), func(t *testing.T) {
			suite{
				module:   goMySQLModule,
				packages: []string{"."},
				expected: "go-sql-driver-" + strings.ToLower(string(flavor)) + ".txt",
				needs:    Test{".", "TestCRUD"},
				skip:     "^TestConnectorReturnsTimeout$", // connects to an address on the Internet
				environment: func(w way) []string {
					return []string{
						"MYSQL_TEST_USER=" + goMySQLUser, "MYSQL_TEST_PASS=" + goMySQLPassword, "MYSQL_TEST_PROT=tcp",
						"MYSQL_TEST_ADDR=" + net.JoinHostPort(w.host, fmt.Sprint(w.port)), "MYSQL_TEST_DBNAME=" + goMySQLDatabase,
						"MYSQL_TEST_CONCURRENT=1",
					}
				},
			}.run(t, newMySQLStack(t, flavor))
		})
	}
}
