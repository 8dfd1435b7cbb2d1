// SPDX-License-Identifier: Apache-2.0

package mysql_test

import (
	"bytes"
	"testing"

	"github.com/rdsproxy/rdsproxy/pkg/wire/mysql"
)

// skipAll passes rows of p in cuts of step bytes, and returns how far it came, what stopped it and the bytes after it.
func skipAll(p []byte, step int, r mysql.Rows) (n int, s mysql.RowsState, out []byte, after mysql.Rows) {
	p = bytes.Clone(p)
	for end := min(step, len(p)); ; end = min(end+step, len(p)) {
		took, s := r.Skip(p[n:end:end])
		if n += took; s != mysql.RowsMore || end == len(p) {
			return n, s, p[:n], r
		}
	}
}

func TestRowsAreSkippedInAnyCut(t *testing.T) {
	const deprecate = mysql.Always
	row := mysql.AppendTextRow(nil, 5, []byte("one"), nil, []byte(""))
	row = mysql.AppendTextRow(row, 6, make([]byte, 300))
	row = append(row, "\x01\x00\x00\x07\x00"...) // binary, of no columns that are not NULL
	for name, end := range map[string][]byte{
		"OK":  mysql.AppendResultEnd(nil, 8, deprecate, mysql.OK{}),
		"EOF": mysql.AppendEOF(nil, 8, 0, 0),
		"ERR": mysql.AppendError(nil, 8, deprecate, mysql.NewError(mysql.CodeQueryInterrupted, "killed")),
	} {
		all := append(bytes.Clone(row), end...)
		for step := 1; step <= len(all); step++ {
			n, s, out, after := skipAll(all, step, mysql.Rows{Seq: 5, Shift: 1})
			if n != len(row) || s != mysql.RowsEnd || after.Seq != 8 || after.Count != 3 || !after.Between() {
				t.Fatalf("%s, by %d: %d of %d, %v, %+v", name, step, n, len(row), s, after)
			}
			if out[3] != 6 || bytes.Equal(out, row) {
				t.Fatalf("%s, by %d: sequence ids %x", name, step, out[:4])
			}
		}
		for cut := range len(row) {
			if n, s, _, _ := skipAll(all[:cut], 7, mysql.Rows{Seq: 5}); n > cut || s != mysql.RowsMore {
				t.Errorf("%s: %d bytes of %d: %d, %v", name, cut, len(row), n, s)
			}
		}
	}
}

func TestRowsBroken(t *testing.T) {
	for name, p := range map[string]string{
		"empty packet":           "\x00\x00\x00\x05",
		"wrong id":               "\x01\x00\x00\x06\x00",
		"wrong id of the end":    "\x05\x00\x00\x06\xfe\x00\x00\x00\x00",
		"wrong id behind a row":  "\x01\x00\x00\x05\x00\x01\x00\x00\x05\x00",
		"empty packet after one": "\x01\x00\x00\x05\x00\x00\x00\x00\x06",
	} {
		n, s, _, _ := skipAll([]byte(p), len(p), mysql.Rows{Seq: 5})
		if s != mysql.RowsBroken || n != 0 && n != 5 {
			t.Errorf("%s: %d, %v", name, n, s)
		}
	}
}

