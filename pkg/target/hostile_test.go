// SPDX-License-Identifier: Apache-2.0

package target_test

import (
	"bytes"
	"crypto/tls"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"slices"
	"strings"
	"testing"

	"github.com/rdsproxy/rdsproxy/pkg/target"
	wire "github.com/rdsproxy/rdsproxy/pkg/wire/postgres"
)

// key is the cancel key in greeting.
var key = []byte{1, 2, 3, 4}

// greeting is what a server sends that trusts everybody.
func greeting() []byte {
	b := wire.AppendAuthenticationOK(nil)
	b = wire.AppendParameterStatus(b, "server_version", "15.0")
	b = wire.AppendNoticeResponse(b, &wire.Error{Severity: "NOTICE", Code: "00000", Message: "welcome"})
	b = wire.AppendBackendKeyData(b, 42, key)
	return wire.AppendReadyForQuery(b, wire.TxIdle)
}

// startup reads the client's first packet and gives its body.
func startup(nc net.Conn) []byte {
	var head [4]byte
	if _, err := io.ReadFull(nc, head[:]); err != nil {
		return nil
	}
	body := make([]byte, min(binary.BigEndian.Uint32(head[:])-4, wire.MaxStartup))
	if _, err := io.ReadFull(nc, body); err != nil {
		return nil
	}
	return body
}

// say is a server that reads the first packet and sends something.
func say(parts ...[]byte) func(net.Conn) {
	return func(nc net.Conn) {
		startup(nc)
		for _, p := range parts {
			if _, err := nc.Write(p); err != nil {
				return
			}
		}
	}
}

// thenListen goes on reading until the client leaves.
func thenListen(script func(net.Conn)) func(net.Conn) {
	return func(nc net.Conn) {
		script(nc)
		_, _ = io.Copy(io.Discard, nc)
	}
}

func message(typ byte, body string) []byte {
	b := binary.BigEndian.AppendUint32([]byte{typ}, uint32(len(body)+4))
	return append(b, body...)
}

func header(typ byte, length uint32) []byte {
	return binary.BigEndian.AppendUint32([]byte{typ}, length)
}

var someone = target.Request{User: "u", Password: "from the vault", Database: "d"}

