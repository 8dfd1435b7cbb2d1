// SPDX-License-Identifier: Apache-2.0

package integration

import (
	"bytes"
	"fmt"
	"io"
	"os/exec"
	"strings"
	"testing"
	"time"

	"github.com/rdsproxy/rdsproxy/test/daemonproc"
)

// TestDumpAndRestore pipes pg_dump into pg_restore, both through the proxy, and
// compares both databases.
func TestDumpAndRestore(t *testing.T) {
	size := sizeMB(t, "RDSPROXY_TEST_DUMP_MB", 20)
	s := newStack(t, 0, daemonproc.Options{Group: connections(4)})
	conn := s.connect(t)
	for _, sql := range []string{
		`CREATE TABLE big (id bigint PRIMARY KEY, t text, b bytea, j jsonb, n numeric, at timestamptz)`,
		`CREATE SEQUENCE big_seq START 77`,
		`CREATE VIEW big_view AS SELECT id, t FROM big WHERE id % 2 = 0`,
		`CREATE FUNCTION twice(i int) RETURNS int LANGUAGE sql AS 'SELECT 2 * i'`,
		`CREATE TYPE mood AS ENUM ('sad', 'happy')`,
		`CREATE TABLE "odd, name" (m mood, arr int[], PRIMARY KEY (m))`,
		`INSERT INTO "odd, name" VALUES ('sad', '{1,2,NULL}'), ('happy', NULL)`,
	} {
		run(t, conn, sql)
	}
	// A row is about one kilobyte in the dump.
	fill := fmt.Sprintf(`INSERT INTO big SELECT i, repeat(md5(i::text), 15), decode(repeat(md5((i*7)::text), 6), 'hex'),
		jsonb_build_object('i', i, 'x', md5((i*3)::text)), i / 7.0, timestamptz '2026-01-01' + i * interval '1 second'
		FROM generate_series(1, %d) i`, size*1000)
	if _, err := conn.Exec(limit(t, 10*time.Minute), fill); err != nil {
		t.Fatal(err)
	}
	run(t, conn, "SELECT lo_from_bytea(4711, decode(repeat('deadbeef', 100000), 'hex'))")
	copyName := s.database + "copy"
	s.admin(t, fmt.Sprintf(`CREATE DATABASE %q OWNER %q`, copyName, s.user))
	t.Cleanup(func() { s.admin(t, fmt.Sprintf(`DROP DATABASE %q WITH (FORCE)`, copyName)) })
	second := *s
	second.database = copyName

	ctx := limit(t, 15*time.Minute)
	dump := s.tool(ctx, t, "pg_dump", "-Fc", "-Z0", "--no-owner")
	restore := second.tool(ctx, t, "pg_restore", "--no-owner", "--exit-on-error", "-d", copyName)
	pipeThrough(t, dump, restore)

	there := second.connect(t)
	for _, sql := range []string{
		"SELECT count(*) || md5(string_agg(md5(big::text), '' ORDER BY id)) FROM big",
		`SELECT string_agg(x::text, ';' ORDER BY m) FROM "odd, name" x`,
		"SELECT md5(lo_get(4711))",
		"SELECT count(*)::text FROM big_view",
		"SELECT twice(21)::text",
		"SELECT last_value::text FROM big_seq",
	} {
		a, err := tryValue(ctx, conn, sql)
		if err != nil {
			t.Fatalf("%s: %v", sql, err)
		}
		b, err := tryValue(ctx, there, sql)
		if err != nil || a != b {
			t.Errorf("%s: %q and %q, %v", sql, a, b, err)
		}
	}
	if a, b := s.schema(t), second.schema(t); a != b {
		t.Error("the definitions differ")
	}
}

// schema is the database's definition as pg_dump has it.
func (s *stack) schema(t *testing.T) string {
	t.Helper()
	var b strings.Builder
	for line := range strings.Lines(s.runTool(t, "pg_dump", "--schema-only", "--no-owner")) {
		if !strings.HasPrefix(line, `\restrict`) && !strings.HasPrefix(line, `\unrestrict`) { // random keys
			b.WriteString(line)
		}
	}
	return b.String()
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
