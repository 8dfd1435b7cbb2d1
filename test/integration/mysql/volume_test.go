// SPDX-License-Identifier: Apache-2.0

package mysql

import (
	"bytes"
	"context"
	"encoding/binary"
	"fmt"
	"io"
	"net"
	"os/exec"
	"strings"
	"testing"
	"time"

	"github.com/rdsproxy/rdsproxy/pkg/wire/mysql"
	"github.com/rdsproxy/rdsproxy/test/daemonproc"
	"github.com/rdsproxy/rdsproxy/test/myserver"
)

const mebibyte = 1 << 20

// grown tells by how many megabytes the daemon is larger than it was.
func (s *stack) grown(t *testing.T, before int64) int64 {
	t.Helper()
	return (s.daemon.ResidentBytes(t) - before) / mebibyte
}

// TestDumpAndRestore pipes mysqldump into a client, both through the proxy, and
// compares both databases.
func TestDumpAndRestore(t *testing.T) {
	megabytes := size(t, "RDSPROXY_TEST_DUMP_MB", 20)
	flavors(t, func(t *testing.T, flavor myserver.Flavor) {
		s := newStack(t, flavor, daemonproc.Options{Group: connections(4), Top: daemonproc.Map{"log": daemonproc.Map{"level": "info"}}})
		s.daemon.RequireProxy(t)
		s.admin(t, "DROP DATABASE IF EXISTS big", "DROP DATABASE IF EXISTS copied", "CREATE DATABASE big", "CREATE DATABASE copied")
		c := s.connect(t)
		run(t, c, "USE big",
			"CREATE TABLE t (id BIGINT PRIMARY KEY, s TEXT CHARACTER SET utf8mb4, b BLOB, d DECIMAL(20,7), at DATETIME(6), j JSON)",
			"CREATE VIEW v AS SELECT id, s FROM t WHERE id % 2 = 0",
			"CREATE PROCEDURE p() SELECT COUNT(*) FROM t",
			"CREATE TABLE `odd ``name` (e ENUM('a', 'b'), n INT NULL)",
			"INSERT INTO `odd ``name` VALUES ('a', NULL), ('b', 5)")
		if flavor.IsMariaDB() {
			run(t, c, "SET max_recursive_iterations = 100000")
		} else {
			run(t, c, "SET cte_max_recursion_depth = 100000")
		}
		const batch = 500 // rows of about one kilobyte
		for i := 0; i < megabytes*1000; i += batch {
			run(t, c, fmt.Sprintf(`INSERT INTO t SELECT id, CONCAT('grün 😀', REPEAT(SHA2(id, 256), 8)), UNHEX(REPEAT(SHA2(id * 7, 256), 4)), id / 7,
				TIMESTAMP '2026-01-01 00:00:00' + INTERVAL id SECOND, JSON_OBJECT('id', id) FROM
				(WITH RECURSIVE r (id) AS (SELECT %d UNION ALL SELECT id + 1 FROM r WHERE id < %d) SELECT id FROM r) q`, i, i+batch-1))
		}
		before := s.daemon.ResidentBytes(t)
		dumper, restorer := "mysqldump", "mysql"
		if flavor.IsMariaDB() {
			dumper, restorer = "mariadb-dump", "mariadb"
		}
		ctx, cancel := context.WithTimeout(t.Context(), 15*time.Minute)
		defer cancel()
		pipeThrough(t, s.tool(ctx, t, dumper, "--single-transaction", "--routines", "--hex-blob", "--default-character-set=utf8mb4", "big"),
			s.tool(ctx, t, restorer, "--default-character-set=utf8mb4", "copied"))
		if n := s.grown(t, before); n > 64 {
			t.Errorf("the daemon grew by %d MB", n)
		}
		for _, sql := range []string{
			"SELECT COUNT(*), SUM(CRC32(CONCAT_WS('|', id, s, HEX(b), d, at, j))) FROM %s.t",
			"SELECT GROUP_CONCAT(CONCAT_WS('|', e, n) ORDER BY e) FROM %s.`odd ``name`",
			"SELECT COUNT(*) FROM %s.v",
			"CALL %s.p()",
		} {
			a, b := value(t, c, fmt.Sprintf(sql, "big")), value(t, c, fmt.Sprintf(sql, "copied"))
			if a != b || strings.Contains(a, "error") {
				t.Errorf("%s: %s and %s", sql, a, b)
			}
		}
	})
}

