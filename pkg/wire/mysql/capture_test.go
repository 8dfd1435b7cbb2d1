// SPDX-License-Identifier: Apache-2.0

package mysql_test

import (
	"bytes"
	"encoding/hex"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"github.com/rdsproxy/rdsproxy/pkg/wire/mysql"
)

// exchange is a packet of testdata/*.txt: what real servers said to the client of one connection, and what it said. A
// line is the kind of packet, for the client's ("> ") what it asks, and the bytes. The first line behind the greeting has
// the capabilities that both agreed on.
type exchange struct {
	kind   string // ok, err, count, column, …; "" for the client's
	ask    string
	packet []byte
}

func (x exchange) payload() []byte { return x.packet[mysql.HeaderLen:] }

// capture is one connection.
type capture struct {
	name string
	caps mysql.Capabilities
	all  []exchange
}

func captures(tb testing.TB) (cs []capture) {
	tb.Helper()
	files, err := filepath.Glob("testdata/*.txt")
	if err != nil || len(files) == 0 {
		tb.Fatal("no captures", err)
	}
	for _, f := range files {
		text, err := os.ReadFile(f)
		if err != nil {
			tb.Fatal(err)
		}
		c := capture{name: filepath.Base(f)}
		for line := range strings.Lines(string(text)) {
			line = strings.TrimSpace(line)
			i := strings.LastIndexByte(line, ' ')
			if line[:i] == "caps" {
				v, err := strconv.ParseUint(line[i+1:], 16, 64)
				if err != nil {
					tb.Fatal(err)
				}
				c.caps = mysql.Capabilities(v)
				continue
			}
			x := exchange{kind: line[:i]}
			if ask, client := strings.CutPrefix(line[:i], "> "); client {
				x = exchange{ask: ask}
			}
			if x.packet, err = hex.DecodeString(line[i+1:]); err != nil {
				tb.Fatal(err)
			}
			c.all = append(c.all, x)
		}
		cs = append(cs, c)
	}
	return cs
}

// again decodes a packet and builds it anew. ok is false if the kind has no builder.
func again(tb testing.TB, x exchange, caps mysql.Capabilities) (built []byte, ok bool) {
	tb.Helper()
	_, seq := mysql.ParseHeader(x.packet)
	p := x.payload()
	must := func(ok bool) {
		tb.Helper()
		if !ok {
			tb.Fatalf("%s: not understood: %x", x.kind, p)
		}
	}
	switch x.kind {
	case "greeting":
		g, err := mysql.ParseGreeting(p)
		must(err == nil)
		return mysql.AppendGreeting(nil, seq, g), true
	case "ok":
		o, ok := mysql.ParseOK(p, caps)
		must(ok)
		return mysql.AppendOK(nil, seq, caps, o), true
	case "end":
		o, ok := mysql.ParseResultEnd(p, caps)
		must(ok)
		return mysql.AppendResultEnd(nil, seq, caps, o), true
	case "eof":
		o, ok := mysql.ParseEOF(p)
		must(ok)
		return mysql.AppendEOF(nil, seq, o.Status, o.Warnings), true
	case "err":
		e, ok := mysql.ParseError(p)
		must(ok)
		return mysql.AppendError(nil, seq, caps, e), true
	case "count":
		n, metadata, ok := mysql.ParseColumnCount(p, caps)
		must(ok)
		return mysql.AppendColumnCount(nil, seq, caps, n, metadata), true
	case "column", "fieldcolumn":
		c, ok := mysql.ParseColumn(p, caps)
		must(ok && (len(c.Rest) > 0) == (x.kind == "fieldcolumn"))
		return mysql.AppendColumn(nil, seq, caps, &c), true
	case "prepared":
		s, ok := mysql.ParsePrepared(p, caps)
		must(ok && s.Metadata)
		return mysql.AppendPrepared(nil, seq, caps, s), true
	case "row":
		if p[0] == 0 && len(p) > 1 { // of the binary protocol, or one that begins with an empty text
			return nil, false
		}
		var values [][]byte
		row := mysql.ReadTextRow(p)
		for v, ok := row.Next(); ok; v, ok = row.Next() {
			values = append(values, v)
		}
		must(!row.Malformed())
		return mysql.AppendTextRow(nil, seq, values...), true
	}
	return nil, false
}

