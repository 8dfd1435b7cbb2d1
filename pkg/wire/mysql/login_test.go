// SPDX-License-Identifier: Apache-2.0

package mysql_test

import (
	"encoding/binary"
	"errors"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/rdsproxy/rdsproxy/pkg/wire/mysql"
)

const base41 = mysql.ClientProtocol41 | mysql.ClientLongPassword

var logins = map[string]*mysql.Login{
	"least": {Capabilities: base41, User: "ann"},
	"nobody": {
		Capabilities: base41 | mysql.ClientSecureConnection | mysql.ClientPluginAuth, Plugin: mysql.PluginNative,
	},
	"4.1": {Capabilities: base41, MaxPacket: 1 << 24, Collation: 8, User: "ann", AuthResponse: []byte("scramble")},
	"5.0": {
		Capabilities: base41 | mysql.ClientSecureConnection | mysql.ClientConnectWithDB,
		User:         "ann", AuthResponse: []byte("\x00with\x00zeros"), Schema: "shop",
	},
	"all of it": {
		Capabilities: mysql.Always | mysql.ClassMask&^mysql.ExtendedMask | mysql.ClientConnectWithDB | mysql.ClientZstd,
		MaxPacket:    1<<32 - 1, Collation: 255, User: "änn", AuthResponse: make([]byte, 300), Schema: "shop",
		Plugin: mysql.PluginCachingSHA2, ZstdLevel: 22,
		Attributes: []mysql.Attribute{{Name: "_os", Value: "Linux"}, {Name: "", Value: strings.Repeat("x", 1000)}},
	},
	"MariaDB": {
		Capabilities: mysql.Always&^mysql.ClientLongPassword | mysql.ClassMask, Collation: 45, User: "ann",
		AuthResponse: make([]byte, 64), Plugin: mysql.PluginEd25519,
	},
}

func payloadOf(t *testing.T, packet []byte, seq byte) []byte {
	t.Helper()
	payload, got, rest, ok := mysql.CutPacket(packet)
	if !ok || got != seq || len(rest) > 0 {
		t.Fatalf("no packet %d: %x", seq, packet)
	}
	return payload
}

func TestLoginsComeBack(t *testing.T) {
	for name, want := range logins {
		t.Run(name, func(t *testing.T) {
			p := payloadOf(t, mysql.AppendLogin(nil, 1, want), 1)
			got, err := mysql.ParseLogin(p)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(want, got, sameBytes); diff != "" {
				t.Errorf("(-want +got)\n%s", diff)
			}
			if mysql.IsSSLRequest(p) {
				t.Error("taken for an SSLRequest")
			}
		})
	}
}

// TestLoginsCutShort: a packet that ends within a field is refused; one that ends between two fields at its end may be a
// client that leaves them out. Nothing is read from behind the end.
func TestLoginsCutShort(t *testing.T) {
	for name, l := range logins {
		p := mysql.AppendLogin(nil, 1, l)[mysql.HeaderLen:]
		// User and the length of the answer must be there.
		must := 32 + len(l.User) + 1
		for n := range p {
			got, err := mysql.ParseLogin(p[:n:n])
			if err == nil && n <= must && !mysql.IsSSLRequest(p[:n]) {
				t.Errorf("%s: %d bytes of %d understood", name, n, len(p))
			}
			if err == nil && (!strings.HasPrefix(l.Schema, got.Schema) || !strings.HasPrefix(l.Plugin, got.Plugin)) {
				t.Errorf("%s: %d bytes: %+v", name, n, got)
			}
			if e := (*mysql.Error)(nil); err != nil && (!errors.As(err, &e) || e.Code != mysql.CodeHandshake || e.State != "08S01") {
				t.Errorf("%s: %v", name, err)
			}
		}
	}
}

// TestLoginsWithLiesInThem: the lengths that a stranger gives are not believed (GHSA-24vm-gh4h-hfr3,
// GHSA-x23w-3v26-vgvj, and CVE-2026-48773 for the whole packet).
func TestLoginsWithLiesInThem(t *testing.T) {
	head := mysql.AppendSSLRequest(nil, 1, &mysql.Login{Capabilities: mysql.Always | mysql.ClientConnectWithDB})[mysql.HeaderLen:]
	secure := mysql.AppendSSLRequest(nil, 1, &mysql.Login{Capabilities: base41 | mysql.ClientSecureConnection})[mysql.HeaderLen:]
	for name, p := range map[string]string{
		"no bytes":                  "",
		"not of protocol 4.1":       "\x05\x00\x00\x00\x01ann\x00",
		"no user":                   string(head),
		"user without an end":       string(head) + "ann",
		"answer of 1<<64-1 bytes":   string(head) + "ann\x00\xfe\xff\xff\xff\xff\xff\xff\xff\xff",
		"answer of 1<<63 bytes":     string(head) + "ann\x00\xfe\x00\x00\x00\x00\x00\x00\x00\x80",
		"answer that is NULL":       string(head) + "ann\x00\xfb",
		"answer, a byte too long":   string(head) + "ann\x00\x05abcd",
		"answer of 255 bytes":       string(secure) + "ann\x00\xffabc",
		"attributes beyond the end": string(head) + "ann\x00\x00shop\x00plugin\x00\x09\x01a\x01b",
		"attribute beyond its end":  string(head) + "ann\x00\x00shop\x00plugin\x00\x04\x01a\x09b",
		"attribute without value":   string(head) + "ann\x00\x00shop\x00plugin\x00\x02\x01a",
		"attributes of 1<<64-1":     string(head) + "ann\x00\x00shop\x00plugin\x00\xfe\xff\xff\xff\xff\xff\xff\xff\xff",
		"too long":                  string(head) + "ann\x00\x00" + strings.Repeat("x", mysql.MaxLogin),
	} {
		if l, err := mysql.ParseLogin([]byte(p)); err == nil {
			t.Errorf("%s: %+v", name, l)
		}
	}
	attributes := strings.Repeat("\x00\x00", mysql.MaxAttributes/2+1)
	p := mysql.AppendLenencString([]byte(string(head)+"ann\x00\x00\x00\x00"), attributes)
	if _, err := mysql.ParseLogin(p); err == nil {
		t.Error("more than MaxAttributes")
	}
}

