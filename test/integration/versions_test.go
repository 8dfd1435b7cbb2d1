// SPDX-License-Identifier: Apache-2.0

package integration

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/rdsproxy/rdsproxy/test/daemonproc"
	"github.com/rdsproxy/rdsproxy/test/pgserver"
)

// TestServerVersions runs a little of everything on each version of PostgreSQL.
func TestServerVersions(t *testing.T) {
	for _, v := range pgserver.Versions() {
		t.Run(fmt.Sprint(v), func(t *testing.T) {
			s := newStack(t, v, daemonproc.Options{Group: connections(2)})
			clients := []*pgx.Conn{s.connect(t), s.connect(t), s.connect(t, "max_protocol_version=3.2")}
			if got, want := value(t, clients[0], "SHOW server_version_num"), fmt.Sprint(s.pg.Installation.Version); !strings.HasPrefix(got, want) {
				t.Errorf("server_version_num %s, want %s…", got, want)
			}
			run(t, clients[0], "CREATE TABLE v (who int, x text)")
			for round := range 3 {
				for i, conn := range clients {
					ctx := limit(t, time.Minute)
					for _, mode := range queryModes {
						if _, err := conn.Exec(ctx, "INSERT INTO v VALUES ($1, $2)", mode, i, mode.String()); err != nil {
							t.Fatalf("round %d, client %d, %s: %v", round, i, mode, err)
						}
					}
					if _, err := conn.CopyFrom(ctx, pgx.Identifier{"v"}, []string{"who", "x"}, pgx.CopyFromRows([][]any{{i, "copied"}})); err != nil {
						t.Fatal(err)
					}
					_, err := conn.Exec(ctx, "SELECT 1/$1::int", 0)
					wantCode(t, err, "22012")
				}
			}
			if got := value(t, clients[1], "SELECT count(*) || ' ' || count(DISTINCT who) FROM v"); got != "54 3" {
				t.Errorf("got %s, want 54 3", got)
			}
			done := background(t.Context(), clients[2], "SELECT pg_sleep(60)")
			s.sleeping(t, s.observer(t), 1)
			if err := clients[2].PgConn().CancelRequest(limit(t, 10*time.Second)); err != nil {
				t.Fatal(err)
			}
			wantCode(t, await(t, "the cancelled query ends", done), "57014")
			run(t, clients[2], "SET work_mem = '7MB'", "DISCARD ALL", "SELECT 1")
		})
	}
}

// TestLongCancelKey is protocol 3.2: the key is longer than 4 bytes, whatever the
// database behind speaks.
func TestLongCancelKey(t *testing.T) {
	s := newStack(t, 0, daemonproc.Options{Group: connections(1)})
	s.daemon.RequireProxy(t)
	conn := s.connect(t, "max_protocol_version=3.2", "min_protocol_version=3.2")
	if n := len(conn.PgConn().SecretKey()); n <= 4 || n > 256 {
		t.Errorf("a key of %d bytes", n)
	}
	if n := len(s.connect(t).PgConn().SecretKey()); n != 4 {
		t.Errorf("a key of %d bytes with protocol 3.0", n)
	}
}
