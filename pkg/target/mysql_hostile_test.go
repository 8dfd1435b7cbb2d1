// SPDX-License-Identifier: Apache-2.0

package target_test

import (
	"bytes"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha1"
	"crypto/sha512"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"fmt"
	"io"
	"net"
	"slices"
	"strings"
	"testing"

	"filippo.io/edwards25519"

	"github.com/rdsproxy/rdsproxy/pkg/target"
	"github.com/rdsproxy/rdsproxy/pkg/wire/mysql"
)

var salt = []byte("01234567890123456789")

// mysqlHello is a good server's greeting.
func mysqlHello(change ...func(*mysql.Greeting)) []byte {
	g := &mysql.Greeting{
		Version: "8.4.0", ThreadID: 42, Salt: salt, Collation: 255, Status: mysql.StatusAutocommit, Plugin: mysql.PluginCachingSHA2,
		Capabilities: mysql.Always | mysql.ClientConnectWithDB | mysql.ClientFoundRows,
	}
	for _, f := range change {
		f(g)
	}
	return mysql.AppendGreeting(nil, 0, g)
}

func with(caps mysql.Capabilities) func(*mysql.Greeting) {
	return func(g *mysql.Greeting) { g.Capabilities |= caps }
}

func without(caps mysql.Capabilities) func(*mysql.Greeting) {
	return func(g *mysql.Greeting) { g.Capabilities &^= caps }
}

// packet is a packet with any payload.
func packet(seq byte, payload ...byte) []byte { return mysql.AppendPacket(nil, seq, payload) }

// takePacket reads the client's next packet.
func takePacket(r io.Reader) []byte {
	var head [mysql.HeaderLen]byte
	if _, err := io.ReadFull(r, head[:]); err != nil {
		return nil
	}
	n, _ := mysql.ParseHeader(head[:])
	payload := make([]byte, n)
	if _, err := io.ReadFull(r, payload); err != nil {
		return nil
	}
	return payload
}

// converse is a server that sends each part, and reads a packet of the client's
// between any two of them.
func converse(parts ...[]byte) func(net.Conn) {
	return func(nc net.Conn) {
		for i, p := range parts {
			if i > 0 && takePacket(nc) == nil {
				return
			}
			if _, err := nc.Write(p); err != nil {
				return
			}
		}
		_, _ = io.Copy(io.Discard, nc)
	}
}

func serveMySQL(t testing.TB, scripts ...func(net.Conn)) target.MySQLOptions {
	t.Helper()
	o := serve(t, scripts...)
	return target.MySQLOptions{Host: o.Host, Port: o.Port, TLSMode: target.TLSDisable, ConnectTimeout: patience}
}

var mySomeone = target.MySQLRequest{User: "u", Password: "from the vault"}

const sessionCaps = mysql.Always

// okPacket answers packet seq-1.
func okPacket(seq byte) []byte {
	return mysql.AppendOK(nil, seq, sessionCaps, mysql.OK{Status: mysql.StatusAutocommit})
}

// oneRow is a result of one value.
func oneRow(status mysql.Status, value []byte) []byte {
	b := mysql.AppendColumnCount(nil, 1, sessionCaps, 1, true)
	b = mysql.AppendColumn(b, 2, sessionCaps, &mysql.Column{Name: []byte("c")})
	b = mysql.AppendTextRow(b, 3, value)
	return mysql.AppendResultEnd(b, 4, sessionCaps, mysql.OK{Status: status})
}

