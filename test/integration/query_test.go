// SPDX-License-Identifier: Apache-2.0

package integration

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"github.com/rdsproxy/rdsproxy/test/daemonproc"
)

var queryModes = []pgx.QueryExecMode{
	pgx.QueryExecModeSimpleProtocol,
	pgx.QueryExecModeExec,
	pgx.QueryExecModeDescribeExec,
	pgx.QueryExecModeCacheDescribe,
	pgx.QueryExecModeCacheStatement,
}

// TestQueryModes runs the same statements in each of pgx's protocol modes.
func TestQueryModes(t *testing.T) {
	s := newStack(t, 0, daemonproc.Options{Group: connections(2)})
	for _, mode := range queryModes {
		t.Run(mode.String(), func(t *testing.T) {
			conn := s.connect(t)
			ctx := limit(t, time.Minute)
			run(t, conn, "DROP TABLE IF EXISTS item", "CREATE TABLE item (id int PRIMARY KEY, name text, data bytea)")
			data := []byte(strings.Repeat("\x00\xff'\\", 5000))
			for i := range 20 {
				if _, err := conn.Exec(ctx, "INSERT INTO item VALUES ($1, $2, $3)", mode, i, fmt.Sprintf("n%d", i), data); err != nil {
					t.Fatal(err)
				}
			}
			rows, err := conn.Query(ctx, "SELECT id, name, length(data) FROM item WHERE id >= $1 ORDER BY id", mode, 10)
			if err != nil {
				t.Fatal(err)
			}
			n := 10
			for rows.Next() {
				var id, length int
				var name string
				if err := rows.Scan(&id, &name, &length); err != nil {
					t.Fatal(err)
				}
				if id != n || name != fmt.Sprintf("n%d", n) || length != len(data) {
					t.Errorf("row %d: %d, %q, %d", n, id, name, length)
				}
				n++
			}
			if rows.Err() != nil || n != 20 {
				t.Errorf("ended at %d: %v", n, rows.Err())
			}
			_, err = conn.Exec(ctx, "INSERT INTO item VALUES ($1)", mode, 5)
			wantCode(t, err, "23505")
			_, err = conn.Exec(ctx, "SELECT 1/$1::int", mode, 0)
			wantCode(t, err, "22012")
			var null *string
			if err := conn.QueryRow(ctx, "SELECT name FROM item WHERE name IS NOT DISTINCT FROM $1::text UNION ALL SELECT NULL",
				mode, nil).Scan(&null); err != nil || null != nil {
				t.Errorf("NULL: %v, %v", null, err)
			}
		})
	}
}

// TestPreparedStatementsAreShared uses more clients than database connections, all
// with named statements, some with the same name for different SQL.
func TestPreparedStatementsAreShared(t *testing.T) {
	s := newStack(t, 0, daemonproc.Options{Group: connections(2)})
	ctx := limit(t, time.Minute)
	var clients []*pgx.Conn
	for i := range 8 {
		conn := s.connect(t)
		if _, err := conn.Prepare(ctx, "same", "SELECT $1::text"); err != nil {
			t.Fatal(err)
		}
		if _, err := conn.Prepare(ctx, "own", fmt.Sprintf("SELECT 'client %d: ' || $1::text", i)); err != nil {
			t.Fatal(err)
		}
		clients = append(clients, conn)
	}
	for round := range 20 {
		for i, conn := range clients {
			arg := fmt.Sprint(round)
			if got, err := tryValue(ctx, conn, "same", arg); err != nil || got != arg {
				t.Fatalf("client %d: %q, %v", i, got, err)
			}
			if got, err := tryValue(ctx, conn, "own", arg); err != nil || got != fmt.Sprintf("client %d: %s", i, arg) {
				t.Fatalf("client %d: %q, %v", i, got, err)
			}
		}
	}
	for i, conn := range clients {
		if err := conn.Deallocate(ctx, "own"); err != nil {
			t.Fatal(err)
		}
		_, err := conn.PgConn().ExecPrepared(ctx, "own", [][]byte{[]byte("x")}, nil, nil).Close()
		wantCode(t, err, "26000")
		if _, err := conn.Prepare(ctx, "own", fmt.Sprintf("SELECT 'again %d: ' || $1::text", i)); err != nil {
			t.Fatal(err)
		}
		if got, err := tryValue(ctx, conn, "own", "x"); err != nil || got != fmt.Sprintf("again %d: x", i) {
			t.Fatalf("client %d: %q, %v", i, got, err)
		}
	}
}

