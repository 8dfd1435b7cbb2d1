// SPDX-License-Identifier: Apache-2.0

package integration

import (
	"bytes"
	"encoding/binary"
	"io"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/rdsproxy/rdsproxy/test/daemonproc"
)

// TestBadStartUp sends start-up packets that are wrong. Each has to end the
// connection soon, with or without an error in the protocol's form, and none may
// disturb others.
func TestBadStartUp(t *testing.T) {
	s := newStack(t, 0, daemonproc.Options{
		Group: connections(1),
		Top:   daemonproc.Map{"login_timeout": "2s"},
	})
	s.daemon.RequireProxy(t)
	good := parameters("user", s.user, "database", s.database)
	strangers := make(map[string]net.Conn)
	length := func(n uint32) []byte { return binary.BigEndian.AppendUint32(nil, n) }
	for name, bytes := range map[string][]byte{
		"nothing":                   {},
		"half a length":             {0, 0},
		"length 0":                  length(0),
		"length 4":                  length(4),
		"length 7":                  append(length(7), 0, 0, 0),
		"length 2^31":               append(length(1<<31), 0, 3, 0, 0),
		"length 2^32-1":             append(length(1<<32-1), 0, 3, 0, 0),
		"longer than it says":       append(startup(protocol30, good), "junk"...),
		"length 1 MB":               append(length(1<<20), bytes.Repeat([]byte{'x'}, 1<<20)...),
		"unfinished":                startup(protocol30, good)[:20],
		"no user":                   startup(protocol30, parameters("database", "x")),
		"no end":                    startup(protocol30, "user\x00x"),
		"value missing":             startup(protocol30, "user\x00x\x00database\x00"),
		"empty":                     startup(protocol30, ""),
		"version 2":                 startup(2<<16, good),
		"version 4":                 startup(4<<16, good),
		"HTTP":                      []byte("GET / HTTP/1.1\r\nHost: x\r\n\r\n"),
		"SSLRequest twice":          append(startup(sslCode, ""), startup(sslCode, "")...),
		"SSLRequest with a body":    startup(sslCode, "xyz"),
		"GSSENCRequest twice":       append(startup(gssCode, ""), startup(gssCode, "")...),
		"cancel without key":        startup(cancelCode, ""),
		"cancel with half a key":    startup(cancelCode, "\x00\x00\x00\x01\x00"),
		"cancel with a huge key":    startup(cancelCode, strings.Repeat("k", 5000)),
		"cancel of nobody":          cancelRequest(1, []byte("abcd")),
		"query ahead of the login":  append(startup(protocol30, good), message('Q', "SELECT 1\x00")...),
		"start-up in the login":     append(startup(protocol30, good), startup(protocol30, good)...),
		"huge password":             append(startup(protocol30, good), message('p', strings.Repeat("x", 100_000))...),
		"SASL with a wrong length":  append(startup(protocol30, good), message('p', "SCRAM-SHA-256\x00\xff\xff\xff\xff")...),
		"SASL with unknown method":  append(startup(protocol30, good), message('p', "NONE\x00\x00\x00\x00\x00")...),
		"SASL without attributes":   append(startup(protocol30, good), message('p', "SCRAM-SHA-256\x00\x00\x00\x00\x01n")...),
		"password of negative size": append(startup(protocol30, good), "p\xff\xff\xff\xff"...),
		"options without a name":    startup(protocol30, parameters("user", s.user, "options", "-c =x")),
	} {
		c := s.dialRaw(t)
		if _, err := c.Write(bytes); err != nil {
			t.Logf("write: %v", err) // the peer may have closed already
		}
		strangers[name] = c
	}
	for name, c := range strangers {
		t.Run(name, func(t *testing.T) { expectClosed(t, c) })
	}
	if got := value(t, s.connect(t), "SELECT 'others are served'"); got != "others are served" {
		t.Errorf("got %q", got)
	}
}

// TestBytesAheadOfTLS is CVE-2021-23222: what a client sends with its SSLRequest, in
// the clear, must never be taken for something that came through TLS.
func TestBytesAheadOfTLS(t *testing.T) {
	_, pair := authority(t)
	s := newStack(t, 0, daemonproc.Options{Group: connections(1), Certificate: &pair})
	s.daemon.RequireProxy(t)
	c := s.dialRaw(t)
	if _, err := c.Write(append(startup(sslCode, ""), startup(protocol30, parameters("user", s.user))...)); err != nil {
		t.Fatal(err)
	}
	answer, err := io.ReadAll(c)
	if len(answer) > 0 && answer[0] == 'S' && len(answer) > 1 {
		t.Errorf("the answer goes on after S: %q, %v", answer, err)
	}
}

// TestEncryptionRequests are refused with one byte where there is none, and the
// client may go on in the clear.
func TestEncryptionRequests(t *testing.T) {
	s := newStack(t, 0, daemonproc.Options{Group: connections(1)})
	s.daemon.RequireProxy(t) // PostgreSQL may be built with GSS
	c := s.dialRaw(t)
	for name, request := range map[string][]byte{"GSS": startup(gssCode, ""), "SSL": startup(sslCode, "")} {
		if _, err := c.Write(request); err != nil {
			t.Fatal(err)
		}
		var answer [1]byte
		if _, err := io.ReadFull(c, answer[:]); err != nil || answer[0] != 'N' {
			t.Fatalf("%s: %q, %v, want N", name, answer, err)
		}
	}
	if _, err := c.Write(startup(protocol30, parameters("user", s.user, "database", s.database))); err != nil {
		t.Fatal(err)
	}
	kind, _, err := readMessage(c)
	if err != nil || kind != 'R' {
		t.Errorf("%q, %v, want an authentication request", kind, err)
	}
}