// TestMySQLHostileServers: whatever a server sends, the login ends with an error, and
// soon.
func TestMySQLHostileServers(t *testing.T) {
	hello := mysqlHello()
	many := bytes.Repeat
	switchTo := func(plugin string) []byte { return mysql.AppendAuthSwitch(nil, 2, plugin, salt) }
	more := func(seq byte, data ...byte) []byte { return mysql.AppendAuthMoreData(nil, seq, data) }
	ok := okPacket(2)
	for _, test := range []struct {
		name  string
		parts [][]byte
		err   string
		final bool
	}{
		{"an HTTP server", [][]byte{[]byte("HTTP/1.1 400 Bad Request\r\n\r\n")}, "no MySQL server", false},
		{"a packet of 16 MiB", [][]byte{{0xff, 0xff, 0xff, 0}}, "no MySQL server", false},
		{"a packet just too large", [][]byte{mysql.AppendHeader(nil, mysql.MaxLogin+1, 0)}, "no MySQL server", false},
		{"an empty greeting", [][]byte{packet(0)}, "empty packet", false},
		{"a greeting with number 1", [][]byte{packet(1, 10)}, "packet 1 where 0 was due", false},
		{"a greeting of one byte", [][]byte{packet(0, 10)}, "no MySQL server", false},
		{"protocol 9", [][]byte{packet(0, 9, '5', 0)}, "no MySQL server", false},
		{"a greeting cut short", [][]byte{packet(0, hello[4:40]...)}, "no MySQL server", false},
		{"too many connections", [][]byte{packet(0, append([]byte{0xff, 0x10, 0x04}, "Too many connections"...)...)}, "1040", false},
		{"no session trackers", [][]byte{mysqlHello(without(mysql.ClientSessionTrack))}, "too old", true},
		{"EOF packets", [][]byte{mysqlHello(without(mysql.ClientDeprecateEOF))}, "too old", true},
		{"a plugin that does not exist", [][]byte{hello, switchTo("auth_evil\x1b[31m")}, `auth_evil\x1b[31m`, true},
		{"clear text", [][]byte{hello, switchTo(mysql.PluginClear)}, "clear text", true},
		{"old passwords", [][]byte{hello, packet(2, 0xfe)}, "mysql_old_password", true},
		{"an empty plugin", [][]byte{hello, packet(2, 0xfe, 0, 0)}, "during the login", false},
		{"no salt", [][]byte{hello, mysql.AppendAuthSwitch(nil, 2, mysql.PluginNative, nil)}, "salt", false},
		{"no salt for caching", [][]byte{hello, mysql.AppendAuthSwitch(nil, 2, mysql.PluginCachingSHA2, salt[:19])}, "salt", false},
		{"a short nonce", [][]byte{hello, mysql.AppendAuthSwitch(nil, 2, mysql.PluginEd25519, salt)}, "salt", false},
		{
			"endless switches",
			[][]byte{hello, switchTo(mysql.PluginNative), mysql.AppendAuthSwitch(nil, 4, mysql.PluginNative, salt)},
			"other ways", false,
		},
		{"endless fast", [][]byte{hello, slices.Concat(more(2, 3), more(3, 3), more(4, 3), more(5, 3), more(6, 3), more(7, 3), more(8, 3), more(9, 3))}, "goes on asking", false},
		{"data for a plugin without any", [][]byte{hello, switchTo(mysql.PluginNative), more(4, 3)}, "unexpected data", false},
		{"much data", [][]byte{hello, more(2, many([]byte{4}, 1000)...)}, "unexpected data", false},
		{"a key that is none", [][]byte{hello, more(2, 4), more(4, 'x')}, "cannot be understood", false},
		{"a key of another kind", [][]byte{hello, more(2, 4), more(4, []byte("-----BEGIN PUBLIC KEY-----\nAAAA\n-----END PUBLIC KEY-----\n")...)}, "cannot be understood", false},
		{"LOCAL INFILE at login", [][]byte{hello, packet(2, append([]byte{0xfb}, "/etc/passwd"...)...)}, "0xfb", false},
		{"a next factor", [][]byte{hello, packet(2, 2, 'x', 0)}, "0x02", false},
		{"an OK that is cut short", [][]byte{hello, packet(2, 0)}, "cannot be understood", false},
		{"a wrong number", [][]byte{hello, okPacket(3)}, "packet 3 where 2 was due", false},
		{"LOCAL INFILE in the set-up", [][]byte{hello, ok, packet(1, append([]byte{0xfb}, "/etc/passwd"...)...)}, "LOCAL INFILE", false},
		{"an endless result", [][]byte{hello, ok, endless()}, "more than", false},
		{"endless results", [][]byte{hello, ok, many(okMore(), 1)}, "where", false},
		{"an empty packet", [][]byte{hello, ok, packet(1)}, "empty packet", false},
		{"a column count without end", [][]byte{hello, ok, packet(1, 0xfc)}, "cannot be understood", false},
		{"two to the 64 columns", [][]byte{hello, ok, packet(1, 0xfe, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff)}, "", false},
		{"a transaction is open", [][]byte{hello, ok, oneRow(mysql.StatusInTrans, nil)}, "not idle", false},
		{"more when it is idle", [][]byte{hello, ok, append(oneRow(0, nil), okPacket(0)...)}, "goes on sending", false},
	} {
		t.Run(test.name, func(t *testing.T) {
			o := serveMySQL(t, func(nc net.Conn) {
				converse(test.parts...)(nc)
			})
			o.ConnectTimeout = patience / 4
			e, err := target.NewMySQLDialer(o).Dial(t.Context(), mySomeone)
			if err == nil {
				t.Fatalf("logged in: %+v", e)
			}
			if !strings.Contains(err.Error(), test.err) || target.Permanent(err) != test.final {
				t.Errorf("%v (permanent %v)", err, target.Permanent(err))
			}
			if strings.Contains(err.Error(), "vault") || strings.Contains(err.Error(), "deadline") && test.err != "" {
				t.Errorf("the error tells too much, or nothing: %v", err)
			}
		})
	}
}

