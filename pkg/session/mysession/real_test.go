// SPDX-License-Identifier: Apache-2.0

package mysession

import (
	"context"
	"fmt"
	"net"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/rdsproxy/rdsproxy/pkg/target"
	wire "github.com/rdsproxy/rdsproxy/pkg/wire/mysql"
	"github.com/rdsproxy/rdsproxy/test/myserver"
)

func TestMain(m *testing.M) { os.Exit(myserver.Main(m)) }

// realWorld is sessions on one connection of a real server.
type realWorld struct {
	*world
	tb     testing.TB
	conn   net.Conn
	caps   wire.Capabilities
	fake   *fakeConn
	redial func()
}

func newRealWorld(tb testing.TB, flavor myserver.Flavor) *realWorld {
	tb.Helper()
	srv := myserver.Shared(tb, flavor)
	w := &realWorld{world: newWorld(tb), tb: tb}
	w.quiet = true
	d := target.NewMySQLDialer(target.MySQLOptions{
		Host: srv.Host, Port: srv.Port, Setup: Setup, Variables: TrackedVariables(), KeyRetrieval: target.KeyAlways,
	})
	n := 0
	w.redial = func() {
		e, err := d.Dial(context.Background(), target.MySQLRequest{
			User: myserver.Superuser, Password: srv.Password, Capabilities: wire.ClientMultiStatements,
		})
		if err != nil {
			tb.Fatal(err)
		}
		tb.Cleanup(func() { _ = e.Conn.Close() })
		w.conn, w.caps = e.Conn, e.Capabilities
		n++
		w.fake = w.connect(fmt.Sprintf("c%d", n), &ServerFacts{
			Capabilities: e.Capabilities, ThreadID: e.ThreadID, MariaDB: e.Greeting.MariaDB(), Status: e.Status,
			Schema: e.Schema, Base: e.Base, Collation: e.Collation, Setup: Setup,
		})
	}
	w.redial()
	return w
}

// client logs in and lets the session begin.
func (w *realWorld) client(name, schema string) *fakeClient {
	caps := w.caps | wire.Always
	if strings.HasPrefix(name, "old") {
		caps &^= wire.ClientDeprecateEOF | wire.ClientSessionTrack
	}
	c := w.login(name, Options{
		ThreadID: 7777, User: "root", Capabilities: caps, LoginSeq: 2, Collation: wire.CollationUTF8MB4General, Schema: schema,
	})
	w.settle(c)
	w.take()
	return c
}

// settle exchanges bytes with the server until the session waits for its client.
func (w *realWorld) settle(c *fakeClient) {
	w.tb.Helper()
	ctx, cancel := context.WithTimeout(w.tb.Context(), 10*time.Second)
	defer cancel()
	limit, _ := ctx.Deadline()
	sent := 0
	buf := make([]byte, 1<<16)
	for {
		for ; sent < len(w.events); sent++ {
			if e := w.events[sent]; e.bytes != nil && e.to == w.fake.name {
				if _, err := w.conn.Write(e.bytes); err != nil {
					w.tb.Fatal(err)
				}
				w.events[sent] = event{to: e.to, text: "sent " + decode(e.bytes, false, w.caps)}
			}
		}
		if c.conn == nil || c.closed || c.session.AwaitsClient() {
			return
		}
		if err := w.conn.SetReadDeadline(limit); err != nil {
			w.tb.Fatal(err)
		}
		n, err := w.conn.Read(buf)
		if err != nil {
			w.fail("reading: %v", err)
		}
		w.fake.feed(buf[:n])
	}
}

// ask sends commands of a client, one after the other, and gives what it was told.
func (w *realWorld) ask(c *fakeClient, line string) string {
	w.tb.Helper()
	p, err := encode(line, 0, c.session.caps)
	if err != nil {
		w.tb.Fatal(err)
	}
	c.feed(p)
	w.settle(c)
	var out []string
	for _, l := range w.take() {
		if text, ok := strings.CutPrefix(l, c.name+"< "); ok {
			out = append(out, text)
		}
	}
	return strings.Join(out, " ")
}

// timeUp lets the moment pass for which a session keeps its connection in case that the
// client asks of its newest statement.
func (w *realWorld) timeUp(c *fakeClient) {
	if c.session.lingering {
		c.session.TimeUp()
		w.run()
		w.settle(c)
		w.take()
	}
}

// rows gives the rows of a reply only.
func rows(reply string) string {
	var out []string
	for part := range strings.SplitSeq(reply, " | ") {
		_, part, _ = strings.Cut(part, ":")
		switch {
		case strings.HasPrefix(part, "Row"):
			out = append(out, strings.TrimPrefix(part, "Row "))
		case strings.HasPrefix(part, "Err"):
			out = append(out, part[:len("Err 1234")])
		}
	}
	return strings.Join(out, ";")
}

