// SPDX-License-Identifier: Apache-2.0

package mysql_test

import (
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/rdsproxy/rdsproxy/pkg/wire/mysql"
)

// track is a block with an entry of each type, one of them unknown.
func track() []byte {
	block := mysql.AppendTrackVariable(nil, "autocommit", "OFF")
	block = mysql.AppendTrackValue(block, mysql.TrackSchema, "shop")
	block = mysql.AppendTrack(block, mysql.TrackState, []byte("1"))
	block = mysql.AppendTrack(block, mysql.TrackGTIDs, []byte("\x00\x06uuid:1"))
	block = mysql.AppendTrack(block, 99, []byte("of a server to come"))
	block = mysql.AppendTrackValue(block, mysql.TrackCharacteristics, []byte("START TRANSACTION;"))
	return mysql.AppendTrackValue(block, mysql.TrackTransaction, mysql.NoTransaction)
}

func TestOKForEachPeer(t *testing.T) {
	full := mysql.OK{
		AffectedRows: 1 << 40, InsertID: 300, Status: mysql.StatusAutocommit | mysql.StatusMoreResults, Warnings: 513,
		Info: []byte("Rows matched: 1"), Track: track(),
	}
	full.Status |= mysql.StatusSessionChanged
	for name, c := range map[string]struct {
		caps mysql.Capabilities
		in   mysql.OK
		want func(o *mysql.OK)
	}{
		"all":            {mysql.Always, full, func(*mysql.OK) {}},
		"without track":  {mysql.Always, full, func(o *mysql.OK) { o.Track, o.Status = nil, o.Status&^mysql.StatusSessionChanged }},
		"without text":   {mysql.Always, full, func(o *mysql.OK) { o.Info = nil }},
		"nothing":        {mysql.Always, mysql.OK{}, func(*mysql.OK) {}},
		"old client":     {mysql.Always &^ mysql.ClientSessionTrack, full, func(o *mysql.OK) { o.Track, o.Status = nil, o.Status&^mysql.StatusSessionChanged }},
		"old, with text": {base41, mysql.OK{Info: []byte("x")}, func(*mysql.OK) {}},
	} {
		want := c.in
		c.want(&want)
		in := want
		if name == "old client" {
			in = c.in // the builder leaves out what the peer does not know
		}
		for head, p := range map[byte][]byte{
			mysql.HeadOK:  payloadOf(t, mysql.AppendOK(nil, 3, c.caps, in), 3),
			mysql.HeadEOF: payloadOf(t, mysql.AppendResultEnd(nil, 3, c.caps|mysql.ClientDeprecateEOF, in), 3),
		} {
			got, ok := mysql.ParseOK(p, c.caps)
			if !ok || p[0] != head {
				t.Errorf("%s: %x", name, p)
			}
			if diff := cmp.Diff(want, got, sameBytes); diff != "" {
				t.Errorf("%s (-want +got)\n%s", name, diff)
			}
		}
	}
}

// TestStatusIsNotBelieved: the bit goes with the block, whatever the caller left in the status.
func TestStatusIsNotBelieved(t *testing.T) {
	p := mysql.AppendOK(nil, 1, mysql.Always, mysql.OK{Status: mysql.StatusSessionChanged})
	if o, ok := mysql.ParseOK(p[4:], mysql.Always); !ok || o.Status != 0 {
		t.Errorf("%x", p)
	}
	p = mysql.AppendOK(nil, 1, mysql.Always, mysql.OK{Track: track()})
	if o, ok := mysql.ParseOK(p[4:], mysql.Always); !ok || o.Status != mysql.StatusSessionChanged {
		t.Errorf("%x", p)
	}
	p = mysql.AppendEOF(nil, 1, 0xffff, 7)
	if o, ok := mysql.ParseEOF(p[4:]); !ok || o.Status != ^mysql.StatusSessionChanged || o.Warnings != 7 {
		t.Errorf("%x", p)
	}
}

