// SPDX-License-Identifier: Apache-2.0

package postgres_test

import (
	"bytes"
	"encoding/binary"
	"errors"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/jackc/pgx/v5/pgproto3"

	"github.com/rdsproxy/rdsproxy/pkg/wire/postgres"
)

// packet builds a start-up packet: a code and zero-terminated strings, with the terminator behind them.
func packet(code uint32, strs ...string) []byte {
	var body []byte
	for _, s := range strs {
		body = append(append(body, s...), 0)
	}
	return raw(code, append(body, 0)...)
}

// raw builds a packet of a code and any bytes.
func raw(code uint32, body ...byte) []byte {
	p := binary.BigEndian.AppendUint32(nil, uint32(8+len(body)))
	p = binary.BigEndian.AppendUint32(p, code)
	return append(p, body...)
}

const (
	v30    = 3 << 16
	v32    = 3<<16 | 2
	ssl    = 80877103
	gss    = 80877104
	cancel = 80877102
)

func TestDecodeStartup(t *testing.T) {
	long := strings.Repeat("ab", 50)
	for name, c := range map[string]struct {
		packet []byte
		want   postgres.Startup
		err    string
	}{
		"user only": {
			packet: packet(v30, "user", "ann"),
			want:   postgres.Startup{Version: v30, User: "ann", Database: "ann"},
		},
		"everything": {
			packet: packet(v32, "user", "ann", "database", "shop", "options", "-c a=b", "TimeZone", "UTC",
				"replication", "database", "_pq_.one", "1", "DateStyle", "ISO", "_pq_.two", ""),
			want: postgres.Startup{
				Version: v32, User: "ann", Database: "shop", Options: "-c a=b", Replication: "database",
				Settings:       []postgres.Setting{{Name: "TimeZone", Value: "UTC"}, {Name: "DateStyle", Value: "ISO"}},
				UnknownOptions: []string{"_pq_.one", "_pq_.two"},
			},
		},
		"doubled: the later user, each setting": {
			packet: packet(v30, "user", "ann", "user", "bob", "jit", "on", "jit", "off", "options", "-e", "options", ""),
			want: postgres.Startup{
				Version: v30, User: "bob", Database: "bob",
				Settings: []postgres.Setting{{Name: "jit", Value: "on"}, {Name: "jit", Value: "off"}},
			},
		},
		"empty database": {
			packet: packet(v30, "database", "", "user", "ann"),
			want:   postgres.Startup{Version: v30, User: "ann", Database: "ann"},
		},
		"long names": {
			packet: packet(v30, "user", long, "database", long+"x"),
			want:   postgres.Startup{Version: v30, User: long[:63], Database: long[:63]},
		},
		"a letter across the limit of names": {
			packet: packet(v30, "user", long[:62]+"ä"),
			want:   postgres.Startup{Version: v30, User: long[:62] + "\xc3", Database: long[:62] + "\xc3"},
		},
		"newer minor": {
			packet: packet(3<<16|9999, "user", "ann", "_pq_.test_protocol_negotiation", ""),
			want: postgres.Startup{
				Version: 3<<16 | 9999, User: "ann", Database: "ann",
				UnknownOptions: []string{"_pq_.test_protocol_negotiation"},
			},
		},
		"physical replication": {
			packet: packet(v30, "user", "ann", "replication", "YES"),
			want:   postgres.Startup{Version: v30, User: "ann", Database: "ann", Replication: "true"},
		},
		"no replication": {
			packet: packet(v30, "user", "ann", "replication", "of"),
			want:   postgres.Startup{Version: v30, User: "ann", Database: "ann"},
		},
		"no user": {
			packet: packet(v30, "database", "shop"),
			want:   postgres.Startup{Version: v30, Database: "shop"},
			err:    "FATAL: no PostgreSQL user name specified in startup packet (SQLSTATE 28000)",
		},
		"empty user behind a real one": {
			packet: packet(v30, "user", "ann", "user", ""),
			want:   postgres.Startup{Version: v30},
			err:    "FATAL: no PostgreSQL user name specified in startup packet (SQLSTATE 28000)",
		},
		"bad replication": {
			packet: packet(v30, "user", "ann", "replication", "maybe"),
			err:    `FATAL: invalid value for parameter "replication": "maybe" (SQLSTATE 22023)`,
		},
		"no terminator at all":   {packet: raw(v30), err: layout},
		"no terminator":          {packet: raw(v30, []byte("user\x00ann\x00")...), err: layout},
		"name without value":     {packet: raw(v30, []byte("user\x00")...), err: layout},
		"unfinished name":        {packet: raw(v30, 'u'), err: layout},
		"unfinished value":       {packet: raw(v30, []byte("user\x00ann")...), err: layout},
		"bytes behind the end":   {packet: raw(v30, []byte("user\x00ann\x00\x00x")...), err: layout},
		"terminator in the body": {packet: packet(v30, "user", "ann", "", "x"), err: layout},
		"version 2": {
			packet: packet(2<<16, "user", "ann"),
			want:   postgres.Startup{Version: 2 << 16},
			err:    "FATAL: unsupported frontend protocol 2.0: server supports 3.0 to 3.2 (SQLSTATE 0A000)",
		},
		"version 4": {
			packet: packet(4<<16|1, "user", "ann"),
			want:   postgres.Startup{Version: 4<<16 | 1},
			err:    "FATAL: unsupported frontend protocol 4.1: server supports 3.0 to 3.2 (SQLSTATE 0A000)",
		},
		"a request nobody knows": {
			packet: packet(1234<<16 | 5681),
			want:   postgres.Startup{Version: 1234<<16 | 5681},
			err:    "FATAL: unsupported frontend protocol 1234.5681: server supports 3.0 to 3.2 (SQLSTATE 0A000)",
		},
		"SSLRequest":                  {packet: raw(ssl), want: postgres.Startup{Kind: postgres.PacketSSL, Version: ssl}},
		"GSSENCRequest":               {packet: raw(gss), want: postgres.Startup{Kind: postgres.PacketGSS, Version: gss}},
		"SSLRequest with more in it":  {packet: raw(ssl, 0), err: length},
		"CancelRequest without a key": {packet: raw(cancel, 0, 0, 0, 1), err: length},
		"CancelRequest, 3 byte key":   {packet: raw(cancel, 0, 0, 0, 1, 1, 2, 3), err: length},
		"CancelRequest, 257 byte key": {packet: raw(cancel, make([]byte, 261)...), err: length},
		"CancelRequest": {
			packet: raw(cancel, 0xff, 0, 0, 1, 1, 2, 3, 4),
			want: postgres.Startup{
				Kind: postgres.PacketCancel, Version: cancel, CancelPID: 0xff000001, CancelKey: []byte{1, 2, 3, 4},
			},
		},
		"CancelRequest, 256 byte key": {
			packet: raw(cancel, make([]byte, 260)...),
			want:   postgres.Startup{Kind: postgres.PacketCancel, Version: cancel, CancelKey: make([]byte, 256)},
		},
		"nothing":          {packet: nil, err: incomplete},
		"seven bytes":      {packet: raw(v30)[:7], err: incomplete},
		"cut short":        {packet: packet(v30, "user", "ann")[:17], err: incomplete},
		"longer than said": {packet: append(packet(v30, "user", "ann"), 0), err: incomplete},
	} {
		t.Run(name, func(t *testing.T) {
			got, err := postgres.DecodeStartup(c.packet)
			if c.want.Kind == 0 && c.want.Version.Major() == 3 {
				c.want.Kind = postgres.PacketStartup
			}
			if diff := cmp.Diff(c.want, got); diff != "" {
				t.Errorf("(-want +got)\n%s", diff)
			}
			if msg := text(err); msg != c.err {
				t.Errorf("error %q, want %q", msg, c.err)
			}
		})
	}
}

