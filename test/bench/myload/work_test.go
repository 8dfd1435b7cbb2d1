// SPDX-License-Identifier: Apache-2.0

//go:build linux

package myload

import (
	"encoding/binary"
	"regexp"
	"testing"

	"github.com/rdsproxy/rdsproxy/pkg/wire/mysql"
)

var table = Table{Name: "t", Rows: 50}

// one gives the payload of the packet that p has to be.
func one(t *testing.T, p []byte) []byte {
	t.Helper()
	payload, seq, rest, ok := mysql.CutPacket(p)
	if !ok || seq != 0 || len(rest) != 0 {
		t.Fatalf("not one packet: %x", p)
	}
	return payload
}

func TestTexts(t *testing.T) {
	const key = `(?:[1-9]|[1-4]\d|50)$`
	for name, tc := range map[string]struct {
		work  Work
		texts []string
	}{
		"point select": {PointSelect, []string{"^SELECT c FROM t WHERE id=" + key, "^SELECT c FROM t WHERE id=" + key}},
		"read and write": {ReadWrite, []string{
			"^BEGIN$", "^SELECT c FROM t WHERE id=" + key, "^SELECT c FROM t WHERE id=" + key, `^UPDATE t SET k=k\+1 WHERE id=` + key, "^COMMIT$", "^BEGIN$",
		}},
	} {
		s := newScript(tc.work, table, 1)
		var buf []byte
		for i, want := range tc.texts {
			if rests := s.rests(); rests != (tc.work != ReadWrite || i%transaction == 0) {
				t.Errorf("%s, %d: rests = %v", name, i, rests)
			}
			buf = s.next(buf)
			payload := one(t, buf)
			if payload[0] != byte(mysql.ComQuery) || !regexp.MustCompile(want).Match(payload[1:]) {
				t.Errorf("%s, %d: %q, want %s", name, i, payload, want)
			}
		}
	}
}

func TestExecute(t *testing.T) {
	s := newScript(Prepared, table, 1)
	s.statement = 0x01020304
	keys := map[uint32]bool{}
	for range 1000 {
		payload := one(t, s.next(nil))
		if id, ok := mysql.StatementID(payload); !ok || id != s.statement || payload[0] != byte(mysql.ComStmtExecute) {
			t.Fatalf("%x", payload)
		}
		x, _, err := mysql.ParseExecute(payload, len(payload), 0, 1)
		if err != nil {
			t.Fatal(err)
		}
		key := binary.LittleEndian.Uint32(payload[len(payload)-4:])
		if key < 1 || key > uint32(table.Rows) {
			t.Fatalf("key %d; %+v", key, x)
		}
		keys[key] = true
	}
	if len(keys) != table.Rows {
		t.Errorf("%d of %d keys were drawn", len(keys), table.Rows)
	}
}

// TestNextAllocatesNothing: what the load costs, what is measured lacks.
func TestNextAllocatesNothing(t *testing.T) {
	for _, w := range []Work{PointSelect, Prepared, ReadWrite} {
		s := newScript(w, table, 1)
		buf := make([]byte, 0, 256)
		s.text = make([]byte, 0, 256)
		if n := testing.AllocsPerRun(100, func() { buf = s.next(buf) }); n > 0 {
			t.Errorf("work %d: %v allocations", w, n)
		}
	}
}
