// SPDX-License-Identifier: Apache-2.0

package integration

import (
	"context"
	"fmt"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/rdsproxy/rdsproxy/test/daemonproc"
)

// pinCases are what leaves state behind on a database connection. check shows that
// the client still has it; unpin takes it away. Without unpin only the client's end
// does, because nobody knows what the statement has done.
var pinCases = []struct {
	name, sql   string
	check, want string
	unpin       string
}{
	{"set", "SET work_mem = '7MB'", "SHOW work_mem", "7MB", "DISCARD ALL"},
	{"set of an extension", "SET my.own = 'x'", "SHOW my.own", "x", "DISCARD ALL"},
	{"set_config", "SELECT set_config('work_mem', '7MB', false)", "SHOW work_mem", "7MB", "DISCARD ALL"},
	{"set in a transaction", "BEGIN; SET work_mem = '7MB'; COMMIT", "SHOW work_mem", "7MB", "DISCARD ALL"},
	{"set in DO", "DO $$ BEGIN PERFORM set_config('work_mem', '7MB', false); END $$", "SHOW work_mem", "7MB", ""},
	{"temporary table", "CREATE TEMP TABLE t AS SELECT 'mine' AS x", "SELECT x FROM t", "mine", "DISCARD ALL"},
	{"temporary view", "CREATE TEMPORARY VIEW t AS SELECT 'mine' AS x", "SELECT x FROM t", "mine", "DISCARD ALL"},
	{"select into temp", "SELECT 'mine' AS x INTO TEMP t", "SELECT x FROM t", "mine", "DISCARD ALL"},
	{"pg_temp", "CREATE TABLE pg_temp.t AS SELECT 'mine' AS x", "SELECT x FROM t", "mine", "DISCARD ALL"},
	{"prepare", "PREPARE p AS SELECT 'mine'", "EXECUTE p", "mine", "DISCARD ALL"},
	{
		"listen", "LISTEN chan", "SELECT string_agg(c, ',') FROM pg_listening_channels() c", "chan", "DISCARD ALL",
	},
	{
		"advisory lock", "SELECT pg_advisory_lock(4711)",
		"SELECT count(*)::text FROM pg_locks WHERE locktype = 'advisory' AND pid = pg_backend_pid()", "1", "DISCARD ALL",
	},
	{
		"advisory lock by EXECUTE in DO", "DO $$ BEGIN EXECUTE 'SELECT pg_try_advisory_lock(4712)'; END $$",
		"SELECT count(*)::text FROM pg_locks WHERE locktype = 'advisory' AND pid = pg_backend_pid()", "1", "",
	},
	{
		"cursor with hold", "DECLARE c CURSOR WITH HOLD FOR SELECT 'mine'", "FETCH ABSOLUTE 1 FROM c", "mine", "DISCARD ALL",
	},
	{"role", "SET ROLE pg_monitor", "SELECT current_user::text", "pg_monitor", "DISCARD ALL"},
	{"session characteristics", "SET SESSION CHARACTERISTICS AS TRANSACTION READ ONLY", "SHOW default_transaction_read_only", "on", "DISCARD ALL"},
	{"sequence", "SELECT nextval('seq')", "SELECT (currval('seq') > 0)::text", "true", "DISCARD ALL"},
}

// TestPinning has a budget of one database connection, so that a second client is
// served exactly when the first is not pinned.
func TestPinning(t *testing.T) {
	s := newStack(t, 0, daemonproc.Options{
		Group: daemonproc.Map{"max_connections": 1, "connection_borrow_timeout": "1s"},
	})
	s.admin(t, fmt.Sprintf("GRANT pg_monitor TO %q", s.user))
	run(t, s.connect(t), "CREATE SEQUENCE seq")
	for _, test := range pinCases {
		t.Run(test.name, func(t *testing.T) {
			first, second := s.connect(t), s.connect(t)
			run(t, first, test.sql)
			if got := value(t, first, test.check); got != test.want {
				t.Errorf("%s: %q, want %q", test.check, got, test.want)
			}
			if !daemonproc.Direct() && s.served(t, second) {
				t.Error("another client got the connection although there is state on it")
			}
			if test.unpin == "" {
				closeNow(first)
			} else {
				run(t, first, test.unpin)
			}
			if !s.served(t, second) {
				t.Errorf("another client is not served after %s", test.unpin)
			}
			s.noTrace(t, second)
			closeNow(first)
			closeNow(second)
		})
	}
}