func TestFailedPrepareIsForgotten(t *testing.T) {
	s := newStack(t, 0, daemonproc.Options{Group: connections(1)})
	ctx := limit(t, time.Minute)
	a, b := s.connect(t), s.connect(t)
	for _, conn := range []*pgx.Conn{a, b, a} {
		_, err := conn.PgConn().Prepare(ctx, "p", "SELECT * FROM later", nil)
		wantCode(t, err, "42P01")
	}
	run(t, b, "CREATE TABLE later (x text)", "INSERT INTO later VALUES ('here')")
	for _, conn := range []*pgx.Conn{a, b} {
		if _, err := conn.PgConn().Prepare(ctx, "p", "SELECT * FROM later", nil); err != nil {
			t.Fatal(err)
		}
		r := conn.PgConn().ExecPrepared(ctx, "p", nil, nil, nil).Read()
		if r.Err != nil || len(r.Rows) != 1 || string(r.Rows[0][0]) != "here" {
			t.Errorf("%v, %q", r.Err, r.Rows)
		}
	}
}

// TestTransactions interleaves two clients on one database connection each and
// checks that what is rolled back is gone.
func TestTransactions(t *testing.T) {
	s := newStack(t, 0, daemonproc.Options{Group: connections(2)})
	ctx := limit(t, time.Minute)
	a, b := s.connect(t), s.connect(t)
	run(t, a, "CREATE TABLE ledger (who text, amount int)")
	txA, err := a.Begin(ctx)
	if err != nil {
		t.Fatal(err)
	}
	txB, err := b.Begin(ctx)
	if err != nil {
		t.Fatal(err)
	}
	for i := range 10 {
		if _, err := txA.Exec(ctx, "INSERT INTO ledger VALUES ('a', $1)", i); err != nil {
			t.Fatal(err)
		}
		if _, err := txB.Exec(ctx, "INSERT INTO ledger VALUES ('b', $1)", i); err != nil {
			t.Fatal(err)
		}
	}
	if err := txA.Rollback(ctx); err != nil {
		t.Fatal(err)
	}
	if err := txB.Commit(ctx); err != nil {
		t.Fatal(err)
	}
	if got := value(t, a, "SELECT string_agg(DISTINCT who, ',') || count(*) FROM ledger"); got != "b10" {
		t.Errorf("got %q, want b10", got)
	}
}

func TestFailedTransaction(t *testing.T) {
	s := newStack(t, 0, daemonproc.Options{Group: connections(1)})
	conn := s.connect(t)
	run(t, conn, "BEGIN")
	_, err := conn.Exec(t.Context(), "SELECT 1/0")
	wantCode(t, err, "22012")
	_, err = conn.Exec(t.Context(), "SELECT 1")
	wantCode(t, err, "25P02")
	run(t, conn, "ROLLBACK", "SELECT 1")
	if got := conn.PgConn().TxStatus(); got != 'I' {
		t.Errorf("status %c, want I", got)
	}
}

func TestSimpleProtocolStrings(t *testing.T) {
	s := newStack(t, 0, daemonproc.Options{Group: connections(1)})
	conn := s.connect(t).PgConn()
	for _, test := range []struct {
		name, sql string
		tags      []string
		code      string
	}{
		{"empty", "", []string{""}, ""},
		{"comment", "-- nothing", []string{""}, ""},
		{"several", "SELECT 1; SELECT 2 WHERE false; VALUES (1), (2)", []string{"SELECT 1", "SELECT 0", "SELECT 2"}, ""},
		{"error in the middle", "SELECT 1; SELECT 1/0; SELECT 3", []string{"SELECT 1"}, "22012"},
		{"transaction inside", "BEGIN; CREATE TABLE x (i int); COMMIT; DROP TABLE x", []string{"BEGIN", "CREATE TABLE", "COMMIT", "DROP TABLE"}, ""},
		{"syntax", "SELEC 1", nil, "42601"},
		{"large", "SELECT length('" + strings.Repeat("x", 3<<20) + "')", []string{"SELECT 1"}, ""},
	} {
		t.Run(test.name, func(t *testing.T) {
			results, err := conn.Exec(limit(t, time.Minute), test.sql).ReadAll()
			if code(err) != test.code {
				t.Fatalf("got %v, want code %q", err, test.code)
			}
			var tags []string
			for _, r := range results {
				if r.Err == nil {
					tags = append(tags, r.CommandTag.String())
				}
			}
			if fmt.Sprint(tags) != fmt.Sprint(test.tags) {
				t.Errorf("got %q, want %q", tags, test.tags)
			}
		})
	}
}