// endless is rows for more than a connection may send, in numbered packets.
func endless() []byte {
	b := mysql.AppendColumnCount(nil, 1, sessionCaps, 1, true)
	b = mysql.AppendColumn(b, 2, sessionCaps, &mysql.Column{})
	seq := byte(3)
	for len(b) < 2<<20 {
		b = mysql.AppendTextRow(b, seq, make([]byte, 60_000))
		seq++
	}
	return b
}

// okMore says that more follows, and starts its numbers anew.
func okMore() []byte {
	b := mysql.AppendOK(nil, 1, sessionCaps, mysql.OK{Status: mysql.StatusMoreResults})
	return append(b, mysql.AppendOK(nil, 1, sessionCaps, mysql.OK{Status: mysql.StatusMoreResults})...)
}

// TestMySQLCutAnywhere: a server that stops after any byte gives an error.
func TestMySQLCutAnywhere(t *testing.T) {
	parts := [][]byte{mysqlHello(), okPacket(2), oneRow(mysql.StatusAutocommit, []byte("s"))}
	for i, p := range parts {
		for n := range p {
			cut := append(slices.Clone(parts[:i]), p[:n])
			o := serveMySQL(t, func(nc net.Conn) {
				for j, part := range cut {
					if j > 0 {
						takePacket(nc)
					}
					_, _ = nc.Write(part)
				}
			})
			if _, err := target.NewMySQLDialer(o).Dial(t.Context(), mySomeone); err == nil {
				t.Fatalf("logged in after %d bytes of part %d", n, i)
			}
		}
	}
	e, err := target.NewMySQLDialer(serveMySQL(t, converse(parts...))).Dial(t.Context(), mySomeone)
	if err != nil {
		t.Fatal(err)
	}
	defer e.Conn.Close()
	if e.ThreadID != 42 || e.Schema != "s" || e.Status != mysql.StatusAutocommit {
		t.Errorf("%+v", e)
	}
}

