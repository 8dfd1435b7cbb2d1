// SPDX-License-Identifier: Apache-2.0

package mysql_test

import (
	"bytes"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/rdsproxy/rdsproxy/pkg/wire/mysql"
)

// Each target demands more than that nothing panics: what was understood comes out the same when it is built and read
// once more.

// seeds adds the payloads of a kind out of the captures.
func seeds(f *testing.F, add func(payload []byte, caps uint64), kinds ...string) {
	f.Helper()
	for _, c := range captures(f) {
		for _, x := range c.all {
			for _, k := range kinds {
				if x.kind == k || x.kind == "" && x.ask == k {
					add(x.payload(), uint64(c.caps))
				}
			}
		}
	}
}

var sameBytes = cmp.Comparer(bytes.Equal)

func FuzzGreeting(f *testing.F) {
	seeds(f, func(p []byte, _ uint64) { f.Add(p) }, "greeting", "err")
	f.Fuzz(func(t *testing.T, p []byte) {
		g, err := mysql.ParseGreeting(p)
		if err != nil {
			return
		}
		if bytes.ContainsRune(g.Salt, 0) || !g.Capabilities.Has(mysql.ClientPluginAuth) {
			return // the salt has no length of its own, and no zeros in it
		}
		again, err := mysql.ParseGreeting(mysql.AppendGreeting(nil, 0, g)[4:])
		if err != nil || cmp.Diff(g, again) != "" {
			t.Fatalf("%v\n%s", err, cmp.Diff(g, again))
		}
	})
}

func FuzzLogin(f *testing.F) {
	seeds(f, func(p []byte, _ uint64) { f.Add(p) }, "login")
	for _, l := range logins {
		f.Add(mysql.AppendLogin(nil, 1, l)[4:])
	}
	f.Fuzz(func(t *testing.T, p []byte) {
		l, err := mysql.ParseLogin(p)
		if err != nil || mysql.IsSSLRequest(p) {
			return
		}
		packet := mysql.AppendLogin(nil, 1, l)[4:]
		if len(packet) > mysql.MaxLogin {
			return // a field that was left out was added
		}
		again, err := mysql.ParseLogin(packet)
		if err != nil || cmp.Diff(l, again, sameBytes) != "" {
			t.Fatalf("%v\n%s", err, cmp.Diff(l, again, sameBytes))
		}
	})
}

func FuzzChangeUser(f *testing.F) {
	f.Add(changeUser("ann\x00", "\x03\x00ab", "shop\x00", "\xff\x01", "plug\x00", "\x04\x01a\x01b"), uint64(mysql.Always))
	f.Add(changeUser("ann\x00", "old\x00", "shop\x00"), uint64(base41))
	f.Fuzz(func(t *testing.T, p []byte, caps uint64) {
		c, err := mysql.ParseChangeUser(p, mysql.Capabilities(caps))
		if err != nil {
			return
		}
		size := len(c.User) + len(c.AuthResponse) + len(c.Schema) + len(c.Plugin)
		for _, a := range c.Attributes {
			size += len(a.Name) + len(a.Value)
		}
		if size > len(p) {
			t.Fatalf("%d bytes out of %d", size, len(p))
		}
	})
}

func FuzzAuthSwitch(f *testing.F) {
	f.Add([]byte("\xfemysql_native_password\x00salt\x00"))
	f.Add([]byte("\xfe"))
	f.Add([]byte("\x01\x03"))
	f.Fuzz(func(_ *testing.T, p []byte) {
		mysql.ParseAuthSwitch(p)
		mysql.ParseAuthMoreData(p)
	})
}