func TestOKThatIsNone(t *testing.T) {
	whole := mysql.AppendOK(nil, 1, mysql.Always, mysql.OK{InsertID: 1 << 30, Info: []byte("text"), Track: track()})[4:]
	for n := range whole {
		// The text and what follows may be left out as a whole.
		o, ok := mysql.ParseOK(whole[:n:n], mysql.Always)
		if ok && (n != 15 || o.Status != 0) {
			t.Errorf("%d bytes: %+v", n, o)
		}
	}
	for _, in := range []string{"", "\x00", "\x01\x00\x00\x00\x00\x00\x00", "\xff\x00\x00\x00\x00\x00\x00", "\x00\xfb\x00\x00\x00\x00\x00"} {
		if o, ok := mysql.ParseOK([]byte(in), mysql.Always); ok {
			t.Errorf("%q: %+v", in, o)
		}
	}
	for _, in := range []string{"", "\xfe", "\xfe\x00\x00\x00", "\x00\x00\x00\x00\x00", "\xfe12345678"} {
		if o, ok := mysql.ParseEOF([]byte(in)); ok {
			t.Errorf("%q: %+v", in, o)
		}
	}
	for caps, in := range map[mysql.Capabilities]string{
		mysql.Always: "\x00\x00\x00\x00\x00\x00\x00", base41: "\x00\x00\x00\x00\x00",
	} {
		if _, ok := mysql.ParseResultEnd([]byte(in), caps); ok {
			t.Errorf("%q", in)
		}
	}
	// The documentation has the text without a length for old clients.
	if o, ok := mysql.ParseOK([]byte("\x00\x00\x00\x02\x00\x00\x00text"), base41); !ok || string(o.Info) != "text" {
		t.Errorf("%+v", o)
	}
}

func TestTracks(t *testing.T) {
	if got, want := describe(t, without(track(), 99)), "autocommit=OFF schema=shop state=1 gtids=uuid:1 characteristics=START TRANSACTION; transaction=________ "; got != want {
		t.Errorf("%q", got)
	}
	for n := range len(track()) {
		tracks := mysql.ReadTracks(track()[:n])
		count := 0
		for _, _, ok := tracks.Next(); ok; _, _, ok = tracks.Next() {
			count++
		}
		if count > 7 || !tracks.Malformed() && len(without(track()[:n], 0xff)) != n {
			t.Errorf("%d bytes: %d entries", n, count)
		}
		if _, _, ok := tracks.Next(); ok {
			t.Error("goes on")
		}
	}
}

// without copies a block without the entries of a type, and without what cannot be understood.
func without(block []byte, typ mysql.TrackType) (out []byte) {
	tracks := mysql.ReadTracks(block)
	for got, data, ok := tracks.Next(); ok; got, data, ok = tracks.Next() {
		if got != typ {
			out = mysql.AppendTrack(out, got, data)
		}
	}
	return out
}

func TestTrackValues(t *testing.T) {
	// MariaDB puts all variables into one entry.
	vars := mysql.ReadVariables([]byte("\x01a\x011\x01b\x00"))
	got := ""
	for name, value, ok := vars.Next(); ok; name, value, ok = vars.Next() {
		got += string(name) + "=" + string(value) + " "
	}
	if got != "a=1 b= " || vars.Malformed() {
		t.Errorf("%q", got)
	}
	for _, in := range []string{"\x01a", "\x01a\x02b", "\xff"} {
		vars := mysql.ReadVariables([]byte(in))
		if _, _, ok := vars.Next(); ok || !vars.Malformed() {
			t.Errorf("%q", in)
		}
	}
	if v, ok := mysql.TrackGTIDSet([]byte("\x00\x06uuid:1")); !ok || string(v) != "uuid:1" {
		t.Errorf("%q", v)
	}
	for _, in := range []string{"", "\x01\x06uuid:1", "\x00\x07uuid:1", "\x00\x05uuid:1"} {
		if v, ok := mysql.TrackGTIDSet([]byte(in)); ok {
			t.Errorf("%q: %q", in, v)
		}
	}
}