// TestMySQLClearText: a password goes out in clear text only to a server that has
// shown a certificate that was verified.
func TestMySQLClearText(t *testing.T) {
	ca, _, pair := authorities(t)
	cert, err := pair.TLS()
	if err != nil {
		t.Fatal(err)
	}
	got := make(chan []byte, 10)
	script := func(nc net.Conn) {
		_, _ = nc.Write(mysqlHello(with(mysql.ClientSSL)))
		if !mysql.IsSSLRequest(takePacket(nc)) {
			return
		}
		tc := tls.Server(nc, &tls.Config{Certificates: []tls.Certificate{cert}})
		takePacket(tc)
		_, _ = tc.Write(mysql.AppendAuthSwitch(nil, 3, mysql.PluginClear, nil))
		got <- takePacket(tc)
		_, _ = tc.Write(okPacket(5))
		takePacket(tc)
		_, _ = tc.Write(oneRow(0, nil))
		_, _ = io.Copy(io.Discard, tc)
	}
	for mode, base := range map[target.TLSMode]*tls.Config{
		target.TLSPrefer: nil, target.TLSRequire: nil,
		target.TLSVerifyCA: {RootCAs: ca.Pool()}, target.TLSVerifyFull: {RootCAs: ca.Pool()},
	} {
		o := serveMySQL(t, script)
		o.TLSMode, o.TLS = mode, base
		e, err := target.NewMySQLDialer(o).Dial(t.Context(), mySomeone)
		password := <-got
		if base == nil {
			if err == nil || !strings.Contains(err.Error(), "clear text") || len(password) > 0 {
				t.Errorf("%s: %v, sent %q", mode, err, password)
			}
			continue
		}
		if err != nil || string(password) != "from the vault\x00" {
			t.Errorf("%s: %v, sent %q", mode, err, password)
			continue
		}
		_ = e.Conn.Close()
	}
}

// TestMySQLStripped: a server, or who sits in between, that does not offer TLS, and
// one that sends more in clear text behind its greeting.
func TestMySQLStripped(t *testing.T) {
	o := serveMySQL(t, converse(mysqlHello(), okPacket(2), oneRow(0, nil)))
	o.TLSMode = target.TLSRequire
	if _, err := target.NewMySQLDialer(o).Dial(t.Context(), mySomeone); err == nil || !strings.Contains(err.Error(), "does not offer TLS") || !target.Permanent(err) {
		t.Errorf("stripped: %v", err)
	}
	o = serveMySQL(t, converse(append(mysqlHello(with(mysql.ClientSSL)), okPacket(2)...)))
	o.TLSMode = target.TLSRequire
	if _, err := target.NewMySQLDialer(o).Dial(t.Context(), mySomeone); err == nil || !strings.Contains(err.Error(), "tls:") {
		t.Errorf("injected: %v", err)
	}
}

// TestMySQLKey: the password is encrypted with the key that is known, and the server
// is not asked for another.
func TestMySQLKey(t *testing.T) {
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	der, err := x509.MarshalPKIXPublicKey(&key.PublicKey)
	if err != nil {
		t.Fatal(err)
	}
	text := pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: der})
	for _, plugin := range []string{mysql.PluginCachingSHA2, mysql.PluginSHA256} {
		for _, known := range []bool{true, false} {
			got := make(chan []byte, 1)
			o := serveMySQL(t, func(nc net.Conn) {
				_, _ = nc.Write(mysqlHello())
				takePacket(nc)
				_, _ = nc.Write(mysql.AppendAuthSwitch(nil, 2, plugin, salt))
				p, seq := takePacket(nc), byte(4)
				if plugin == mysql.PluginCachingSHA2 {
					_, _ = nc.Write(mysql.AppendAuthMoreData(nil, seq, []byte{mysql.CachingSHA2FullAuth}))
					p, seq = takePacket(nc), seq+2
				}
				if !known {
					_, _ = nc.Write(mysql.AppendAuthMoreData(nil, seq, text))
					p, seq = takePacket(nc), seq+2
				}
				got <- p
				converse(okPacket(seq), oneRow(0, nil))(nc)
			})
			if known {
				o.PublicKey, o.KeyRetrieval = &key.PublicKey, target.KeyNever
			}
			e, err := target.NewMySQLDialer(o).Dial(t.Context(), mySomeone)
			if err != nil {
				t.Errorf("%s, known %v: %v", plugin, known, err)
				continue
			}
			_ = e.Conn.Close()
			plain, err := rsa.DecryptOAEP(sha1.New(), nil, key, <-got, nil)
			for i := range plain {
				plain[i] ^= salt[i%len(salt)]
			}
			if err != nil || string(plain) != "from the vault\x00" {
				t.Errorf("%s, known %v: %q, %v", plugin, known, plain, err)
			}
		}
	}
}

