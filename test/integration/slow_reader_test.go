// SPDX-License-Identifier: Apache-2.0

package integration

import (
	"encoding/binary"
	"io"
	"strconv"
	"testing"
	"time"

	"github.com/jackc/pgx/v5/pgconn"

	"github.com/rdsproxy/rdsproxy/test/daemonproc"
)

// mebibyte is the size of a row in the slow reader's result.
const mebibyte = 1 << 20

// TestSlowReader asks for a large result and reads nothing of it. The database has
// to be held up, the proxy's memory may not grow, other clients may not suffer;
// then the result has to arrive in full.
func TestSlowReader(t *testing.T) {
	rows := sizeMB(t, "RDSPROXY_TEST_RESULT_MB", 200)
	s := newStack(t, 0, daemonproc.Options{Group: connections(2)})
	watch := s.observer(t)
	other := s.connect(t)
	run(t, other, "SELECT 1")

	conn := s.connect(t)
	var before int64
	if !daemonproc.Direct() {
		before = s.daemon.ResidentBytes(t)
	}
	hijacked, err := conn.PgConn().Hijack()
	if err != nil {
		t.Fatal(err)
	}
	defer hijacked.Conn.Close()
	if err := hijacked.Conn.SetDeadline(time.Now().Add(3 * time.Minute)); err != nil {
		t.Fatal(err)
	}
	sql := "SELECT repeat('x', 1048576) FROM generate_series(1, " + strconv.Itoa(rows) + ")"
	if _, err := hijacked.Conn.Write(message('Q', sql+"\x00")); err != nil {
		t.Fatal(err)
	}
	eventually(t, "the database waits for its client", func() bool {
		return s.backends(t, watch, "wait_event = 'ClientWrite'") == 1
	})
	for range 50 {
		if got := value(t, other, "SELECT 1::text"); got != "1" {
			t.Fatalf("another client got %q", got)
		}
	}
	if s.backends(t, watch, "wait_event = 'ClientWrite'") != 1 {
		t.Error("the database does not wait any more")
	}
	if !daemonproc.Direct() {
		if grown := s.daemon.ResidentBytes(t) - before; grown > 32*mebibyte {
			t.Errorf("the daemon grew by %d MB while a client read nothing", grown/mebibyte)
		}
	}
	if got := countRows(t, hijacked); got != rows {
		t.Errorf("%d rows arrived, want %d", got, rows)
	}
	if !daemonproc.Direct() {
		if grown := s.daemon.ResidentBytes(t) - before; grown > 48*mebibyte {
			t.Errorf("the daemon grew by %d MB while a client read %d MB", grown/mebibyte, rows)
		}
	}
}

// countRows reads up to ReadyForQuery and counts the rows, each of one mebibyte.
func countRows(t *testing.T, h *pgconn.HijackedConn) int {
	t.Helper()
	n := 0
	var head [5]byte
	for {
		if _, err := io.ReadFull(h.Conn, head[:]); err != nil {
			t.Fatalf("after %d rows: %v", n, err)
		}
		body := int64(binary.BigEndian.Uint32(head[1:])) - 4
		if _, err := io.CopyN(io.Discard, h.Conn, body); err != nil {
			t.Fatalf("after %d rows: %v", n, err)
		}
		switch head[0] {
		case 'D':
			if body != 2+4+mebibyte {
				t.Fatalf("row %d has %d bytes", n, body)
			}
			n++
		case 'Z':
			return n
		case 'E':
			t.Fatalf("error after %d rows", n)
		}
	}
}