func FuzzOK(f *testing.F) {
	seeds(f, func(p []byte, caps uint64) { f.Add(p, caps) }, "ok", "end", "eof")
	f.Fuzz(func(t *testing.T, p []byte, bits uint64) {
		caps := mysql.Capabilities(bits)
		mysql.ParseEOF(p)
		if o, ok := mysql.ParseResultEnd(p, caps); ok {
			if again, ok := mysql.ParseResultEnd(mysql.AppendResultEnd(nil, 0, caps, o)[4:], caps); !ok || cmp.Diff(o, again, sameBytes) != "" {
				t.Fatal(cmp.Diff(o, again, sameBytes))
			}
		}
		o, ok := mysql.ParseOK(p, caps)
		if !ok {
			return
		}
		again, ok := mysql.ParseOK(mysql.AppendOK(nil, 0, caps, o)[4:], caps)
		if !ok || cmp.Diff(o, again, sameBytes) != "" {
			t.Fatal(cmp.Diff(o, again, sameBytes))
		}
	})
}

func FuzzError(f *testing.F) {
	seeds(f, func(p []byte, _ uint64) { f.Add(p) }, "err")
	f.Fuzz(func(t *testing.T, p []byte) {
		e, ok := mysql.ParseError(p)
		if !ok {
			return
		}
		_ = e.Error()
		caps := mysql.Capabilities(0)
		if e.State != "" {
			caps = mysql.ClientProtocol41
		}
		if got := mysql.AppendError(nil, 0, caps, e)[4:]; !bytes.Equal(got, p) {
			t.Fatalf("%q, from %q", got, p)
		}
	})
}

func FuzzSessionTrack(f *testing.F) {
	f.Add(track())
	for _, c := range captures(f) {
		for _, x := range c.all {
			if o, ok := mysql.ParseOK(x.payload(), c.caps); ok && x.kind == "ok" {
				f.Add(o.Track)
			}
		}
	}
	f.Fuzz(func(t *testing.T, p []byte) {
		tracks := mysql.ReadTracks(p)
		size := 0
		for _, data, ok := tracks.Next(); ok; _, data, ok = tracks.Next() {
			size += len(data) + 2
			vars := mysql.ReadVariables(data)
			for name, value, ok := vars.Next(); ok; name, value, ok = vars.Next() {
				if len(name)+len(value) > len(data) {
					t.Fatal("too much")
				}
			}
			mysql.TrackValue(data)
			mysql.TrackGTIDSet(data)
		}
		if size > len(p) {
			t.Fatalf("%d bytes out of %d", size, len(p))
		}
	})
}

func FuzzResult(f *testing.F) {
	seeds(f, func(p []byte, caps uint64) { f.Add(p, caps) }, "count", "column", "fieldcolumn", "prepared", "row")
	f.Fuzz(func(t *testing.T, p []byte, bits uint64) {
		caps := mysql.Capabilities(bits)
		mysql.ReplyOf(p)
		if n, metadata, ok := mysql.ParseColumnCount(p, caps); ok {
			again, also, ok := mysql.ParseColumnCount(mysql.AppendColumnCount(nil, 0, caps, n, metadata)[4:], caps)
			if again != n || also != metadata || !ok {
				t.Fatal(n, again)
			}
		}
		if c, ok := mysql.ParseColumn(p, caps); ok {
			again, ok := mysql.ParseColumn(mysql.AppendColumn(nil, 0, caps, &c)[4:], caps)
			if !ok || cmp.Diff(c, again, sameBytes) != "" {
				t.Fatal(cmp.Diff(c, again, sameBytes))
			}
		}
		if s, ok := mysql.ParsePrepared(p, caps); ok {
			if again, ok := mysql.ParsePrepared(mysql.AppendPrepared(nil, 0, caps, s)[4:], caps); !ok || again != s {
				t.Fatal(s, again)
			}
		}
		row := mysql.ReadTextRow(p)
		for _, ok := row.Next(); ok; _, ok = row.Next() {
		}
	})
}

