// SPDX-License-Identifier: Apache-2.0

package mysql_test

import (
	"testing"

	"github.com/rdsproxy/rdsproxy/pkg/wire/mysql"
)

// hot is what is done for each command or each packet.
func hot() map[string]func() {
	buf := make([]byte, 0, 4096)
	header := []byte{1, 2, 3, 4}
	ok := mysql.AppendOK(nil, 1, mysql.Always, mysql.OK{InsertID: 300, Info: []byte("text"), Track: track()})[4:]
	okay, _ := mysql.ParseOK(ok, mysql.Always)
	count := mysql.AppendColumnCount(nil, 1, mysql.Always, 300, true)[4:]
	column := mysql.AppendColumn(nil, 1, mysql.Always, &mysql.Column{Name: []byte("name"), Table: []byte("table")})[4:]
	var rows []byte
	for range 100 {
		rows = mysql.AppendTextRow(rows, 0, make([]byte, 60), nil, []byte("1"))
	}
	for i, at := byte(0), 0; at < len(rows); i++ {
		n, _ := mysql.ParseHeader(rows[at:])
		mysql.PutHeader(rows[at:], n, i)
		at += 4 + n
	}
	execute := []byte(executes["types"].payload)
	attributes := []byte(executes["an attribute"].payload)
	query := []byte("\x03\x02\x01\x02\x01\xfd\x00\x03one\x08\x00\x00\x03abcSELECT 1")
	errPacket := mysql.AppendError(nil, 1, mysql.Always, mysql.Malformed())[4:]
	return map[string]func(){
		"header":   func() { mysql.ParseHeader(header); mysql.PutHeader(header, 7, 1) },
		"OK":       func() { mysql.ParseOK(ok, mysql.Always) },
		"OK, anew": func() { mysql.AppendOK(buf, 1, mysql.Always, okay) },
		"tracks": func() {
			tracks := mysql.ReadTracks(okay.Track)
			for _, data, ok := tracks.Next(); ok; _, data, ok = tracks.Next() {
				vars := mysql.ReadVariables(data)
				vars.Next()
			}
		},
		"column count": func() { mysql.ReplyOf(count); mysql.ParseColumnCount(count, mysql.Always) },
		"column":       func() { mysql.ParseColumn(column, mysql.Always) },
		"100 rows":     func() { r := mysql.Rows{}; r.Skip(rows) },
		"execute": func() {
			x, _, _ := mysql.ParseExecute(execute, len(execute), plain, 2)
			x.AppendExecute(buf, execute, 9, nil)
		},
		"query text": func() { mysql.QueryText(query, len(query), named) },
		"query":      func() { mysql.AppendQuery(buf, plain, "SELECT 1") },
		"error code": func() { mysql.ErrorCode(errPacket) },
		"literal":    func() { mysql.AppendLiteral(buf, "it's") },
		"variable":   func() { mysql.AppendTrackVariable(buf, "autocommit", "ON") },
		"end":        func() { mysql.AppendResultEnd(buf, 1, base41, okay) },
		"with an attribute": func() {
			x, _, _ := mysql.ParseExecute(attributes, len(attributes), named, 1)
			x.CheckValues(attributes, named, x.Types, nil)
		},
	}
}

func TestHotPathDoesNotAllocate(t *testing.T) {
	for name, f := range hot() {
		if n := testing.AllocsPerRun(100, f); n != 0 {
			t.Errorf("%s: %v allocations", name, n)
		}
	}
}

func BenchmarkHotPath(b *testing.B) {
	for name, f := range hot() {
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				f()
			}
		})
	}
}

func BenchmarkCompression(b *testing.B) {
	text := make([]byte, 16<<10)
	for i := range text {
		text[i] = "select * from table where id = "[i%31] + byte(i/1000)
	}
	for name, build := range compressions {
		c := build()
		packed := c.Deflate(nil, text)
		buf := make([]byte, 0, 64<<10)
		b.Run("deflate/"+name, func(b *testing.B) {
			b.SetBytes(int64(len(text)))
			b.ReportAllocs()
			for b.Loop() {
				c.Deflate(buf, text)
			}
		})
		b.Run("inflate/"+name, func(b *testing.B) {
			b.SetBytes(int64(len(text)))
			b.ReportAllocs()
			for b.Loop() {
				if _, _, _, err := c.Inflate(buf, packed); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
