// SPDX-License-Identifier: Apache-2.0

package mysql_test

import (
	"bytes"
	"math"
	"testing"

	gomysql "github.com/go-mysql-org/go-mysql/mysql"

	"github.com/rdsproxy/rdsproxy/pkg/wire/mysql"
)

var borders = []uint64{
	0, 1, 250, 251, 252, 255, 256, 65535, 65536, 1<<24 - 1, 1 << 24, 1<<32 - 1, 1 << 32, 1<<63 - 1, 1 << 63, math.MaxUint64,
}

func TestLenencIntAgreesWithGoMySQL(t *testing.T) {
	for _, v := range borders {
		p := mysql.AppendLenencInt(nil, v)
		if want := gomysql.PutLengthEncodedInt(v); !bytes.Equal(p, want) {
			t.Errorf("%d: %x, go-mysql %x", v, p, want)
		}
		if mysql.LenencSize(v) != len(p) {
			t.Errorf("%d: size %d", v, mysql.LenencSize(v))
		}
		got, n, ok := mysql.ReadLenencInt(append(p, 0xff))
		if got != v || n != len(p) || !ok {
			t.Errorf("%d: %d, %d, %v", v, got, n, ok)
		}
		for cut := range p {
			if _, _, ok := mysql.ReadLenencInt(p[:cut]); ok {
				t.Errorf("%d: %d bytes are enough", v, cut)
			}
		}
	}
}

func TestLenencIntThatIsNone(t *testing.T) {
	for _, p := range []string{"", "\xfb12345678", "\xff12345678"} {
		if v, n, ok := mysql.ReadLenencInt([]byte(p)); ok || v != 0 || n != 0 {
			t.Errorf("%q: %d, %d", p, v, n)
		}
	}
}

// TestLenencStringBeyondItsEnd: the lengths that wrap around when they are added to a position (GHSA-x23w-3v26-vgvj and
// the like) are refused.
func TestLenencStringBeyondItsEnd(t *testing.T) {
	for _, v := range borders[1:] {
		p := mysql.AppendLenencInt(nil, v)
		if s, _, ok := mysql.ReadLenencString(p); ok {
			t.Errorf("%d: %d bytes", v, len(s))
		}
		if v < 1<<16 {
			p = append(p, make([]byte, v)...)
			if _, _, ok := mysql.ReadLenencString(p[:len(p)-1]); ok {
				t.Errorf("%d: one byte short", v)
			}
			if s, rest, ok := mysql.ReadLenencString(append(p, 'x')); !ok || uint64(len(s)) != v || string(rest) != "x" {
				t.Errorf("%d: %d bytes, rest %q, %v", v, len(s), rest, ok)
			}
		}
	}
	if got := mysql.AppendLenencString(nil, "abc"); string(got) != "\x03abc" {
		t.Errorf("%q", got)
	}
}
