// SPDX-License-Identifier: Apache-2.0

package integration

import (
	"bytes"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"strings"
	"testing"
	"time"

	"github.com/rdsproxy/rdsproxy/test/daemonproc"
)

// lines produces n lines for COPY.
func lines(n int) string {
	var b strings.Builder
	for i := range n {
		fmt.Fprintf(&b, "%d\t%s\n", i, strings.Repeat("abc", i%50))
	}
	return b.String()
}

func TestCopy(t *testing.T) {
	s := newStack(t, 0, daemonproc.Options{Group: connections(1)})
	conn, other := s.connect(t), s.connect(t)
	run(t, conn, "CREATE TABLE c (id int, s text)")
	ctx := limit(t, 2*time.Minute)
	for _, n := range []int{0, 1, 100_000} {
		run(t, conn, "TRUNCATE c")
		text := lines(n)
		tag, err := conn.PgConn().CopyFrom(ctx, strings.NewReader(text), "COPY c FROM STDIN")
		if err != nil || tag.RowsAffected() != int64(n) {
			t.Fatalf("%d lines in: %v, %v", n, tag, err)
		}
		hash := sha256.New()
		tag, err = other.PgConn().CopyTo(ctx, hash, "COPY (SELECT * FROM c ORDER BY id) TO STDOUT")
		if err != nil || tag.RowsAffected() != int64(n) {
			t.Fatalf("%d lines out: %v, %v", n, tag, err)
		}
		if want := sha256.Sum256([]byte(text)); !bytes.Equal(hash.Sum(nil), want[:]) {
			t.Errorf("%d lines came back changed", n)
		}
	}
}

func TestCopyFails(t *testing.T) {
	s := newStack(t, 0, daemonproc.Options{Group: connections(1)})
	conn := s.connect(t)
	run(t, conn, "CREATE TABLE c (id int PRIMARY KEY, s text)")
	ctx := limit(t, 2*time.Minute)
	check := func(what string) {
		t.Helper()
		if got := value(t, s.connect(t), "SELECT count(*)::text FROM c"); got != "0" {
			t.Errorf("%s: %s rows are left over", what, got)
		}
	}

	// The server refuses a line early; the client goes on sending for a while.
	text := lines(10) + "not a number\tx\n" + lines(200_000)
	_, err := conn.PgConn().CopyFrom(ctx, strings.NewReader(text), "COPY c FROM STDIN")
	wantCode(t, err, "22P02")
	check("bad line")

	// The client gives up.
	_, err = conn.PgConn().CopyFrom(ctx, io.MultiReader(strings.NewReader(lines(1000)), failing{}), "COPY c FROM STDIN")
	if err == nil {
		t.Error("no error after a client's CopyFail")
	}
	check("CopyFail")

	// The server refuses to start.
	_, err = conn.PgConn().CopyFrom(ctx, strings.NewReader(lines(100_000)), "COPY missing FROM STDIN")
	wantCode(t, err, "42P01")
	check("no such table")

	// The row fails while COPY TO streams.
	_, err = conn.PgConn().CopyTo(ctx, io.Discard, "COPY (SELECT 1/(5000 - i) FROM generate_series(1, 10000) i) TO STDOUT")
	wantCode(t, err, "22012")
	check("COPY TO")

	if got := value(t, conn, "SELECT 'same connection'"); got != "same connection" {
		t.Errorf("got %q", got)
	}
}

// failing is a source that breaks.
type failing struct{}

func (failing) Read([]byte) (int, error) { return 0, errors.New("source broke") }

// TestCopyInTransaction holds the database connection until the commit.
func TestCopyInTransaction(t *testing.T) {
	s := newStack(t, 0, daemonproc.Options{Group: connections(2)})
	conn, other := s.connect(t), s.connect(t)
	run(t, conn, "CREATE TABLE c (id int, s text)", "BEGIN")
	if _, err := conn.PgConn().CopyFrom(limit(t, time.Minute), strings.NewReader(lines(1000)), "COPY c FROM STDIN"); err != nil {
		t.Fatal(err)
	}
	if got := value(t, other, "SELECT count(*)::text FROM c"); got != "0" {
		t.Errorf("another client sees %s rows before the commit", got)
	}
	run(t, conn, "COMMIT")
	if got := value(t, other, "SELECT count(*)::text FROM c"); got != "1000" {
		t.Errorf("another client sees %s rows after the commit", got)
	}
}
