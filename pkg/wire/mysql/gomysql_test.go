// SPDX-License-Identifier: Apache-2.0

package mysql_test

import (
	"context"
	"errors"
	"io"
	"net"
	"testing"

	"github.com/go-mysql-org/go-mysql/client"
	gomysql "github.com/go-mysql-org/go-mysql/mysql"

	"github.com/rdsproxy/rdsproxy/pkg/wire/mysql"
)

// peer answers a client of go-mysql with the packets of this package.
type peer struct {
	t    *testing.T
	conn net.Conn
	caps mysql.Capabilities
	pack *mysql.Compression
	in   []byte // plain, not consumed
	raw  []byte // frames, not consumed
}

// next returns the next payload; nil at the end of the connection.
func (p *peer) next() []byte {
	buf := make([]byte, 4096)
	for {
		if payload, _, rest, ok := mysql.CutPacket(p.in); ok {
			p.in = rest
			return payload
		}
		n, err := p.conn.Read(buf)
		if err != nil {
			if !errors.Is(err, io.EOF) && !errors.Is(err, io.ErrClosedPipe) {
				p.t.Error(err)
			}
			return nil
		}
		if p.pack == nil {
			p.in = append(p.in, buf[:n]...)
			continue
		}
		p.raw = append(p.raw, buf[:n]...)
		for {
			plain, n, _, err := p.pack.Inflate(p.in, p.raw)
			if err != nil {
				p.t.Error(err)
				return nil
			}
			if n == 0 {
				break
			}
			p.in, p.raw = plain, p.raw[n:]
		}
	}
}

func (p *peer) send(b []byte) {
	if p.pack != nil {
		b = p.pack.Deflate(nil, b)
	}
	if _, err := p.conn.Write(b); err != nil {
		p.t.Error(err)
	}
}

func (p *peer) serve() {
	defer p.conn.Close()
	offered := mysql.Always | mysql.ClientCompress | mysql.ClientZstd | mysql.ClientConnectWithDB
	p.send(mysql.AppendGreeting(nil, 0, &mysql.Greeting{
		Version: "8.4.0-test", ThreadID: 7, Salt: salt, Capabilities: offered, Collation: mysql.CollationUTF8MB40900,
		Status: mysql.StatusAutocommit, Plugin: mysql.PluginNative,
	}))
	l, err := mysql.ParseLogin(p.next())
	if err != nil || l.User != "ann" || l.Schema != "shop" || l.Plugin != mysql.PluginNative || len(l.AuthResponse) != 20 {
		p.t.Errorf("%+v, %v", l, err)
		return
	}
	p.caps = l.Capabilities & offered
	p.send(mysql.AppendAuthSwitch(nil, 2, mysql.PluginNative, salt))
	if answer := p.next(); len(answer) != 20 {
		p.t.Errorf("answer of %d bytes", len(answer))
		return
	}
	p.send(mysql.AppendOK(nil, 4, p.caps, mysql.OK{Status: mysql.StatusAutocommit}))
	p.pack = mysql.NewCompression(p.caps, l.ZstdLevel)
	for payload := p.next(); payload != nil; payload = p.next() {
		p.answer(payload)
	}
}

func (p *peer) answer(payload []byte) {
	at, _, err := mysql.QueryText(payload, len(payload), p.caps)
	switch mysql.Command(payload[0]) {
	case mysql.ComQuit:
	case mysql.ComStmtPrepare:
		b := mysql.AppendPrepared(nil, 1, p.caps, mysql.Prepared{ID: 5, Params: 1, Metadata: true})
		b = mysql.AppendColumn(b, 2, p.caps, &mysql.Column{Name: []byte("?"), Type: mysql.TypeVarString})
		if !p.caps.Has(mysql.ClientDeprecateEOF) {
			b = mysql.AppendEOF(b, 3, 0, 0)
		}
		p.send(b)
	case mysql.ComStmtExecute:
		x, need, err := mysql.ParseExecute(payload, len(payload), p.caps, 1)
		if err != nil || need != 0 || x.ID != 5 || !x.CheckValues(payload, p.caps, x.Types, nil) {
			p.t.Errorf("%+v, %d, %v", x, need, err)
		}
		p.send(mysql.AppendOK(nil, 1, p.caps, mysql.OK{AffectedRows: 300, InsertID: 1 << 40, Warnings: 2}))
	case mysql.ComQuery:
		if err != nil {
			p.t.Error(err)
		}
		if string(payload[at:]) != "SELECT it" {
			p.send(mysql.AppendError(nil, 1, p.caps, mysql.NewError(mysql.CodeParse, "no such text")))
			return
		}
		p.send(p.result())
	}
}