// TestHostileServers: whatever a server sends, the login ends with an error, and
// soon.
func TestHostileServers(t *testing.T) {
	sasl := wire.AppendAuthenticationSASL(nil, []string{"SCRAM-SHA-256"})
	challenge := func(first string) func(net.Conn) {
		return say(sasl, wire.AppendAuthenticationSASLContinue(nil, []byte(first)))
	}
	many := bytes.Repeat
	ok := wire.AppendAuthenticationOK(nil)
	idle := wire.AppendReadyForQuery(nil, wire.TxIdle)
	for _, test := range []struct {
		name   string
		script func(net.Conn)
		err    string
		final  bool
	}{
		{"nothing", say(), "EOF", false},
		{"an HTTP server", say([]byte("HTTP/1.1 400 Bad Request\r\n\r\n")), "no PostgreSQL server", false},
		{"a message of 4 GiB", say(header('S', 0xffffffff)), "no PostgreSQL server", false},
		{"a message of 1 GiB", say(header('S', 1<<30)), "no PostgreSQL server", false},
		{"a message just too large", say(header('S', 64<<10+5)), "no PostgreSQL server", false},
		{"a length of 3", say(header('R', 3)), "no PostgreSQL server", false},
		{"a length of 0", say(header('S', 0)), "no PostgreSQL server", false},
		{"an unknown message", say(ok, message('~', "")), "unknown message type", false},
		{"a message of another time", say(ok, message('G', "\x00\x00\x00")), "unexpected message", false},
		{"ready without authentication", say(idle), "before AuthenticationOk", false},
		{"an authentication without a kind", say(message('R', "")), "too short", false},
		{"an unknown authentication", say(message('R', "\x00\x00\x00\x63")), "unknown authentication", false},
		{"Kerberos", say(message('R', "\x00\x00\x00\x07")), "GSS", false},
		{"clear text", say(wire.AppendAuthenticationCleartextPassword(nil)), "clear text", true},
		{"endless authentication", say(many(wire.AppendAuthenticationMD5Password(nil, [4]byte{}), 10_000)), "goes on asking", false},
		{"a large authentication", say(header('R', 5000)), "5000 bytes", false},
		{"endless parameters", say(ok, many(wire.AppendParameterStatus(nil, "name", strings.Repeat("x", 1000)), 2000)), "more than", false},
		{"endless notices", say(ok, many(message('N', strings.Repeat("\x00", 60_000)), 100)), "more than", false},
		{"two thousand million iterations", challenge("r=x,s=AAAA,i=2147483647"), "SCRAM iterations", true},
		{"more iterations than fit", challenge("r=x,s=AAAA,i=99999999999999999999"), "SCRAM iterations", true},
		{"one iteration too many", challenge("r=x,s=AAAA,i=100001"), "SCRAM iterations", true},
		{"two counts of iterations", challenge("i=1,r=x,s=AAAA,i=2147483647"), "SCRAM iterations", true},
		{"another nonce", challenge("r=x,s=AAAA,i=4096"), "nonce", false},
		{"no mechanism", say(wire.AppendAuthenticationSASL(nil, nil)), "SCRAM-SHA-256", false},
		{"a transaction is open", thenListen(say(ok, wire.AppendReadyForQuery(nil, wire.TxActive))), "not idle", false},
		{"a long cancel key", thenListen(say(ok, message('K', strings.Repeat("x", 4+257)), idle)), "257 bytes", false},
		{"a short cancel key", say(ok, message('K', "\x00\x00\x00\x00"), idle), "BackendKeyData", false},
		{"more when it is idle", thenListen(say(many(greeting(), 2))), "goes on sending", false},
		{"an error without fields", say(message('E', "\x00")), "login", false},
		{"half an error", say(message('E', "SFATAL")), "login", false},
		{"a version that is too new", say(message('v', "\x00\x00\x00\x02\xff\xff\xff\xff")), "NegotiateProtocolVersion", false},
	} {
		t.Run(test.name, func(t *testing.T) {
			o := serve(t, test.script)
			e, err := target.NewDialer(o).Dial(t.Context(), someone)
			if err == nil {
				t.Fatalf("logged in: %+v", e)
			}
			if !strings.Contains(err.Error(), test.err) || target.Permanent(err) != test.final {
				t.Errorf("%v (permanent %v)", err, target.Permanent(err))
			}
			if strings.Contains(err.Error(), "vault") || strings.Contains(err.Error(), "user=") {
				t.Errorf("the error tells too much: %v", err)
			}
		})
	}
}

// TestLoginCutAnywhere: a server that stops after any byte gives an error, and
// one that sends byte by byte does not.
func TestLoginCutAnywhere(t *testing.T) {
	whole := greeting()
	for n := range whole {
		if _, err := target.NewDialer(serve(t, say(whole[:n]))).Dial(t.Context(), someone); err == nil {
			t.Fatalf("logged in after %d of %d bytes", n, len(whole))
		}
	}
	var bits [][]byte
	for b := range slices.Chunk(whole, 1) {
		bits = append(bits, b)
	}
	e, err := target.NewDialer(serve(t, thenListen(say(bits...)))).Dial(t.Context(), someone)
	if err != nil {
		t.Fatal(err)
	}
	defer e.Conn.Close()
	if e.PID != 42 || !bytes.Equal(e.SecretKey, key) || e.Params["server_version"] != "15.0" {
		t.Errorf("%+v", e)
	}
}

// TestNoKey: a server without cancel keys, such as RDS Proxy, is fine.
func TestNoKey(t *testing.T) {
	o := serve(t, thenListen(say(wire.AppendReadyForQuery(wire.AppendAuthenticationOK(nil), wire.TxIdle))))
	e, err := target.NewDialer(o).Dial(t.Context(), someone)
	if err != nil {
		t.Fatal(err)
	}
	defer e.Conn.Close()
	if e.PID != 0 || len(e.SecretKey) != 0 {
		t.Errorf("%+v", e)
	}
}