// TestLongRowIsNoEnd: a packet that begins with 0xFE and is full is a row with a value of 16 MiB, and whatever continues
// it is data, be it an empty packet or one that looks like an ERR packet.
func TestLongRowIsNoEnd(t *testing.T) {
	const m = mysql.MaxPayload
	value := bytes.Repeat([]byte{0xff}, 2*m)
	for name, size := range map[string]int{"goes on with data": m + 50, "goes on with nothing": 2*m - 9, "goes on with a byte": 2*m - 8} {
		row := mysql.AppendTextRow(nil, 1, value[:size])
		if row[4] != mysql.HeadEOF {
			t.Fatal("another first byte")
		}
		last := byte(1 + mysql.Packets(9+size))
		end := mysql.AppendResultEnd(nil, last, mysql.Always, mysql.OK{})
		for _, step := range []int{64 << 10, m, 3 * m} {
			n, s, out, after := skipAll(append(bytes.Clone(row), end...), step, mysql.Rows{Seq: 1, Shift: 255})
			if n != len(row) || s != mysql.RowsEnd || after.Count != 1 || after.Seq != last {
				t.Fatalf("%s, by %d: %d of %d, %v, %+v", name, step, n, len(row), s, after)
			}
			if out[3] != 0 || out[4+m+3] != 1 {
				t.Errorf("%s, by %d: ids %d, %d", name, step, out[3], out[4+m+3])
			}
		}
	}
}

func TestReplyOf(t *testing.T) {
	for in, want := range map[string]mysql.Reply{
		"": mysql.ReplyMalformed, "\x00": mysql.ReplyOK, "\xff": mysql.ReplyError, "\xfbfile": mysql.ReplyLocalInfile,
		"\xfe": mysql.ReplyMalformed, "\x01": mysql.ReplyColumns, "\xfc\x00\x10": mysql.ReplyColumns,
	} {
		if got := mysql.ReplyOf([]byte(in)); got != want {
			t.Errorf("%q: %d", in, got)
		}
	}
}

func TestColumnCount(t *testing.T) {
	for _, caps := range []mysql.Capabilities{0, mysql.ClientOptionalResultsetMetadata, mysql.MariaDBCacheMetadata} {
		for _, n := range []int{1, 250, 251, 4096, 65535} {
			for _, metadata := range []bool{true, caps == 0} {
				p := payloadOf(t, mysql.AppendColumnCount(nil, 1, caps, n, metadata), 1)
				if got, with, ok := mysql.ParseColumnCount(p, caps); got != n || with != metadata || !ok {
					t.Errorf("%x, %d: %d, %v, %v", uint64(caps), n, got, with, ok)
				}
				if _, _, ok := mysql.ParseColumnCount(append(p, 1), caps); ok {
					t.Error("a byte too many")
				}
			}
		}
	}
	// MySQL 9.7 after SET resultset_metadata=NONE.
	const optional = mysql.Always | mysql.ClientOptionalResultsetMetadata
	if n, metadata, ok := mysql.ParseColumnCount([]byte("\x02\x00"), optional); n != 2 || metadata || !ok {
		t.Error("a result without column definitions")
	}
	s, ok := mysql.ParsePrepared([]byte("\x00\x01\x00\x00\x00\x02\x00\x01\x00\x00\x00\x00\x00"), optional)
	if want := (mysql.Prepared{ID: 1, Columns: 2, Params: 1}); s != want || !ok {
		t.Errorf("a statement without column definitions: %+v", s)
	}
	for _, in := range []string{"", "\x00", "\xfb", "\xfd\x00\x00\x01", "\xfe\xff\xff\xff\xff\xff\xff\xff\xff", "\xfc\x01"} {
		if n, _, ok := mysql.ParseColumnCount([]byte(in), 0); ok {
			t.Errorf("%q: %d", in, n)
		}
	}
}

func TestTextRow(t *testing.T) {
	row := mysql.ReadTextRow([]byte("\x01a\xfb\x00"))
	a, ok1 := row.Next()
	null, ok2 := row.Next()
	empty, ok3 := row.Next()
	_, ok4 := row.Next()
	if string(a) != "a" || null != nil || empty == nil || len(empty) != 0 || !ok1 || !ok2 || !ok3 || ok4 || row.Malformed() {
		t.Error(a, null, empty, ok1, ok2, ok3, ok4)
	}
	row = mysql.ReadTextRow([]byte("\x05a"))
	if _, ok := row.Next(); ok || !row.Malformed() {
		t.Error("beyond the end")
	}
	if _, ok := row.Next(); ok {
		t.Error("goes on")
	}
}
