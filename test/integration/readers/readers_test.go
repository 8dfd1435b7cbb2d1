// SPDX-License-Identifier: Apache-2.0

package readers

import (
	"os"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/rdsproxy/rdsproxy/test/daemonproc"
	"github.com/rdsproxy/rdsproxy/test/replicas"
)

func TestMain(m *testing.M) { os.Exit(daemonproc.Main(m)) }

// TestReadOnlyEndpoint: clients read from the reader, never from the writer, and keep
// their connections when the two change places.
func TestReadOnlyEndpoint(t *testing.T) {
	if daemonproc.Direct() {
		t.Skip("RDSPROXY_TEST_DIRECT=1: there is no proxy")
	}
	cluster := replicas.Start(t, replicas.Options{Engine: replicas.PostgreSQL, Synchronous: true})
	var members []string
	for _, m := range cluster.Members {
		members = append(members, m.Addr())
	}
	d := daemonproc.Start(t, daemonproc.Options{
		Writer:   members[0],
		Users:    []daemonproc.User{{Name: replicas.User, Password: replicas.Password}},
		Endpoint: daemonproc.Map{"role": "read_only", "max_replica_lag": "30s"},
		Group:    daemonproc.Map{"members": members, "connection_borrow_timeout": "60s"},
	})
	c, err := pgx.Connect(t.Context(), d.DSN(replicas.User, replicas.Password, replicas.Database))
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close(t.Context())
	// where tells which server has answered, and whether it is a reader.
	where := func() (address string, reader bool) {
		t.Helper()
		if err := c.QueryRow(t.Context(), "SELECT host(inet_server_addr()), pg_is_in_recovery()").Scan(&address, &reader); err != nil {
			t.Fatal(err)
		}
		return address, reader
	}
	first, reader := where()
	if !reader {
		t.Errorf("%s, which is the writer, serves the read-only endpoint", first)
	}
	if _, err := c.Exec(t.Context(), "CREATE TABLE no (v INT)"); err == nil || !strings.Contains(err.Error(), "25006") {
		t.Errorf("a write: %v", err)
	}
	if err := cluster.Switchover(t.Context(), cluster.Readers()[0]); err != nil {
		t.Fatal(err)
	}
	limit := time.Now().Add(60 * time.Second)
	for {
		var address string
		var reader bool
		err := c.QueryRow(t.Context(), "SELECT host(inet_server_addr()), pg_is_in_recovery()").Scan(&address, &reader)
		if c.IsClosed() {
			t.Fatalf("the client has lost its connection: %v", err)
		}
		if err == nil && reader && address != first {
			break
		}
		if time.Now().After(limit) {
			t.Fatalf("served by %s, reader %v, %v", address, reader, err)
		}
	}
	if second, reader := where(); second == first || !reader {
		t.Errorf("served by %s, reader %v", second, reader)
	}
	checkFigures(t, d, members)
}

// checkFigures: each member is shown with its role, and no figure is there twice.
func checkFigures(t *testing.T, d *daemonproc.Daemon, members []string) {
	t.Helper()
	status, text, err := d.Get("/metrics")
	if err != nil || status != 200 {
		t.Fatalf("/metrics: %d, %v", status, err)
	}
	seen := make(map[string]bool)
	for line := range strings.Lines(text) {
		series, _, _ := strings.Cut(line, " ")
		if seen[series] && !strings.HasPrefix(line, "#") {
			t.Errorf("%s is there twice", series)
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
	if roles != len(members) {
		t.Errorf("%d members are shown as well:\n%s", roles, text)
	}
}