// TestOldServer: one that cannot negotiate is asked for 3.0, and from then on
// first of all.
func TestOldServer(t *testing.T) {
	versions := make(chan uint32, 10)
	refuse := func(nc net.Conn) {
		v := binary.BigEndian.Uint32(startup(nc))
		versions <- v
		if v == uint32(wire.Version30) {
			thenListen(func(nc net.Conn) { _, _ = nc.Write(greeting()) })(nc)
			return
		}
		_, _ = nc.Write(wire.AppendErrorResponse(nil, wire.Fatal("0A000", "unsupported frontend protocol 3.2: server supports 2.0 to 3.0")))
	}
	d := target.NewDialer(serve(t, refuse))
	for range 2 {
		e, err := d.Dial(t.Context(), someone)
		if err != nil {
			t.Fatal(err)
		}
		_ = e.Conn.Close()
	}
	close(versions)
	var seen []uint32
	for v := range versions {
		seen = append(seen, v)
	}
	if want := []uint32{uint32(wire.Version32), uint32(wire.Version30), uint32(wire.Version30)}; !slices.Equal(seen, want) {
		t.Errorf("versions %x", seen)
	}
}

// TestTLSNegotiation: what a server may do with a request for TLS.
func TestTLSNegotiation(t *testing.T) {
	_, _, pair := authorities(t)
	cert, err := pair.TLS()
	if err != nil {
		t.Fatal(err)
	}
	answer := func(with string) func(net.Conn) {
		return func(nc net.Conn) {
			startup(nc)
			_, _ = nc.Write([]byte(with))
			thenListen(say(greeting()))(nc)
		}
	}
	plain := thenListen(say(greeting()))
	injected := func(nc net.Conn) {
		startup(nc)
		// What follows the answer in clear text must not be taken for TLS.
		_, _ = nc.Write(append([]byte("S"), greeting()...))
		_, _ = io.Copy(io.Discard, nc)
	}
	other := func(nc net.Conn) { // TLS without our ALPN name
		startup(nc)
		_, _ = nc.Write([]byte("S"))
		tc := tls.Server(nc, &tls.Config{Certificates: []tls.Certificate{cert}, NextProtos: []string{"http/1.1"}})
		_ = tc.Handshake()
	}
	for _, test := range []struct {
		name          string
		scripts       []func(net.Conn)
		prefer, final bool   // prefer logs in; require fails for good
		require       string // error
	}{
		{"not offered", []func(net.Conn){answer("N")}, true, true, "does not offer TLS"},
		{"an error", []func(net.Conn){answer("EFATAL: no\x00"), plain}, true, false, "with an error"},
		{"garbage", []func(net.Conn){answer("?"), plain}, true, false, "'?'"},
		{"closed", []func(net.Conn){say(), plain}, true, false, "EOF"},
		{"clear text behind the answer", []func(net.Conn){injected, plain}, true, false, "tls: first record does not look like a TLS handshake"},
		{"another protocol", []func(net.Conn){other, plain}, true, false, "no application protocol"},
	} {
		for _, mode := range []target.TLSMode{target.TLSPrefer, target.TLSRequire} {
			o := serve(t, test.scripts...)
			o.TLSMode = mode
			e, err := target.NewDialer(o).Dial(t.Context(), someone)
			if mode == target.TLSPrefer {
				if err != nil {
					t.Errorf("%s, prefer: %v", test.name, err)
					continue
				}
				_ = e.Conn.Close()
				continue
			}
			var failed *target.Error
			if !errors.As(err, &failed) || failed.Stage != target.StageTLS ||
				!strings.Contains(err.Error(), test.require) || target.Permanent(err) != test.final {
				t.Errorf("%s, require: %v", test.name, err)
			}
		}
	}
}

// TestCancelRequest: the packet, and what a server may do with it.
func TestCancelRequest(t *testing.T) {
	packets := make(chan []byte, 4)
	take := func(nc net.Conn) { packets <- startup(nc) }
	d := target.NewDialer(serve(t, take))
	if err := d.Cancel(t.Context(), 7, []byte("long key of protocol 3.2")); err != nil {
		t.Fatal(err)
	}
	want := append([]byte{0x04, 0xd2, 0x16, 0x2e, 0, 0, 0, 7}, "long key of protocol 3.2"...)
	if got := <-packets; !bytes.Equal(got, want) {
		t.Errorf("sent %x", got)
	}
	talkative := func(nc net.Conn) {
		for {
			if _, err := nc.Write(make([]byte, 1024)); err != nil {
				return
			}
		}
	}
	if err := target.NewDialer(serve(t, talkative)).Cancel(t.Context(), 7, key); err == nil || !strings.Contains(err.Error(), "has no answer") {
		t.Errorf("talkative server: %v", err)
	}
	reset := func(nc net.Conn) {
		startup(nc)
		_ = nc.(*net.TCPConn).SetLinger(0)
	}
	if err := target.NewDialer(serve(t, reset)).Cancel(t.Context(), 7, key); err != nil {
		t.Errorf("reset: %v", err)
	}
	// With prefer, a failed handshake is followed by the request in clear text.
	o := serve(t, func(nc net.Conn) { startup(nc); _, _ = nc.Write([]byte("Snot TLS")) }, take)
	o.TLSMode = target.TLSPrefer
	if err := target.NewDialer(o).Cancel(t.Context(), 7, key); err != nil || len(<-packets) != 12 {
		t.Errorf("prefer: %v", err)
	}
}