// tool prepares one of the server's client programs to connect through the proxy.
func (s *stack) tool(ctx context.Context, t *testing.T, name string, args ...string) *exec.Cmd {
	t.Helper()
	host, port, err := net.SplitHostPort(s.daemon.Addr)
	if err != nil {
		t.Fatal(err)
	}
	options := []string{"--no-defaults", "--host=" + host, "--port=" + port, "--protocol=tcp", "--user=" + user, "--password=" + password}
	if s.my.Flavor.IsMariaDB() {
		options = append(options, "--skip-ssl")
	} else {
		options = append(options, "--ssl-mode=DISABLED", "--get-server-public-key")
	}
	return s.my.Command(ctx, name, append(options, args...)...)
}

// pipeThrough runs two programs with the output of the first going to the second.
func pipeThrough(t *testing.T, from, to *exec.Cmd) {
	t.Helper()
	r, w := io.Pipe()
	var fromErr, toErr bytes.Buffer
	from.Stdout, from.Stderr, to.Stdin, to.Stderr = w, &fromErr, r, &toErr
	if err := to.Start(); err != nil {
		t.Fatal(err)
	}
	err := from.Run()
	w.CloseWithError(err)
	if waitErr := to.Wait(); waitErr != nil {
		t.Errorf("%s: %v\n%s", to.Path, waitErr, toErr.Bytes())
	}
	if err != nil {
		t.Errorf("%s: %v\n%s", from.Path, err, fromErr.Bytes())
	}
	if t.Failed() {
		t.FailNow()
	}
}

// TestSlowReader asks for a large result and reads nothing of it. The proxy's memory
// may not grow, other clients may not suffer; then the result has to arrive in full.
func TestSlowReader(t *testing.T) {
	megabytes := size(t, "RDSPROXY_TEST_RESULT_MB", 200)
	flavors(t, func(t *testing.T, flavor myserver.Flavor) {
		s := newStack(t, flavor, daemonproc.Options{Group: connections(2)})
		s.daemon.RequireProxy(t)
		other := s.connect(t)
		o := s.options()
		o.Limit = 10 * time.Minute
		slow := s.dial(t, o)
		run(t, slow, "SET SESSION net_write_timeout = 600")
		before := s.daemon.ResidentBytes(t)
		sql := fmt.Sprintf("WITH RECURSIVE r (id) AS (SELECT 1 UNION ALL SELECT id + 1 FROM r WHERE id < %d) SELECT REPEAT('x', 1048576) FROM r", megabytes)
		if flavor.IsMariaDB() {
			run(t, slow, "SET SESSION max_recursive_iterations = 1000000")
		} else {
			run(t, slow, "SET SESSION cte_max_recursion_depth = 1000000")
		}
		if err := slow.Write(mysql.AppendQuery(nil, slow.Capabilities, sql)); err != nil {
			t.Fatal(err)
		}
		eventually(t, "the database waits for its client", func() bool {
			return s.backends(t, "state IN ('Writing to net', 'Sending to client', 'Sending data', 'executing') AND info LIKE '%REPEAT%'") == 1
		})
		for range 200 {
			if got := value(t, other, "SELECT 1"); got != `"1"` {
				t.Fatalf("another client got %s", got)
			}
		}
		if n := s.grown(t, before); n > 32 {
			t.Errorf("the daemon grew by %d MB while a client read nothing", n)
		}
		if got := countRows(t, slow.Reader()); got != megabytes {
			t.Errorf("%d rows arrived, want %d", got, megabytes)
		}
		if n := s.grown(t, before); n > 48 {
			t.Errorf("the daemon grew by %d MB while a client read %d MB", n, megabytes)
		}
	})
}