func (p *peer) result() []byte {
	b := mysql.AppendColumnCount(nil, 1, p.caps, 2, true)
	b = mysql.AppendColumn(b, 2, p.caps, &mysql.Column{Name: []byte("n"), Type: mysql.TypeLongLong, Flags: mysql.FlagUnsigned})
	b = mysql.AppendColumn(b, 3, p.caps, &mysql.Column{
		Schema: []byte("shop"), Table: []byte("t"), OrgTable: []byte("t"), Name: []byte("name"), OrgName: []byte("n2"),
		Type: mysql.TypeVarString, Collation: mysql.CollationUTF8MB40900, Length: 80,
	})
	seq := byte(4)
	if !p.caps.Has(mysql.ClientDeprecateEOF) {
		b = mysql.AppendEOF(b, seq, 0, 0)
		seq++
	}
	b = mysql.AppendTextRow(b, seq, []byte("18446744073709551615"), []byte("one"))
	b = mysql.AppendTextRow(b, seq+1, []byte("2"), nil)
	return mysql.AppendResultEnd(b, seq+2, p.caps, mysql.OK{Status: mysql.StatusInTrans, Warnings: 3})
}

// TestClientOfGoMySQL has another implementation read what is built here, and send what is read here.
func TestClientOfGoMySQL(t *testing.T) {
	for name, option := range map[string]client.Option{
		"as it is":        func(*client.Conn) error { return nil },
		"with EOF":        func(c *client.Conn) error { c.UnsetCapability(uint32(mysql.ClientDeprecateEOF)); return nil },
		"session track":   func(c *client.Conn) error { return c.SetCapability(uint32(mysql.ClientSessionTrack)) },
		"zlib compressed": func(c *client.Conn) error { return c.SetCapability(uint32(mysql.ClientCompress)) },
		"zstd compressed": func(c *client.Conn) error { return c.SetCapability(uint32(mysql.ClientZstd)) },
	} {
		t.Run(name, func(t *testing.T) {
			ours, theirs := net.Pipe()
			done := make(chan struct{})
			go func() {
				defer close(done)
				(&peer{t: t, conn: ours}).serve()
			}()
			dial := func(context.Context, string, string) (net.Conn, error) { return theirs, nil }
			c, err := client.ConnectWithDialer(t.Context(), "tcp", "db:3306", "ann", "secret", "shop", dial, option)
			if err != nil {
				t.Fatal(err)
			}
			talk(t, c)
			c.Close()
			<-done
		})
	}
}

func talk(t *testing.T, c *client.Conn) {
	t.Helper()
	r, err := c.Execute("SELECT it")
	if err != nil {
		t.Fatal(err)
	}
	n, _ := r.GetUint(0, 0)
	one, _ := r.GetString(0, 1)
	null, _ := r.IsNull(1, 1)
	f := r.Fields[1]
	if len(r.Values) != 2 || n != 1<<64-1 || one != "one" || !null || string(f.Name) != "name" || string(f.OrgName) != "n2" || f.ColumnLength != 80 {
		t.Errorf("%+v", r)
	}
	var e *gomysql.MyError
	if _, err = c.Execute("SELECT something else"); !errors.As(err, &e) || e.Code != mysql.CodeParse || e.State != "42000" || e.Message != "no such text" {
		t.Errorf("%v", err)
	}
	s, err := c.Prepare("INSERT INTO t VALUES (?)")
	if err != nil {
		t.Fatal(err)
	}
	if r, err = s.Execute("a value"); err != nil || r.AffectedRows != 300 || r.InsertId != 1<<40 || r.Warnings != 2 {
		t.Errorf("%+v, %v", r, err)
	}
}
