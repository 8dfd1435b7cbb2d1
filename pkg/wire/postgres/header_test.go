// SPDX-License-Identifier: Apache-2.0

package postgres_test

import (
	"encoding/binary"
	"testing"

	"github.com/rdsproxy/rdsproxy/pkg/wire/postgres"
)

func header(typ byte, length uint32) []byte {
	return binary.BigEndian.AppendUint32([]byte{typ}, length)
}

func TestParseFrontendHeader(t *testing.T) {
	for typ := range 256 {
		limit, known := postgres.FrontendLimit(byte(typ))
		for _, length := range []uint32{0, 3, 4, 5, 10_000, 10_001, 1<<30 - 2, 1<<30 - 1, 1 << 30, 1 << 31, 1<<32 - 1} {
			h, err := postgres.ParseFrontendHeader(header(byte(typ), length))
			ok := known && length >= 4 && length <= uint32(limit)
			if (err == nil) != ok {
				t.Errorf("type %d length %d: %v", typ, length, err)
			}
			if ok && (h.Type != byte(typ) || h.Body != int(length)-4 || h.Size() != int(length)+1) {
				t.Errorf("type %d length %d: %+v", typ, length, h)
			}
		}
	}
	if _, err := postgres.ParseFrontendHeader(header('p', 8)); text(err) !=
		"FATAL: invalid frontend message type 112 (SQLSTATE 08P01)" {
		t.Error(err)
	}
	if _, err := postgres.ParseFrontendHeader(header('S', 3)); text(err) !=
		"FATAL: invalid message length (SQLSTATE 08P01)" {
		t.Error(err)
	}
}

func TestParseAuthHeader(t *testing.T) {
	for _, c := range []struct {
		head []byte
		err  string
	}{
		{header('p', 4), ""},
		{header('p', 1024), ""},
		{header('p', 1025), "FATAL: invalid message length (SQLSTATE 08P01)"},
		{header('p', 0xffffffff), "FATAL: invalid message length (SQLSTATE 08P01)"},
		{header('Q', 8), "FATAL: expected SASL response, got message type 81 (SQLSTATE 08P01)"},
		// The beginning of a second start-up message.
		{packet(v30, "user", "ann"), "FATAL: expected SASL response, got message type 0 (SQLSTATE 08P01)"},
	} {
		if _, err := postgres.ParseAuthHeader(c.head, "SASL", 1024); text(err) != c.err {
			t.Errorf("%q: %v", c.head, err)
		}
	}
}

func TestParseBackendHeader(t *testing.T) {
	const types = "R23CWdcGHDIEVKvnNAtS1sZT"
	for typ := range 256 {
		want := false
		for _, k := range []byte(types) {
			want = want || k == byte(typ)
		}
		if _, err := postgres.ParseBackendHeader(header(byte(typ), 1<<30-2)); (err == nil) != want {
			t.Errorf("type %d: %v", typ, err)
		}
	}
	for _, length := range []uint32{0, 3, 1<<30 - 1, 0xffffffff} {
		if _, err := postgres.ParseBackendHeader(header('D', length)); err == nil {
			t.Errorf("length %d was accepted", length)
		}
	}
}

func TestHeadersDoNotAllocate(t *testing.T) {
	front, back := header('P', 100), header('D', 100)
	if n := testing.AllocsPerRun(100, func() {
		_, _ = postgres.ParseFrontendHeader(front)
		_, _ = postgres.ParseBackendHeader(back)
	}); n != 0 {
		t.Errorf("%v allocations", n)
	}
}