// TestNegotiation asks for more than there is: exactly one NegotiateProtocolVersion.
func TestNegotiation(t *testing.T) {
	s := newStack(t, 0, daemonproc.Options{Group: connections(1)})
	s.daemon.RequireProxy(t)
	for _, test := range []struct {
		name    string
		code    uint32
		option  string
		minor   byte
		options int
	}{
		{"3.9999", 3<<16 | 9999, "", 2, 0},
		{"3.0 with an option", protocol30, "_pq_.unheard_of", 0, 1},
		{"3.2 with an option", protocol32, "_pq_.unheard_of", 2, 1},
	} {
		t.Run(test.name, func(t *testing.T) {
			c := s.dialRaw(t)
			params := []string{"user", s.user, "database", s.database}
			if test.option != "" {
				params = append(params, test.option, "x")
			}
			if _, err := c.Write(startup(test.code, parameters(params...))); err != nil {
				t.Fatal(err)
			}
			kind, body, err := readMessage(c)
			if err != nil || kind != 'v' {
				t.Fatalf("%q, %v, want NegotiateProtocolVersion", kind, err)
			}
			if len(body) < 8 || body[3] != test.minor || int(binary.BigEndian.Uint32(body[4:])) != test.options {
				t.Errorf("got %q", body)
			}
			if kind, _, err = readMessage(c); err != nil || kind != 'R' {
				t.Errorf("then %q, %v, want an authentication request", kind, err)
			}
		})
	}
}

// TestBadMessages sends nonsense after the login. Where even the length is wrong,
// PostgreSQL closes without a word; elsewhere an error has to name the trouble.
func TestBadMessages(t *testing.T) {
	s := newStack(t, 0, daemonproc.Options{Group: connections(1)})
	for name, bytes := range map[string][]byte{
		"unknown type":       message('!', "x"),
		"length 3":           {'Q', 0, 0, 0, 3},
		"length 2^32-1":      {'Q', 0xff, 0xff, 0xff, 0xff},
		"query without end":  message('Q', "SELECT 1"),
		"bind cut short":     message('B', "\x00"),
		"parse cut short":    message('P', "name"),
		"start-up message":   startup(protocol30, parameters("user", "x")),
		"password":           message('p', "secret\x00"),
		"describe of a kind": message('D', "Xname\x00"),
		"sync with a body":   message('S', "xxxx"),
	} {
		t.Run(name, func(t *testing.T) {
			conn := s.connect(t)
			h, err := conn.PgConn().Hijack()
			if err != nil {
				t.Fatal(err)
			}
			defer h.Conn.Close()
			if err := h.Conn.SetDeadline(time.Now().Add(20 * time.Second)); err != nil {
				t.Fatal(err)
			}
			if _, err := h.Conn.Write(append(bytes, message('S', "")...)); err != nil {
				t.Fatal(err)
			}
			if strings.HasPrefix(name, "length") {
				expectClosed(t, h.Conn)
				return
			}
			fields := readError(t, h.Conn)
			if c := fields['C']; len(c) != 5 || c == "XX000" {
				t.Errorf("SQLSTATE %q: %s", c, fields['M'])
			}
			if name == "unknown type" || name == "start-up message" {
				expectClosed(t, h.Conn)
			}
		})
	}
	if got := value(t, s.connect(t), "SELECT 'others are served'"); got != "others are served" {
		t.Errorf("got %q", got)
	}
}

// TestTooManyUnauthenticated keeps strangers from using up all sockets.
func TestTooManyUnauthenticated(t *testing.T) {
	s := newStack(t, 0, daemonproc.Options{
		Group: connections(1),
		Top:   daemonproc.Map{"max_unauthenticated_connections": 5, "login_timeout": "3s"},
	})
	s.daemon.RequireProxy(t)
	for range 20 {
		s.dialRaw(t)
	}
	eventually(t, "a client gets in after the strangers have timed out", func() bool {
		_, err := s.tryConnect(t, s.dsn())
		return err == nil
	})
}

func TestTooManyClients(t *testing.T) {
	s := newStack(t, 0, daemonproc.Options{
		Group: connections(1),
		Top:   daemonproc.Map{"max_client_connections": 3},
	})
	s.daemon.RequireProxy(t)
	first := s.connect(t)
	for range 2 {
		s.connect(t)
	}
	_, err := s.tryConnect(t, s.dsn())
	wantCode(t, err, "53300")
	closeNow(first)
	eventually(t, "there is room again", func() bool {
		_, err := s.tryConnect(t, s.dsn())
		return err == nil
	})
}

func TestIdleClientTimeout(t *testing.T) {
	s := newStack(t, 0, daemonproc.Options{
		Group: connections(1),
		Top:   daemonproc.Map{"idle_client_timeout": "1s"},
	})
	s.daemon.RequireProxy(t)
	conn := s.connect(t)
	run(t, conn, "SELECT 1")
	_, err := conn.WaitForNotification(limit(t, 20*time.Second))
	wantCode(t, err, "57P05")
}