// TestPinnedClientLeaves throws the connection away, or cleans it.
func TestPinnedClientLeaves(t *testing.T) {
	s := newStack(t, 0, daemonproc.Options{
		Group: daemonproc.Map{"max_connections": 1, "connection_borrow_timeout": "10s"},
	})
	s.admin(t, fmt.Sprintf("GRANT pg_monitor TO %q", s.user))
	run(t, s.connect(t), "CREATE SEQUENCE seq")
	for _, test := range pinCases {
		t.Run(test.name, func(t *testing.T) {
			first := s.connect(t)
			run(t, first, test.sql)
			closeNow(first)
			second := s.connect(t)
			s.noTrace(t, second)
			closeNow(second)
		})
	}
}

// TestNoPin are statements that leave nothing behind.
func TestNoPin(t *testing.T) {
	s := newStack(t, 0, daemonproc.Options{
		Group: daemonproc.Map{"max_connections": 1, "connection_borrow_timeout": "1s"},
	})
	run(t, s.connect(t), "CREATE TABLE plain (x text)")
	for name, sql := range map[string]string{
		"select":             "SELECT 'SET work_mem = 1' /* LISTEN x */ -- PREPARE y",
		"set local":          "BEGIN; SET LOCAL work_mem = '7MB'; COMMIT",
		"set rolled back":    "BEGIN; SET TRANSACTION ISOLATION LEVEL SERIALIZABLE; SELECT 1; ROLLBACK",
		"transaction lock":   "SELECT pg_advisory_xact_lock(1)",
		"notify":             "NOTIFY chan, 'LISTEN'",
		"insert":             "INSERT INTO plain VALUES ('CREATE TEMP TABLE')",
		"update":             "UPDATE plain SET x = 'y'",
		"cursor":             "BEGIN; DECLARE c CURSOR FOR SELECT 1; FETCH c; COMMIT",
		"explain":            "EXPLAIN SELECT 1",
		"show":               "SHOW work_mem",
		"analyze":            "ANALYZE plain",
		"dollar quotes":      "SELECT $a$ SET work_mem TO 1; $a$",
		"create and drop":    "CREATE TABLE gone (i int); DROP TABLE gone",
		"set and then reset": "SET work_mem = '7MB'; DISCARD ALL",
	} {
		t.Run(name, func(t *testing.T) {
			if name == "set and then reset" {
				// DISCARD ALL refuses to run inside of a multi-statement string.
				first, second := s.connect(t), s.connect(t)
				run(t, first, "SET work_mem = '7MB'", "DISCARD ALL")
				if !s.served(t, second) {
					t.Error("another client was not served")
				}
				return
			}
			first, second := s.connect(t), s.connect(t)
			run(t, first, sql)
			if !s.served(t, second) {
				t.Error("another client was not served")
			}
			s.noTrace(t, second)
			closeNow(first)
			closeNow(second)
		})
	}
}

// served tells whether the client gets a database connection.
func (s *stack) served(t *testing.T, conn *pgx.Conn) bool {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	got, err := tryValue(ctx, conn, "SELECT 'served'")
	if err == nil {
		return got == "served"
	}
	wantCode(t, err, "53300")
	return false
}

// noTrace checks that a client sees nothing of what pinCases leave behind.
func (s *stack) noTrace(t *testing.T, conn *pgx.Conn) {
	t.Helper()
	for sql, want := range map[string]string{
		"SELECT current_setting('work_mem')":                                                                    "4MB",
		"SELECT coalesce(current_setting('my.own', true), '')":                                                  "",
		"SELECT current_setting('default_transaction_read_only')":                                               "off",
		"SELECT current_user::text":                                                                             s.user,
		"SELECT count(*)::text FROM pg_listening_channels()":                                                    "0",
		"SELECT count(*)::text FROM pg_cursors WHERE is_holdable":                                               "0",
		"SELECT count(*)::text FROM pg_prepared_statements WHERE from_sql":                                      "0",
		"SELECT (to_regclass('pg_temp.t') IS NULL)::text":                                                       "true",
		"SELECT count(*)::text FROM pg_locks WHERE locktype = 'advisory' AND pid = pg_backend_pid()":            "0",
		"SELECT count(*)::text FROM pg_class WHERE relpersistence = 't' AND relnamespace = pg_my_temp_schema()": "0",
	} {
		var got string
		if err := conn.QueryRow(limit(t, 20*time.Second), sql, pgx.QueryExecModeSimpleProtocol).Scan(&got); err != nil {
			t.Errorf("%s: %v", sql, err)
		} else if got != want {
			t.Errorf("%s: %q, want %q", sql, got, want)
		}
	}
}