// FuzzRows: rows are skipped to the same place in whatever cuts they come.
func FuzzRows(f *testing.F) {
	f.Add(append(mysql.AppendTextRow(nil, 0, []byte("a"), nil), mysql.AppendEOF(nil, 1, 0, 0)...), 3)
	f.Fuzz(func(t *testing.T, p []byte, step int) {
		step = max(1, min(step, len(p)))
		n, s, out, after := skipAll(p, max(len(p), 1), mysql.Rows{})
		n2, s2, out2, after2 := skipAll(p, step, mysql.Rows{})
		if n != n2 || s != s2 || !bytes.Equal(out, out2) || after != after2 || n > len(p) {
			t.Fatalf("%d, %v, %+v; by %d: %d, %v, %+v", n, s, after, step, n2, s2, after2)
		}
		if !bytes.Equal(out, p[:n]) {
			t.Fatal("ids changed without a shift")
		}
	})
}

func fuzzExecute(f *testing.F, bulk bool) {
	for _, c := range executes {
		if (c.payload[0] == 0xfa) == bulk {
			f.Add([]byte(c.payload), uint64(c.caps), uint16(c.params))
		}
	}
	seeds(f, func(p []byte, caps uint64) { f.Add(p, caps, uint16(2)) }, "execute")
	f.Fuzz(func(t *testing.T, p []byte, bits uint64, params uint16) {
		caps := mysql.Capabilities(bits)
		x, need, err := mysql.ParseExecute(p, len(p), caps, int(params))
		if err != nil {
			return
		}
		if need != 0 || x.Values > len(p) {
			t.Fatalf("all of it is there, and %d bytes are needed", need)
		}
		for _, n := range []int{0, 1, 9, 10, 11, x.Values / 2, max(x.Values-1, 0)} {
			if n = min(n, x.Values); n < x.Values {
				if _, need, err := mysql.ParseExecute(p[:n:n], len(p), caps, int(params)); err != nil || need <= n || need > x.Values {
					t.Fatalf("%d of %d bytes: need %d, %v", n, x.Values, need, err)
				}
			}
		}
		x.CheckValues(p, caps, x.Types, nil)
		got := x.AppendExecute(nil, p, 9, x.Types)[4:]
		y, need, err := mysql.ParseExecute(got, len(got), caps, int(params))
		if err != nil || need != 0 || y.ID != 9 || y.Params != x.Params || !bytes.Equal(y.Types, x.Types) || !bytes.Equal(got[y.Values:], p[x.Values:]) {
			t.Fatalf("%+v from %+v, %v", y, x, err)
		}
	})
}

func FuzzExecute(f *testing.F) { fuzzExecute(f, false) }

func FuzzBulkExecute(f *testing.F) { fuzzExecute(f, true) }

func FuzzQueryText(f *testing.F) {
	f.Add([]byte("\x03\x02\x01\x02\x01\xfd\x00\x03one\x08\x00\x00\x03abcSELECT 1"), uint64(named))
	f.Add([]byte("\x03SELECT 1"), uint64(plain))
	f.Fuzz(func(t *testing.T, p []byte, caps uint64) {
		at, need, err := mysql.QueryText(p, len(p), mysql.Capabilities(caps))
		if err == nil && (need != 0 || at < 1 || at > len(p)) {
			t.Fatal(at, need)
		}
		for n := range min(len(p), 40) {
			at2, need2, err2 := mysql.QueryText(p[:n:n], len(p), mysql.Capabilities(caps))
			if err == nil && (err2 != nil || need2 > at || need2 <= n && at2 != at) {
				t.Fatal(n, at, at2, need2, err2)
			}
		}
	})
}

func FuzzPacket(f *testing.F) {
	f.Add(mysql.AppendPacket(nil, 3, []byte("payload")))
	f.Fuzz(func(t *testing.T, p []byte) {
		payload, seq, rest, ok := mysql.CutPacket(p)
		if ok && len(payload) < mysql.MaxPayload && !bytes.Equal(append(mysql.AppendPacket(nil, seq, payload), rest...), p) {
			t.Fatal("differs")
		}
	})
}
