// SPDX-License-Identifier: Apache-2.0

package mysession

import (
	"bytes"
	"testing"

	wire "github.com/rdsproxy/rdsproxy/pkg/wire/mysql"
)

// fuzzWorld is a session and two connections. The world checks that nobody is sent
// anything after the end, that a connection that is owed a reply is not given back,
// and that every call uses what it says it has used.
func fuzzWorld(tb testing.TB, step byte) (*world, *fakeClient) {
	w := newWorld(tb)
	w.quiet = true
	w.chunk = func(n int) int { return min(n, 1+int(step)) }
	caps := wire.ClientLocalFiles | wire.ClientMultiStatements
	facts := func() *ServerFacts {
		return &ServerFacts{
			Capabilities: wire.Always | caps, Status: wire.StatusAutocommit, Setup: "SET UP", MariaDB: step&1 == 0,
			Base: map[string]string{"autocommit": "ON", "time_zone": "SYSTEM", "collation_connection": "utf8mb4_bin"},
		}
	}
	w.connect("c1", facts())
	w.connect("c2", facts())
	client := caps | wire.Always
	if step&2 != 0 {
		client &^= wire.ClientDeprecateEOF | wire.ClientSessionTrack
	}
	return w, w.login("a", Options{ThreadID: 77, User: "app", LoginSeq: 2, Capabilities: client, ResendWrites: true})
}

// feedAny gives bytes to whatever connection the client has, or else to one that
// nobody has.
func feedAny(w *world, c *fakeClient, p []byte) {
	if c.conn != nil && !c.conn.closed {
		c.conn.feed(p)
	}
	_ = w
}

func seeds(tb testing.TB, lines ...string) (out [][]byte) {
	for _, line := range lines {
		p, err := encode(line, 0, wire.Always)
		if err != nil {
			tb.Fatal(err)
		}
		out = append(out, p)
	}
	return out
}

func FuzzClientBytes(f *testing.F) {
	reply, _ := encode(`OK`, 1, wire.Always)
	rows, _ := encode(`Cols x | Row 1 | End`, 1, wire.Always)
	prepared, _ := encode(`Prepared 3 1 1 | Def x | Def y`, 1, wire.Always)
	for i, p := range seeds(f,
		`Query "select 1"`, `Prepare "select ?" | Execute 1 null=00 types=0300`, `Ping | Statistics | InitDB x`,
		`LongData 1 0 abc | Fetch 1 2 | Reset 1 | Close 1`, `Query "set @x=1" | ResetConnection | Quit`,
		`Query "load data local infile 'x' into table t"`, `ChangeUser bob shop | Seq 2 | Data bob`,
		`Kill 7 | SetOption 1 | FieldList t | Command 250 xxxxxxxxxx`,
	) {
		f.Add(p, reply, byte(i))
		f.Add(p, rows, byte(i*3))
		f.Add(p, prepared, byte(255))
	}
	f.Fuzz(func(t *testing.T, p, answer []byte, step byte) {
		if len(p) > 4096 || len(answer) > 4096 {
			return
		}
		w, c := fuzzWorld(t, step)
		for range 4 {
			if !c.closed {
				c.feed(bytes.Clone(p))
			}
			feedAny(w, c, bytes.Clone(answer))
			w.take()
		}
		finish(w, c)
	})
}

func FuzzServerBytes(f *testing.F) {
	for i, line := range []string{
		`OK`, `OK id=7 rows=1`, `Cols x y | Row 1 2 | End`, `Cols x | End cursor`, `Err 1064 "x"`, `File x`,
		`Prepared 1 1 1 | Def x | Def y`, `Err 1290 "--read-only"`, `OK more | Cols x | Row 1 | End var=autocommit:OFF changed schema=x chars=x trx=T_______`,
	} {
		p, err := encode(line, 1, wire.Always)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(p, p, byte(i))
	}
	f.Fuzz(func(t *testing.T, p, q []byte, step byte) {
		if len(p) > 4096 || len(q) > 4096 {
			return
		}
		for _, command := range []string{
			`Query "select last_insert_id(), row_count()"`, `Prepare "select ?"`, `Execute 1 cursor`, `Statistics`,
			`Query "load data local infile 'x' into table t"`, `ResetConnection`, `Query "insert into t values (1)"`,
		} {
			w, c := fuzzWorld(t, step)
			line, err := encode(command, 0, c.session.caps)
			if err != nil {
				t.Fatal(err)
			}
			c.feed(line)
			feedAny(w, c, bytes.Clone(p))
			feedAny(w, c, bytes.Clone(q))
			w.take()
			finish(w, c)
		}
	})
}

// finish lets the client go, in the middle of whatever it does.
func finish(w *world, c *fakeClient) {
	if !c.closed && !c.gone {
		c.gone = true
		c.session.ClientGone()
		w.run()
	}
	for range 4 {
		if c.cancels > 0 && c.conn != nil {
			c.cancels--
			c.session.CancelDone(c.conn.server)
		}
		if c.conn != nil {
			ok, _ := encode(`OK`, c.conn.server.x.seq, wire.Always)
			feedAny(w, c, ok)
		}
	}
	if c.conn != nil && !c.conn.closed {
		d := c.conn
		d.closed = true
		c.conn, d.borrower = nil, nil
		c.session.ServerGone()
	}
	w.run()
	if !c.session.Closed() {
		w.fail("the session does not end")
	}
}