// TestServersOwnBytes: each packet of a real server is understood, and comes out the same when it is built anew.
func TestServersOwnBytes(t *testing.T) {
	for _, c := range captures(t) {
		name, caps := c.name, c.caps
		kinds := map[string]int{}
		for _, x := range c.all {
			if built, ok := again(t, x, caps); ok {
				kinds[x.kind]++
				if x.kind == "eof" || x.kind == "end" && !caps.Has(mysql.ClientDeprecateEOF) {
					// MariaDB announces a block of session tracking here, for which there is no room.
					x.packet[mysql.HeaderLen+4] &^= byte(mysql.StatusSessionChanged >> 8)
				}
				if !bytes.Equal(built, x.packet) {
					t.Errorf("%s: %s\nserver %x\nours   %x", name, x.kind, x.packet, built)
				}
			}
		}
		for _, kind := range []string{"greeting", "ok", "end", "err", "count", "column", "fieldcolumn", "prepared", "row"} {
			if kinds[kind] == 0 {
				t.Errorf("%s: no %s", name, kind)
			}
		}
	}
}

// TestServersBytesInPieces: what is cut short is not understood, and nothing panics.
func TestServersBytesInPieces(t *testing.T) {
	for _, c := range captures(t) {
		name, caps := c.name, c.caps
		for _, x := range c.all {
			p := x.payload()
			for n := range p {
				cut := p[:n:n]
				_, err := mysql.ParseGreeting(cut)
				_, count := mysql.ParseColumn(cut, caps)
				o, okay := mysql.ParseOK(cut, caps)
				s, prepared := mysql.ParsePrepared(cut, caps)
				mysql.ParseError(cut)
				mysql.ParseResultEnd(cut, caps)
				mysql.ParseColumnCount(cut, caps)
				mysql.ReplyOf(cut)
				switch {
				case x.kind == "column" && count,
					// The text may be missing as a whole, and so may be what is behind the first 9 bytes of a prepared.
					x.kind == "ok" && okay && (len(o.Info) > 0 || o.Status.Has(mysql.StatusSessionChanged)) && caps.Has(mysql.ClientSessionTrack),
					x.kind == "prepared" && prepared && n < 10 && s.ID > 0,
					x.kind == "greeting" && err == nil && n < bytes.LastIndexByte(p[:len(p)-1], 0):
					t.Fatalf("%s: %d bytes of %s %x understood", name, n, x.kind, p)
				}
			}
		}
	}
}

// TestServersSessionTracking reads what the servers told about the statements of a capture.
func TestServersSessionTracking(t *testing.T) {
	for _, c := range captures(t) {
		name, caps := c.name, c.caps
		if !caps.Has(mysql.ClientSessionTrack) {
			continue
		}
		got, ask := map[string]string{}, ""
		for _, x := range c.all {
			if x.kind == "" {
				ask = x.ask
			}
			if x.kind != "ok" && x.kind != "end" {
				continue
			}
			o, ok := mysql.ParseOK(x.payload(), caps)
			if !ok {
				t.Fatalf("%s: %s: %x", name, ask, x.packet)
			}
			got[ask] += describe(t, o.Track)
		}
		for ask, want := range map[string]string{
			"init":                                 "schema=wire state=1 ",
			"SET time_zone='+01:00', autocommit=0": "autocommit=OFF time_zone=+01:00 state=1 ",
			"USE mysql":                            "schema=mysql state=1 ",
			"SET @u=1":                             "state=1 ",
			"COMMIT":                               "transaction=________ characteristics= ",
			"ROLLBACK":                             "transaction=________ ",
			"SELECT * FROM t LIMIT 3":              "transaction=T_R_WsS_ ",
			"SET TRANSACTION ISOLATION LEVEL SERIALIZABLE": "characteristics=SET TRANSACTION ISOLATION LEVEL SERIALIZABLE; ",
			"SELECT 1; SET autocommit=1; SELECT 2":         "autocommit=ON state=1 ",
			"ping":                                         "",
		} {
			if strings.Contains(ask, "; ") && !caps.Has(mysql.ClientMultiStatements) {
				want = "" // an error
			}
			if got[ask] != want {
				t.Errorf("%s: %s: got %q, want %q", name, ask, got[ask], want)
			}
		}
	}
}

