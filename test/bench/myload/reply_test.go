// SPDX-License-Identifier: Apache-2.0

//go:build linux

package myload

import (
	"slices"
	"strings"
	"testing"

	"github.com/rdsproxy/rdsproxy/pkg/wire/mysql"
)

// packets makes one packet of each payload, numbered from 1.
func packets(payloads ...string) []byte {
	var out []byte
	for i, p := range payloads {
		out = mysql.AppendPacket(out, byte(i+1), []byte(p))
	}
	return out
}

const (
	eof   = "\xfe\x00\x00\x02\x00"
	endOK = "\xfe\x00\x00\x02\x00\x00\x00"
)

// replies are complete ones.
var replies = map[string][]byte{
	"OK":                        packets("\x00\x01\x00\x02\x00\x00\x00"),
	"one row":                   packets("\x01", "def…", "\x03abc", endOK),
	"no row":                    packets("\x01", "def…", endOK),
	"two columns, three rows":   packets("\x02", "def…", "def…", "\x01a\x01b", "\x00\x01b", "\xfb\xfb", endOK),
	"with EOF packets":          packets("\x01", "def…", eof, "\x03abc", eof),
	"with EOF packets, no row":  packets("\x01", "def…", eof, eof),
	"binary row":                packets("\x01", "def…", "\x00\x00\x03abc", endOK),
	"binary rows, EOF packets":  packets("\x01", "def…", eof, "\x00\x00\x03abc", "\x00\x00\x03abc", eof),
	"end with a longer message": packets("\x01", "def…", "\x03abc", endOK+strings.Repeat("s", 300)),
}

func TestReplyEndsWhereItEnds(t *testing.T) {
	for name, p := range replies {
		r := reply{}
		for range 2 { // the second time for what the first has left
			if n, ended, err := r.read(p); n != len(p) || !ended || err != nil {
				t.Errorf("%s: %d of %d bytes, ended %v, %v", name, n, len(p), ended, err)
			}
		}
	}
}

func TestReplyInPieces(t *testing.T) {
	for name, p := range replies {
		for cut := range p {
			r := reply{}
			n, ended, err := r.read(p[:cut])
			if ended || err != nil || n > cut {
				t.Fatalf("%s: the first %d bytes: %d, %v, %v", name, cut, n, ended, err)
			}
			if m, ended, err := r.read(p[n:]); m != len(p)-n || !ended || err != nil {
				t.Fatalf("%s: after %d bytes: %d, %v, %v", name, cut, m, ended, err)
			}
		}
	}
}

func TestReplyLeavesWhatFollows(t *testing.T) {
	p := replies["OK"]
	if n, ended, err := new(reply).read(append(slices.Clip(p), "more"...)); n != len(p) || !ended || err != nil {
		t.Errorf("%d of %d bytes, %v, %v", n, len(p), ended, err)
	}
}

func TestReplyRefuses(t *testing.T) {
	for name, tc := range map[string]struct {
		p    []byte
		want string
	}{
		"an error":              {packets("\xff\x48\x04#HY000no tables"), "1096: no tables"},
		"a short error":         {packets("\xff"), "cannot be read"},
		"an error after rows":   {packets("\x01", "def…", "\x03abc", "\xff\x25\x05#70100stopped"), "1317: stopped"},
		"a request for a file":  {packets("\xfbfile"), "0xfb"},
		"an end at the start":   {packets(eof), "0xfe"},
		"an empty packet":       {packets(""), "0 bytes"},
		"a packet out of order": {mysql.AppendPacket(nil, 7, []byte{0, 0, 0}), "packet 7"},
		"a huge packet":         {[]byte{0xff, 0xff, 0xff, 1}, "16777215"},
	} {
		if _, _, err := new(reply).read(tc.p); err == nil || !strings.Contains(err.Error(), tc.want) {
			t.Errorf("%s: %v", name, err)
		}
	}
}