// TestMySQLEd25519: also when the nonce ends with what looks like a terminator.
func TestMySQLEd25519(t *testing.T) {
	for _, last := range []byte{0, 1} {
		nonce := append(bytes.Repeat([]byte{7}, 31), last)
		got := make(chan []byte, 1)
		o := serveMySQL(t, func(nc net.Conn) {
			_, _ = nc.Write(mysqlHello())
			takePacket(nc)
			_, _ = nc.Write(packet(2, append([]byte("\xfe"+mysql.PluginEd25519+"\x00"), nonce...)...))
			got <- takePacket(nc)
			converse(okPacket(4), oneRow(0, nil))(nc)
		})
		e, err := target.NewMySQLDialer(o).Dial(t.Context(), mySomeone)
		if err != nil {
			t.Errorf("nonce with %d at its end: %v", last, err)
			continue
		}
		_ = e.Conn.Close()
		if !signedEd25519("from the vault", nonce, <-got) {
			t.Errorf("nonce with %d at its end: wrong signature", last)
		}
	}
}

// signedEd25519 verifies MariaDB's kind of signature: S·B = R + H(R, A, M)·A, with the
// secret scalar made of the password's SHA-512.
func signedEd25519(password string, nonce, signature []byte) bool {
	if len(signature) != 64 {
		return false
	}
	h := sha512.Sum512([]byte(password))
	a, errA := edwards25519.NewScalar().SetBytesWithClamping(h[:32])
	r, errR := new(edwards25519.Point).SetBytes(signature[:32])
	s, errS := edwards25519.NewScalar().SetCanonicalBytes(signature[32:])
	if errA != nil || errR != nil || errS != nil {
		return false
	}
	public := new(edwards25519.Point).ScalarBaseMult(a)
	k512 := sha512.Sum512(slices.Concat(signature[:32], public.Bytes(), nonce))
	k, err := edwards25519.NewScalar().SetUniformBytes(k512[:])
	if err != nil {
		return false
	}
	left := new(edwards25519.Point).ScalarBaseMult(s)
	right := new(edwards25519.Point).Add(r, new(edwards25519.Point).ScalarMult(k, public))
	return left.Equal(right) == 1
}

// TestMySQLRequestHidesPassword: also when somebody prints it.
func TestMySQLRequestHidesPassword(t *testing.T) {
	for _, format := range []string{"%v", "%+v", "%#v", "%s", "%q"} {
		if text := fmt.Sprintf(format, mySomeone); strings.Contains(text, "vault") {
			t.Errorf("%s prints %s", format, text)
		}
	}
}

func TestMySQLBadOptions(t *testing.T) {
	for _, o := range []target.MySQLOptions{
		{Host: "127.0.0.1", Port: 3306, TLSMode: "allow"},
		{Host: "127.0.0.1", Port: 3306, KeyRetrieval: "maybe"},
		{Host: "", Port: 3306},
		{Host: "127.0.0.1", Port: 70000},
	} {
		d := target.NewMySQLDialer(o)
		_, err := d.Dial(t.Context(), mySomeone)
		_, facts := d.Facts(t.Context(), mySomeone)
		for _, err := range []error{err, facts, d.Kill(t.Context(), mySomeone, 1)} {
			if !target.Permanent(err) {
				t.Errorf("%+v: %v", o, err)
			}
		}
	}
}