const (
	layout     = "FATAL: invalid startup packet layout: expected terminator as last byte (SQLSTATE 08P01)"
	length     = "FATAL: invalid length of startup packet (SQLSTATE 08P01)"
	incomplete = "FATAL: incomplete startup packet (SQLSTATE 08P01)"
)

func text(err error) string {
	if err == nil {
		return ""
	}
	var e *postgres.Error
	if !errors.As(err, &e) {
		return "not an *Error: " + err.Error()
	}
	return e.Error()
}

func TestStartupLength(t *testing.T) {
	for _, c := range []struct {
		length, code uint32
		ok           bool
	}{
		{0, v30, false},
		{4, v30, false},
		{7, v30, false},
		{8, v30, true},
		{9, v30, true},
		{10_004, v30, true},
		{10_005, v30, false},
		{1 << 31, v30, false},
		{0xffffffff, v30, false},
		{0x80000008, v30, false},
		{8, ssl, true},
		{7, ssl, false},
		{9, ssl, false},
		{8, gss, true},
		{10, gss, false},
		{8, cancel, false},
		{15, cancel, false},
		{16, cancel, true},
		{268, cancel, true},
		{269, cancel, false},
	} {
		head := binary.BigEndian.AppendUint32(binary.BigEndian.AppendUint32(nil, c.length), c.code)
		n, err := postgres.StartupLength(head)
		if (err == nil) != c.ok || (c.ok && n != int(c.length)) {
			t.Errorf("length %d code %d: %d, %v", c.length, c.code, n, err)
		}
	}
	// No packet that passes can be taken for a TLS record, and the other way round.
	record := []byte{postgres.TLSHandshake, 3, 1, 2, 0, 1, 0, 1}
	if n, err := postgres.StartupLength(record); err == nil {
		t.Errorf("a TLS record passes as a packet of %d bytes", n)
	}
}