// TestRealServers lets two clients take turns on one connection, and compares what
// each of them sees with what it would see on one of its own.
func TestRealServers(t *testing.T) {
	for _, flavor := range myserver.Flavors() {
		t.Run(string(flavor), func(t *testing.T) {
			w := newRealWorld(t, flavor)
			a := w.client("a", "")
			w.ask(a, `Query "drop database if exists sess_a"`)
			w.ask(a, `Query "create database sess_a"`)
			for _, sql := range []string{"use sess_a", "create table t (id int auto_increment primary key, v int)"} {
				if r := w.ask(a, fmt.Sprintf("Query %q", sql)); strings.Contains(r, "Err") {
					t.Fatal(sql, r)
				}
			}
			w.timeUp(a)
			w.fake.closed = true
			w.redial() // the first has a default schema now, which b must not have
			b := w.client("old2", "sess_a")
			for _, step := range turns {
				c := map[string]*fakeClient{"a": a, "b": b}[step.who]
				if got := rows(w.ask(c, step.line)); got != step.want {
					t.Errorf("%s> %s\ngot  %s\nwant %s", step.who, step.line, got, step.want)
				}
				w.timeUp(c)
				if c.conn != nil != step.holds {
					t.Errorf("%s> %s: holds the connection: %v, pins %s", step.who, step.line, c.conn != nil, c.session.Pins())
				}
			}
		})
	}
}

// turns are what the clients do, one after the other.
var turns = []struct {
	who, line, want string
	holds           bool
}{
	{"a", `Query "set time_zone='+03:00'"`, "", false},
	{"b", `Query "select @@time_zone"`, `"SYSTEM"`, false},
	{"a", `Query "select @@time_zone"`, `"+03:00"`, false},
	{"a", `Query "set names latin1 collate latin1_bin"`, "", false},
	{"b", `Query "select @@collation_connection = 'latin1_bin', @@character_set_client"`, `"0" "utf8mb4"`, false},
	{"a", `Query "select @@collation_connection, @@character_set_client"`, `"latin1_bin" "latin1"`, false},
	{"a", `Query "set foreign_key_checks=0, sql_safe_updates=1"`, "", false},
	{"b", `Query "select @@foreign_key_checks, @@sql_safe_updates"`, `"1" "0"`, false},
	{"a", `Query "select @@foreign_key_checks, @@sql_safe_updates"`, `"0" "1"`, false},
	{"a", `Query "insert into sess_a.t (v) values (1)"`, "", false},
	{"b", `Query "select last_insert_id()"`, `"0"`, false},
	{"a", `Query "select last_insert_id(), row_count()"`, `"1" "1"`, false},
	{"b", `Query "insert into t (id, v) values (100, 2), (101, 3)"`, "", false},
	{"a", `Query "select row_count() as n, connection_id()"`, `"-1" "7777"`, false},
	{"b", `Query "select row_count()"`, `"2"`, false},
	{"b", `Query "select last_insert_id()"`, `"0"`, false},
	{"a", `Query "select * from t"`, `"1" "1";"100" "2";"101" "3"`, false},
	{"b", `Query "select found_rows() as n"`, `"1"`, false},
	{"b", `Query "select nothing"`, `Err 1054`, false},
	{"a", `Query "show warnings"`, "", false},
	{"b", `Query "select 1"`, `"1"`, false},
	{"a", `Query "set autocommit=0"`, "", false},
	{"a", `Query "select @@autocommit"`, `"0"`, false},
	{"a", `Query "insert into t (v) values (9)"`, "", true},
	{"a", `Query "rollback"`, "", false},
	{"b", `Query "select @@autocommit"`, `"1"`, false},
	{"b", `Query "select count(*) from t"`, `"3"`, false},
	{"a", `Query "set autocommit=1"`, "", false},
	{"a", `Query "set @x=1"`, "", true},
	{"a", `Query "set timestamp=1000, insert_id=5"`, "", true},
	{"a", `ResetConnection`, "", false},
	{"b", `Query "select @x is null, unix_timestamp() > 1000, @@time_zone"`, `"1" "1" "SYSTEM"`, false},
	{"a", `Query "select @@time_zone, @@foreign_key_checks, database()"`, `"SYSTEM" "1" "sess_a"`, false},
	{"a", `Query "lock tables t write"`, "", true},
	{"a", `Query "unlock tables"`, "", false},
	{"a", `Query "set transaction isolation level serializable"`, "", true},
	{"a", `Query "begin"`, "", true},
	{"a", `Query "commit"`, "", false},
	{"a", `Query "create temporary table tt (a int)"`, "", true},
	{"a", `ResetConnection`, "", false},
	{"a", `Prepare "select v from t where id = ?"`, "", false},
	{"b", `Prepare "select v from t where id = ?"`, "", false},
	{"a", `Query "select get_lock('sess', 0)"`, `"1"`, true},
	{"a", `Query "do release_all_locks()"`, "", false},
	{"a", `SetOption 1`, "", false},
	{"b", `Query "select 1; select 2"`, `"1";"2"`, false},
	{"a", `Query "do 1; do 2"`, `Err 1064`, false},
	{"a", `Query "select 1"`, `"1"`, false},
	{"a", `SetOption 0`, "", false},
	{"a", `Query "select 1; select 2"`, `"1";"2"`, false},
	{"b", `Query "drop database sess_a"`, "", false},
}