// describe writes a block of session tracking as text, without the variable that MySQL changes at each statement.
func describe(t *testing.T, block []byte) string {
	t.Helper()
	var b strings.Builder
	tracks := mysql.ReadTracks(block)
	for typ, data, ok := tracks.Next(); ok; typ, data, ok = tracks.Next() {
		value, whole := mysql.TrackValue(data)
		if !whole && typ != mysql.TrackVariables && typ != mysql.TrackState && typ != mysql.TrackGTIDs {
			t.Fatalf("type %d: %x", typ, data)
		}
		switch typ {
		case mysql.TrackVariables:
			vars := mysql.ReadVariables(data)
			for name, value, ok := vars.Next(); ok; name, value, ok = vars.Next() {
				if string(name) != "statement_id" {
					b.WriteString(string(name) + "=" + string(value) + " ")
				}
			}
			if vars.Malformed() {
				t.Fatalf("variables: %x", data)
			}
		case mysql.TrackSchema:
			b.WriteString("schema=" + string(value) + " ")
		case mysql.TrackState:
			b.WriteString("state=" + string(data) + " ")
		case mysql.TrackGTIDs:
			gtids, _ := mysql.TrackGTIDSet(data)
			b.WriteString("gtids=" + string(gtids) + " ")
		case mysql.TrackCharacteristics:
			b.WriteString("characteristics=" + string(value) + " ")
		case mysql.TrackTransaction:
			b.WriteString("transaction=" + string(value) + " ")
		}
	}
	if tracks.Malformed() {
		t.Fatalf("block: %x", block)
	}
	return b.String()
}

// TestServersLogins: the packets that the client of the captures sent are read back.
func TestServersLogins(t *testing.T) {
	for _, c := range captures(t) {
		name, caps := c.name, c.caps
		for _, x := range c.all {
			switch {
			case x.ask == "login" && x.kind == "":
				l, err := mysql.ParseLogin(x.payload())
				if err != nil {
					t.Fatal(name, err)
				}
				if l.User != "root" || l.Capabilities != caps || l.Collation != 45 ||
					caps.Has(mysql.ClientConnectWithDB) != (l.Schema == "mysql") ||
					len(l.Attributes) != 1 || l.Attributes[0] != (mysql.Attribute{Name: "program_name", Value: "capture"}) {
					t.Errorf("%s: %+v", name, l)
				}
			case strings.HasPrefix(x.ask, "SELECT") && x.kind == "":
				at, need, err := mysql.QueryText(x.payload(), len(x.payload()), caps)
				if err != nil || need != 0 || string(x.payload()[at:]) != x.ask {
					t.Errorf("%s: %s: %d, %d, %v", name, x.ask, at, need, err)
				}
			case x.ask == "execute":
				checkExecute(t, name, x.payload(), caps)
			}
		}
	}
}

func checkExecute(t *testing.T, name string, p []byte, caps mysql.Capabilities) {
	t.Helper()
	e, need, err := mysql.ParseExecute(p, len(p), caps, 2)
	if err != nil || need != 0 || e.Params != 2 || string(p[e.Values:]) != "\x02hi\x05\x00\x00\x00" {
		t.Fatalf("%s: %+v, %d, %v", name, e, need, err)
	}
	types := e.Types
	if !e.HasTypes {
		types = []byte{0xfd, 0, 3, 0}
		if caps.Has(mysql.ClientQueryAttributes) {
			types = []byte{0xfd, 0, 0, 3, 0, 0}
		}
	}
	if !e.CheckValues(p, caps, types, nil) {
		t.Errorf("%s: values", name)
	}
}