// TestNotifications reach a client that listens while it is idle.
func TestNotifications(t *testing.T) {
	s := newStack(t, 0, daemonproc.Options{Group: connections(2)})
	listener, sender := s.connect(t), s.connect(t)
	run(t, listener, "LISTEN news")
	for i := range 5 {
		payload := fmt.Sprintf("number %d", i)
		run(t, sender, fmt.Sprintf("NOTIFY news, '%s'", payload))
		n, err := listener.WaitForNotification(limit(t, 20*time.Second))
		if err != nil {
			t.Fatal(err)
		}
		if n.Channel != "news" || n.Payload != payload {
			t.Errorf("got %q %q, want %q", n.Channel, n.Payload, payload)
		}
	}
	run(t, listener, "UNLISTEN *")
}

// TestBorrowTimeout gives up after connection_borrow_timeout with a clear error and
// leaves the client as it was.
func TestBorrowTimeout(t *testing.T) {
	s := newStack(t, 0, daemonproc.Options{
		Group: daemonproc.Map{"max_connections": 1, "connection_borrow_timeout": "1s"},
	})
	s.daemon.RequireProxy(t)
	holder, waiter := s.connect(t), s.connect(t)
	run(t, holder, "BEGIN")
	start := time.Now()
	_, err := waiter.Exec(limit(t, 20*time.Second), "SELECT 1")
	wantCode(t, err, "53300")
	if waited := time.Since(start); waited < 900*time.Millisecond || waited > 5*time.Second {
		t.Errorf("waited %s, want about 1s", waited)
	}
	// A pipeline behind the refused request is skipped as a whole.
	batch := &pgx.Batch{}
	batch.Queue("SELECT 1")
	batch.Queue("SELECT 2")
	wantCode(t, waiter.SendBatch(limit(t, 20*time.Second), batch).Close(), "53300")
	run(t, holder, "COMMIT")
	if got := value(t, waiter, "SELECT 'served'"); got != "served" {
		t.Errorf("got %q", got)
	}
}

// TestWaitersAreServedInOrder queues clients one after the other. Between several
// loops a waiter may be overtaken a few times, hence one loop.
func TestWaitersAreServedInOrder(t *testing.T) {
	const clients = 8
	s := newStack(t, 0, daemonproc.Options{Group: connections(1), Top: daemonproc.Map{"loops": 1}})
	s.daemon.RequireProxy(t)
	holder := s.connect(t)
	run(t, holder, "CREATE TABLE served (n serial, who int)", "BEGIN")
	var pending []<-chan error
	for i := range clients {
		conn := s.connect(t)
		queued := s.daemon.Metric(t, waitingMetric)
		pending = append(pending, background(t.Context(), conn, fmt.Sprintf("INSERT INTO served (who) VALUES (%d)", i)))
		s.daemon.Eventually(t, "the client waits", 10*time.Second, func() bool { return s.daemon.Metric(t, waitingMetric) > queued })
	}
	run(t, holder, "COMMIT")
	for _, p := range pending {
		if err := await(t, "a waiting client is served", p); err != nil {
			t.Fatal(err)
		}
	}
	if got := value(t, holder, "SELECT string_agg(who::text, ' ' ORDER BY n) FROM served"); got != "0 1 2 3 4 5 6 7" {
		t.Errorf("served in the order %s", got)
	}
}

// waitingMetric is the gauge of clients that wait for a database connection.
const waitingMetric = "rdsproxy_client_connections_waiting"