// TestBadAnswersToFacts: nonsense is an error.
func TestBadAnswersToFacts(t *testing.T) {
	row := func(values ...string) []byte {
		body := binary.BigEndian.AppendUint16(nil, uint16(len(values)))
		for _, v := range values {
			body = binary.BigEndian.AppendUint32(body, uint32(len(v)))
			body = append(body, v...)
		}
		return message('D', string(body))
	}
	columns := message('T', "\x00\x00")
	done := append(wire.AppendCommandComplete(nil, "SELECT 1"), wire.AppendReadyForQuery(nil, wire.TxIdle)...)
	for _, test := range []struct {
		answer []byte
		err    string
	}{
		{append(slices.Concat(columns, row("100", "3", "0", "15.1", "150001", "f", "a,b")), done...), ""},
		{append(slices.Concat(columns, row("100", "3", "0", "15.1", "150001", "f", "")), done...), ""},
		{append(slices.Concat(columns, row("many", "3", "0", "15.1", "150001", "f", "")), done...), "where a number should be"},
		{append(slices.Concat(columns, row("-1", "3", "0", "15.1", "150001", "f", "")), done...), "where a number should be"},
		{append(slices.Concat(columns, row("100")), done...), "1 columns"},
		{append(slices.Concat(columns, row("1"), row("2")), done...), "rows than one"},
		{done, "rows than one"},
		{message('Z', "I"), "rows than one"},
		{wire.AppendReadyForQuery(wire.AppendErrorResponse(nil, wire.Fatal("57P01", "bye")), wire.TxIdle), "bye"},
	} {
		o := serve(t, func(nc net.Conn) {
			say(greeting())(nc)
			head := make([]byte, 1)
			if _, err := nc.Read(head); err != nil {
				return
			}
			startup(nc) // the query has the same form behind its type
			_, _ = nc.Write(test.answer)
			_, _ = io.ReadFull(nc, make([]byte, 5)) // Terminate
		})
		f, err := target.NewDialer(o).Facts(t.Context(), someone)
		if test.err == "" {
			if err != nil || f.MaxConnections != 100 || f.VersionNum != 150001 {
				t.Errorf("%+v, %v", f, err)
			}
		} else if err == nil || !strings.Contains(err.Error(), test.err) {
			t.Errorf("%q: %v", test.err, err)
		}
	}
}

// TestRequestHidesPassword: also when somebody prints it.
func TestRequestHidesPassword(t *testing.T) {
	for _, format := range []string{"%v", "%+v", "%#v", "%s", "%q"} {
		if text := fmt.Sprintf(format, someone); strings.Contains(text, "vault") {
			t.Errorf("%s prints %s", format, text)
		}
	}
}

func TestBadOptions(t *testing.T) {
	for _, o := range []target.Options{
		{Host: "127.0.0.1", Port: 5432, TLSMode: "allow"},
		{Host: "", Port: 5432},
		{Host: "127.0.0.1"},
		{Host: "127.0.0.1", Port: 70000},
	} {
		d := target.NewDialer(o)
		_, err := d.Dial(t.Context(), someone)
		_, facts := d.Facts(t.Context(), someone)
		for _, err := range []error{err, facts, d.Cancel(t.Context(), 1, key)} {
			if !target.Permanent(err) {
				t.Errorf("%+v: %v", o, err)
			}
		}
	}
	o := target.Options{Host: "no-such-host.invalid", Port: 5432, ConnectTimeout: patience}
	_, err := target.NewDialer(o).Dial(t.Context(), someone)
	var failed *target.Error
	if !errors.As(err, &failed) || failed.Stage != target.StageConnect || target.Permanent(err) {
		t.Errorf("unknown host: %v", err)
	}
}