// TestPipeline has several Syncs in flight, errors between them, and a Flush.
func TestPipeline(t *testing.T) {
	s := newStack(t, 0, daemonproc.Options{Group: connections(1)})
	other := s.connect(t)
	conn := s.connect(t).PgConn()
	ctx := limit(t, time.Minute)
	for round := range 5 {
		p := conn.StartPipeline(ctx)
		for i := range 30 {
			sql := "SELECT $1::text"
			if i%7 == 3 {
				sql = "SELECT 1/length($1::text || 'x') - 1/0"
			}
			p.SendQueryParams(sql, [][]byte{fmt.Appendf(nil, "%d.%d", round, i)}, nil, nil, nil)
			if err := p.Sync(); err != nil {
				t.Fatal(err)
			}
		}
		for i := range 30 {
			results, err := p.GetResults()
			if i%7 == 3 {
				wantCode(t, err, "22012")
			} else {
				if err != nil {
					t.Fatalf("round %d, query %d: %v", round, i, err)
				}
				reader, ok := results.(*pgconn.ResultReader)
				if !ok {
					t.Fatalf("round %d, query %d: %T", round, i, results)
				}
				r := reader.Read()
				if want := fmt.Sprintf("%d.%d", round, i); r.Err != nil || len(r.Rows) != 1 || string(r.Rows[0][0]) != want {
					t.Fatalf("round %d, query %d: %q, %v", round, i, r.Rows, r.Err)
				}
			}
			if results, err := p.GetResults(); err != nil {
				t.Fatal(err)
			} else if _, ok := results.(*pgconn.PipelineSync); !ok {
				t.Fatalf("round %d, query %d: %T, want a sync", round, i, results)
			}
		}
		if err := p.Close(); err != nil {
			t.Fatal(err)
		}
		if got := value(t, other, "SELECT 'other'"); got != "other" {
			t.Fatalf("other client got %q", got)
		}
	}
}

// TestPipelineAborts has an error ahead of other requests of the same Sync, which
// are skipped.
func TestPipelineAborts(t *testing.T) {
	s := newStack(t, 0, daemonproc.Options{Group: connections(1)})
	conn := s.connect(t).PgConn()
	ctx := limit(t, time.Minute)
	batch := &pgconn.Batch{}
	batch.ExecParams("SELECT 'first'", nil, nil, nil, nil)
	batch.ExecParams("SELECT 1/0", nil, nil, nil, nil)
	batch.ExecParams("SELECT 'never'", nil, nil, nil, nil)
	results, err := conn.ExecBatch(ctx, batch).ReadAll()
	wantCode(t, err, "22012")
	if len(results) == 0 || string(results[0].Rows[0][0]) != "first" {
		t.Errorf("got %v", results)
	}
	r := conn.ExecParams(ctx, "SELECT 'after'", nil, nil, nil, nil).Read()
	if r.Err != nil || string(r.Rows[0][0]) != "after" {
		t.Errorf("got %v", r.Err)
	}
}

