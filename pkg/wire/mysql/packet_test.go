// SPDX-License-Identifier: Apache-2.0

package mysql_test

import (
	"bytes"
	"testing"

	"github.com/rdsproxy/rdsproxy/pkg/wire/mysql"
)

func TestHeader(t *testing.T) {
	for _, c := range []struct {
		length int
		seq    byte
		bytes  string
	}{
		{0, 0, "\x00\x00\x00\x00"},
		{1, 255, "\x01\x00\x00\xff"},
		{0x010203, 4, "\x03\x02\x01\x04"},
		{mysql.MaxPayload, 9, "\xff\xff\xff\x09"},
	} {
		if got := mysql.AppendHeader([]byte("x"), c.length, c.seq); string(got) != "x"+c.bytes {
			t.Errorf("%d: %q", c.length, got)
		}
		var put [mysql.HeaderLen]byte
		mysql.PutHeader(put[:], c.length, c.seq)
		if length, seq := mysql.ParseHeader(put[:]); length != c.length || seq != c.seq {
			t.Errorf("%d, %d: %d, %d", c.length, c.seq, length, seq)
		}
	}
}

func TestCutPacket(t *testing.T) {
	two := mysql.AppendPacket(mysql.AppendPacket(nil, 0, []byte("one")), 7, nil)
	payload, seq, rest, ok := mysql.CutPacket(two)
	if string(payload) != "one" || seq != 0 || !ok {
		t.Fatal(payload, seq, ok)
	}
	// An append to a payload must not write into the next packet.
	if cap(payload) != len(payload) {
		t.Error("capacity")
	}
	if payload, seq, rest, ok = mysql.CutPacket(rest); len(payload) != 0 || seq != 7 || !ok || len(rest) != 0 {
		t.Error(payload, seq, rest, ok)
	}
	for n := range 7 {
		if _, _, _, ok := mysql.CutPacket(two[:n]); ok {
			t.Errorf("%d bytes", n)
		}
	}
}

// join puts the payloads of packets together, and checks that their sequence ids run from seq.
func join(t *testing.T, p []byte, seq byte) (payload []byte) {
	t.Helper()
	for {
		part, got, rest, ok := mysql.CutPacket(p)
		if !ok || got != seq {
			t.Fatalf("packet %v, sequence id %d instead of %d", ok, got, seq)
		}
		payload, p, seq = append(payload, part...), rest, seq+1
		if len(part) < mysql.MaxPayload {
			if len(rest) != 0 {
				t.Fatalf("%d bytes behind", len(rest))
			}
			return payload
		}
	}
}

// TestLongPayloads: AppendPacket and the builders, which split in place, agree on how a long payload is cut.
func TestLongPayloads(t *testing.T) {
	const m = mysql.MaxPayload
	text := make([]byte, 2*m+1)
	for i := range text {
		text[i] = byte(i % 251)
	}
	for _, n := range []int{m - 2, m - 1, m, 2*m - 2, 2*m - 1, 2 * m} {
		built := mysql.AppendCommand([]byte("front"), mysql.ComQuery, text[:n])
		payload := join(t, built[5:], 0)
		if payload[0] != byte(mysql.ComQuery) || !bytes.Equal(payload[1:], text[:n]) {
			t.Errorf("%d: another payload", n)
		}
		if !bytes.Equal(mysql.AppendPacket(nil, 0, payload), built[5:]) {
			t.Errorf("%d: AppendPacket differs", n)
		}
		if want := len(built) - 5 - len(payload); mysql.Packets(len(payload))*mysql.HeaderLen != want {
			t.Errorf("%d: Packets", n)
		}
	}
	if got := join(t, mysql.AppendPacket(nil, 255, text[:m]), 255); !bytes.Equal(got, text[:m]) {
		t.Error("sequence ids do not wrap around")
	}
}