func TestSSLRequest(t *testing.T) {
	l := &mysql.Login{Capabilities: mysql.Always | mysql.ClientSSL, MaxPacket: 7, Collation: 45}
	p := payloadOf(t, mysql.AppendSSLRequest(nil, 1, l), 1)
	got, err := mysql.ParseLogin(p)
	if !mysql.IsSSLRequest(p) || err != nil || cmp.Diff(l, got) != "" {
		t.Errorf("%v\n%s", err, cmp.Diff(l, got))
	}
	for n := range p {
		if mysql.IsSSLRequest(p[:n]) {
			t.Errorf("%d bytes", n)
		}
	}
	// The bit alone makes no TLS: this one has sent its user name in the clear.
	if mysql.IsSSLRequest(mysql.AppendLogin(nil, 1, &mysql.Login{Capabilities: l.Capabilities, User: "ann"})[mysql.HeaderLen:]) {
		t.Error("a login is taken for an SSLRequest")
	}
}

// TestMariaDBBitsNeedTheirField: MySQL's clients have zeros there, and may have anything.
func TestMariaDBBitsNeedTheirField(t *testing.T) {
	p := mysql.AppendLogin(nil, 1, logins["least"])[mysql.HeaderLen:]
	binary.LittleEndian.PutUint32(p[28:], 0xffffffff)
	if l, err := mysql.ParseLogin(p); err != nil || l.Capabilities&mysql.ExtendedMask != 0 {
		t.Errorf("%+v, %v", l, err)
	}
	l := *logins["least"]
	l.Capabilities |= mysql.MariaDBStmtBulkOperations
	if p := mysql.AppendLogin(nil, 1, &l)[mysql.HeaderLen:]; binary.LittleEndian.Uint32(p[28:]) != 0 {
		t.Error("extended bits were sent although ClientLongPassword is on")
	}
}

func changeUser(parts ...string) []byte { return []byte("\x11" + strings.Join(parts, "")) }

func TestParseChangeUser(t *testing.T) {
	const caps = mysql.Always
	for name, c := range map[string]struct {
		payload []byte
		caps    mysql.Capabilities
		want    mysql.ChangeUser
	}{
		"least": {changeUser("ann\x00", "\x00", "\x00"), caps, mysql.ChangeUser{User: "ann"}},
		"all": {
			changeUser("ann\x00", "\x03\x00ab", "shop\x00", "\xff\x01", "plug\x00", "\x04\x01a\x01b"), caps,
			mysql.ChangeUser{
				User: "ann", AuthResponse: []byte("\x00ab"), Schema: "shop", Collation: 511, Plugin: "plug",
				Attributes: []mysql.Attribute{{Name: "a", Value: "b"}},
			},
		},
		"no schema, no terminator": {changeUser("ann\x00", "\x00"), caps, mysql.ChangeUser{User: "ann"}},
		"of 4.1": {
			changeUser("ann\x00", "old\x00", "shop\x00"), base41,
			mysql.ChangeUser{User: "ann", AuthResponse: []byte("old"), Schema: "shop"},
		},
		"without plugin": {
			changeUser("ann\x00", "\x00", "\x00", "\x2d\x00", "rest"), caps &^ (mysql.ClientPluginAuth | mysql.ClientConnectAttrs),
			mysql.ChangeUser{User: "ann", Collation: 45},
		},
	} {
		got, err := mysql.ParseChangeUser(c.payload, c.caps)
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		if diff := cmp.Diff(&c.want, got, sameBytes); diff != "" {
			t.Errorf("%s (-want +got)\n%s", name, diff)
		}
	}
}

// TestChangeUserTooShort: see GHSA-8mqj-34cf-rj43.
func TestChangeUserTooShort(t *testing.T) {
	for name, p := range map[string][]byte{
		"no bytes":                    nil,
		"another command":             []byte("\x03ann\x00\x00\x00"),
		"command only":                changeUser(),
		"user without an end":         changeUser("ann"),
		"no answer":                   changeUser("ann\x00"),
		"answer longer than the rest": changeUser("ann\x00", "\xffabc"),
		"half a collation":            changeUser("ann\x00", "\x00", "\x00", "\x2d"),
		"attributes beyond the end":   changeUser("ann\x00", "\x00", "\x00", "\x2d\x00", "p\x00", "\x05\x01a"),
		"too long":                    changeUser("ann\x00", "\x00", strings.Repeat("x", mysql.MaxLogin)),
	} {
		c, err := mysql.ParseChangeUser(p, mysql.Always)
		if e := (*mysql.Error)(nil); !errors.As(err, &e) || e.Code != mysql.CodeMalformedPacket {
			t.Errorf("%s: %+v, %v", name, c, err)
		}
	}
}