func TestNoticesAndParameterStatus(t *testing.T) {
	s := newStack(t, 0, daemonproc.Options{Group: connections(1)})
	cfg, err := pgx.ParseConfig(s.dsn())
	if err != nil {
		t.Fatal(err)
	}
	var notices []string
	cfg.OnNotice = func(_ *pgconn.PgConn, n *pgconn.Notice) { notices = append(notices, n.Message) }
	conn, err := pgx.ConnectConfig(limit(t, 30*time.Second), cfg)
	if err != nil {
		t.Fatal(err)
	}
	defer closeNow(conn)
	run(t, conn, "DO $$ BEGIN RAISE NOTICE 'hello'; RAISE WARNING 'careful'; END $$")
	if strings.Join(notices, ",") != "hello,careful" {
		t.Errorf("notices %q", notices)
	}
	run(t, conn, "SET TimeZone = 'Asia/Tokyo'")
	if got := conn.PgConn().ParameterStatus("TimeZone"); got != "Asia/Tokyo" {
		t.Errorf("TimeZone %q", got)
	}
	direct := s.observer(t)
	for _, name := range []string{
		"server_version", "server_encoding", "client_encoding", "is_superuser", "DateStyle", "IntervalStyle",
		"integer_datetimes", "standard_conforming_strings",
	} {
		want := direct.PgConn().ParameterStatus(name)
		if name == "is_superuser" {
			want = "off"
		}
		if got := conn.PgConn().ParameterStatus(name); got != want {
			t.Errorf("%s: %q, the database says %q", name, got, want)
		}
	}
}

func TestPortalsWithRowLimits(t *testing.T) {
	s := newStack(t, 0, daemonproc.Options{Group: connections(1)})
	conn := s.connect(t)
	ctx := limit(t, time.Minute)
	tx, err := conn.Begin(ctx)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = tx.Rollback(context.Background()) }() // fails after the commit, as it should
	run(t, conn, "DECLARE c CURSOR FOR SELECT i FROM generate_series(1, 10) i")
	for _, want := range []string{"1,2,3,4", "5,6,7,8", "9,10", ""} {
		rows, err := tx.Query(ctx, "FETCH 4 FROM c")
		if err != nil {
			t.Fatal(err)
		}
		got, err := pgx.CollectRows(rows, pgx.RowTo[int])
		if err != nil {
			t.Fatal(err)
		}
		if text := strings.Trim(strings.ReplaceAll(fmt.Sprint(got), " ", ","), "[]"); text != want {
			t.Errorf("got %q, want %q", text, want)
		}
	}
	if err := tx.Commit(ctx); err != nil {
		t.Fatal(err)
	}
}

// TestLargeValues sends and receives values that span many reads.
func TestLargeValues(t *testing.T) {
	s := newStack(t, 0, daemonproc.Options{Group: connections(1)})
	conn := s.connect(t)
	for _, size := range []int{0, 1, 8191, 8192, 65535, 65536, 1 << 20, 40 << 20} {
		data := strings.Repeat("0123456789abcdef", size/16+1)[:size]
		var got string
		err := conn.QueryRow(limit(t, time.Minute), "SELECT $1::text", data).Scan(&got)
		if err != nil {
			t.Fatalf("%d bytes: %v", size, err)
		}
		if got != data {
			t.Errorf("%d bytes came back changed", size)
		}
	}
}

// TestClientsThatLeave go away in the middle of what they were doing; their
// database connection must be usable for the next client.
func TestClientsThatLeave(t *testing.T) {
	s := newStack(t, 0, daemonproc.Options{Group: connections(1)})
	run(t, s.connect(t), "CREATE TABLE left_over (x int)")
	for _, test := range []struct {
		name string
		do   func(conn *pgx.Conn) error
	}{
		{"in a transaction", func(c *pgx.Conn) error {
			_, err := c.Exec(t.Context(), "BEGIN; INSERT INTO left_over VALUES (1)")
			return err
		}},
		{"in a failed transaction", func(c *pgx.Conn) error {
			_, err := c.Exec(t.Context(), "BEGIN; SELECT 1/0")
			if code(err) == "22012" {
				return nil
			}
			return errors.New("no error")
		}},
		{"in a query", func(c *pgx.Conn) error {
			_, err := c.PgConn().Conn().Write(message('Q', "SELECT pg_sleep(100)\x00"))
			return err
		}},
		{"in COPY", func(c *pgx.Conn) error {
			_, err := c.PgConn().Conn().Write(message('Q', "COPY left_over FROM STDIN\x00"))
			return err
		}},
	} {
		t.Run(test.name, func(t *testing.T) {
			conn := s.connect(t)
			if err := test.do(conn); err != nil {
				t.Fatal(err)
			}
			conn.PgConn().Conn().Close()
			if got := value(t, s.connect(t), "SELECT count(*)::text FROM left_over"); got != "0" {
				t.Errorf("%s rows are left over", got)
			}
		})
	}
}