func TestNegotiate(t *testing.T) {
	for _, c := range []struct {
		asked   postgres.Version
		unknown []string
		want    postgres.Version
		tell    bool
	}{
		{v30, nil, v30, false},
		{v30, []string{"_pq_.x"}, v30, true},
		{v30 + 1, nil, v30 + 1, false},
		{v32, nil, v32, false},
		{v32, []string{"_pq_.x"}, v32, true},
		{v32 + 1, nil, v32, true},
		{v30 + 9999, []string{"_pq_.x"}, v32, true},
	} {
		s := postgres.Startup{Version: c.asked, UnknownOptions: c.unknown}
		if v, tell := s.Negotiate(); v != c.want || tell != c.tell {
			t.Errorf("%v %v: %v %v", c.asked, c.unknown, v, tell)
		}
	}
	if postgres.Version(v30+1).LongCancelKeys() || !postgres.Version32.LongCancelKeys() {
		t.Error("long cancel keys begin at 3.2")
	}
}

// TestDecodeStartupCutEverywhere: a packet that lost its end, whatever its length word says, is refused.
func TestDecodeStartupCutEverywhere(t *testing.T) {
	whole := packet(v30, "user", "ann", "database", "shop", "jit", "off")
	for n := range whole {
		cut := bytes.Clone(whole[:n])
		if _, err := postgres.DecodeStartup(cut); err == nil {
			t.Errorf("%d bytes of a longer packet were accepted", n)
		}
		if n < 8 {
			continue
		}
		binary.BigEndian.PutUint32(cut, uint32(n))
		if s, err := postgres.DecodeStartup(cut); err == nil {
			t.Errorf("cut at %d: accepted as %+v", n, s)
		}
	}
}

func TestParseBool(t *testing.T) {
	for s, want := range map[string]string{
		"t": "true", "TRUE": "true", "tru": "true", "y": "true", "yes": "true", "on": "true", "1": "true",
		"f": "false", "False": "false", "n": "false", "no": "false", "of": "false", "OFF": "false", "0": "false",
		"": "", "o": "", "truee": "", "10": "", "01": "", "yess": "", "offf": "", " on": "",
		strings.Repeat("t", 10_000): "",
	} {
		got := ""
		if v, ok := postgres.ParseBool(s); ok && v {
			got = "true"
		} else if ok {
			got = "false"
		}
		if got != want {
			t.Errorf("%.20q: %q, want %q", s, got, want)
		}
	}
}

// FuzzDecodeStartup compares with the decoder of pgx for the packets that both know, and checks what holds for every
// packet.
func FuzzDecodeStartup(f *testing.F) {
	f.Add(packet(v30, "user", "ann", "database", "shop", "options", "-c a=b"))
	f.Add(packet(v32, "user", "ann", "_pq_.x", "y", "replication", "database"))
	f.Add(packet(2<<16, "user", "ann"))
	f.Add(raw(ssl))
	f.Add(raw(gss))
	f.Add(raw(cancel, 0, 0, 0, 1, 1, 2, 3, 4))
	f.Add([]byte{0xff, 0xff, 0xff, 0xff, 0, 3, 0, 0})
	f.Fuzz(func(t *testing.T, p []byte) {
		s, err := postgres.DecodeStartup(p)
		if err != nil {
			if e := (*postgres.Error)(nil); !errors.As(err, &e) || !e.IsFatal() {
				t.Fatalf("error is not a fatal *Error: %v", err)
			}
			return
		}
		if len(p) > postgres.MaxStartup {
			t.Fatalf("accepted %d bytes", len(p))
		}
		switch s.Kind {
		case postgres.PacketStartup:
			if s.User == "" || s.Database == "" || len(s.User) > 63 || len(s.Database) > 63 {
				t.Fatalf("user %q database %q", s.User, s.Database)
			}
			var theirs pgproto3.StartupMessage
			if err := theirs.Decode(p[4:]); err == nil {
				for _, set := range s.Settings {
					if _, ok := theirs.Parameters[set.Name]; !ok {
						t.Fatalf("%q is not a parameter for pgx", set.Name)
					}
				}
			}
		case postgres.PacketCancel:
			if len(s.CancelKey) < 4 || len(s.CancelKey) > 256 {
				t.Fatalf("key of %d bytes", len(s.CancelKey))
			}
		}
	})
}