// countRows reads a result and counts its rows, each of one mebibyte.
func countRows(t *testing.T, r io.Reader) (n int) {
	t.Helper()
	for {
		var head [mysql.HeaderLen]byte
		if _, err := io.ReadFull(r, head[:]); err != nil {
			t.Fatalf("after %d rows: %v", n, err)
		}
		length, _ := mysql.ParseHeader(head[:])
		if length > mebibyte {
			if _, err := io.CopyN(io.Discard, r, int64(length)); err != nil {
				t.Fatalf("after %d rows: %v", n, err)
			}
			n++
			continue
		}
		payload := make([]byte, length)
		if _, err := io.ReadFull(r, payload); err != nil {
			t.Fatalf("after %d rows: %v", n, err)
		}
		switch payload[0] {
		case mysql.HeadErr:
			t.Fatalf("after %d rows: %q", n, payload)
		case mysql.HeadEOF:
			return n
		}
	}
}

// TestLargeParameter sends a large parameter, as long data and within the execution.
func TestLargeParameter(t *testing.T) {
	megabytes := size(t, "RDSPROXY_TEST_BLOB_MB", 48)
	flavors(t, func(t *testing.T, flavor myserver.Flavor) {
		s := newStack(t, flavor, daemonproc.Options{Group: connections(1)})
		s.daemon.RequireProxy(t)
		s.admin(t, "SET GLOBAL max_allowed_packet = 1073741824")
		o := s.options()
		o.Limit = 5 * time.Minute
		// The database connections of before have the old limit.
		o.Want |= mysql.ClientFoundRows
		c := s.dial(t, o)
		if lines, err := c.Prepare("p", "SELECT LENGTH(?), CRC32(?)"); err != nil || failed(lines) != "" {
			t.Fatal(lines, err)
		}
		before := s.daemon.ResidentBytes(t)
		chunk := strings.Repeat("0123456789abcdef", mebibyte/16)
		for range megabytes {
			if err := c.Long("p", 0, chunk); err != nil {
				t.Fatal(err)
			}
		}
		lines, err := c.Execute("p", 0, false, "NULL", "x")
		want := binary.LittleEndian.AppendUint64([]byte{0, 0}, uint64(megabytes*mebibyte))[:6]
		if got := rows(lines); err != nil || !strings.HasPrefix(got, strings.TrimSuffix(fmt.Sprintf("%q", want), `"`)) {
			t.Errorf("long data: %s, %v", got, err)
		}
		if n := s.grown(t, before); n > 48 {
			t.Errorf("the daemon grew by %d MB with long data of %d MB", n, megabytes)
		}
		lines, err = c.Execute("p", 0, false, strings.Repeat(chunk, megabytes), "x")
		if got := rows(lines); err != nil || !strings.HasPrefix(got, strings.TrimSuffix(fmt.Sprintf("%q", want), `"`)) {
			t.Errorf("parameter: %s, %v", got, err)
		}
		if n := s.grown(t, before); n > 48 {
			t.Errorf("the daemon grew by %d MB with a parameter of %d MB", n, megabytes)
		}
		query := "SELECT LENGTH('" + strings.Repeat(chunk, megabytes) + "')"
		lines, err = c.Query(query)
		if len(query) > 0 && (err != nil || rows(lines) != fmt.Sprintf(`"%d"`, megabytes*mebibyte)) {
			t.Errorf("query: %s, %v", brief(rows(lines)), err)
		}
		if n := s.grown(t, before); n > 48 {
			t.Errorf("the daemon grew by %d MB with a query of %d MB", n, megabytes)
		}
	})
}
