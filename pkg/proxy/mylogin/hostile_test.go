// SPDX-License-Identifier: Apache-2.0

package mylogin_test

import (
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/rdsproxy/rdsproxy/pkg/auth"
	"github.com/rdsproxy/rdsproxy/pkg/proxy/login"
	"github.com/rdsproxy/rdsproxy/pkg/proxy/mylogin"
	"github.com/rdsproxy/rdsproxy/pkg/wire/mysql"
)

const (
	badHandshake = "ERROR 1043 (08S01): Bad handshake"
	outOfOrder   = "ERROR 1156 (08S01): Got packets out of order"
	tooLarge     = "ERROR 1153 (08S01): Got a packet bigger than 'max_allowed_packet' bytes"
)

// response is a handshake response with the first answer of plugin.
func response(user, plugin string, answer []byte) []byte {
	return mysql.AppendLogin(nil, 1, &mysql.Login{Capabilities: basic, User: user, Plugin: plugin, AuthResponse: answer})
}

func request() []byte {
	return mysql.AppendSSLRequest(nil, 1, &mysql.Login{Capabilities: basic | mysql.ClientSSL})
}

// run has Serve read bytes that were all sent at once, and returns what it sent behind the greeting.
func run(t *testing.T, cfg *mylogin.Config, sent ...[]byte) ([]string, outcome) {
	t.Helper()
	nc := &script{in: bytes.Join(sent, nil)}
	l, err := mylogin.Serve(t.Context(), nc, cfg)
	holdsNoSecret(t, err)
	return packets(t, nc.out), outcome{l, err}
}

// TestBadPackets: what is no handshake response is refused with the sequence id that the client expects.
func TestBadPackets(t *testing.T) {
	raw := func(seq byte, payload ...byte) []byte { return mysql.AppendPacket(nil, seq, payload) }
	whole := response("nat", native, make([]byte, 20))
	withSSL := mysql.AppendLogin(nil, 1, &mysql.Login{Capabilities: basic | mysql.ClientSSL, User: "nat", Plugin: native, AuthResponse: make([]byte, 20)})
	secondSeq := bytes.Clone(whole)
	secondSeq[3] = 2
	for _, c := range []struct {
		name   string
		tls    bool
		sent   []byte
		want   string
		reason string
	}{
		{"empty", false, raw(1), "2 " + badHandshake, "bad_startup_packet"},
		{"a byte", false, raw(1, 1), "2 " + badHandshake, "bad_startup_packet"},
		{"before 4.1", false, raw(1, 5, 0, 0, 0, 0, 'a', 0), "2 ERROR 1251: Client does not support " +
			"authentication protocol requested by server; consider upgrading MySQL client", "unsupported_protocol_version"},
		{"two bytes", false, raw(1, 0, 2), "2 " + badHandshake, "bad_startup_packet"},
		{"sequence id of 0", false, append([]byte{whole[0], 0, 0, 0}, whole[4:]...), "1 " + outOfOrder, "bad_startup_packet"},
		{"sequence id too high", false, secondSeq, "3 " + outOfOrder, "bad_startup_packet"},
		{"sequence id at its end", false, append([]byte{whole[0], 0, 0, 255}, whole[4:]...), "0 " + outOfOrder, "bad_startup_packet"},
		{"too long", false, []byte{0, 0, 2, 1, 0}, "2 " + tooLarge, "bad_startup_packet"},
		{"as long as can be", false, []byte{255, 255, 255, 1, 0}, "2 " + tooLarge, "bad_startup_packet"},
		{"HTTP", false, []byte("GET / HTTP/1.1\r\n\r\n"), "33 " + outOfOrder, "bad_startup_packet"},
		{"TLS at once", true, []byte("\x16\x03\x01\x02\x00\x01\x00"), "3 " + outOfOrder, "bad_startup_packet"},
		{"a request for TLS that is not offered", false, request(), "2 " + badHandshake, "bad_startup_packet"},
		{"TLS claimed, and not asked for", true, withSSL, "2 " + badHandshake, "bad_startup_packet"},
		{"TLS claimed, and not offered", false, withSSL, "2 " + strings.Replace(denied("nat", "YES"), "localhost", "192.0.2.1", 1), "wrong_password"},
	} {
		heard, o := run(t, config(c.tls), c.sent)
		if len(heard) != 1 || heard[0] != c.want || o.reason() != c.reason {
			t.Errorf("%s: %q, %s", c.name, heard, o.reason())
		}
	}
}

// TestCut: a handshake response that ends too early, by its header or by the end of the connection, is no login and
// does no harm.
func TestCut(t *testing.T) {
	l := mysql.Login{
		Capabilities: basic | mysql.ClientConnectAttrs | mysql.ClientZstd, User: "nat", Plugin: native, Schema: "shop",
		AuthResponse: make([]byte, 20), Attributes: []mysql.Attribute{{Name: "a", Value: "b"}}, ZstdLevel: 3,
	}
	whole := mysql.AppendLogin(nil, 1, &l)
	for n := range len(whole) {
		if heard, o := run(t, config(false), whole[:n]); o.reason() != "disconnected" || len(heard) != 0 {
			t.Errorf("%d bytes: %q, %v", n, heard, o.err)
		}
		if n < mysql.HeaderLen {
			continue
		}
		heard, o := run(t, config(false), mysql.AppendPacket(nil, 1, whole[mysql.HeaderLen:n]))
		if o.err == nil || len(heard) == 0 {
			t.Errorf("%d bytes: %q, %+v", n, heard, o.login)
		}
	}
	// A byte that is anything, anywhere.
	for i := mysql.HeaderLen; i < len(whole); i++ {
		for _, b := range []byte{0, 1, 0xfa, 0xfb, 0xfc, 0xfd, 0xfe, 0xff} {
			sent := bytes.Clone(whole)
			sent[i] = b
			if _, o := run(t, config(false), sent); o.err == nil {
				t.Errorf("byte %d is %#x: %+v", i, b, o.login)
			}
		}
	}
}

// TestBadAnswers: of every length, to every plugin.
func TestBadAnswers(t *testing.T) {
	for _, user := range []string{"nat", "carl", "nobody"} {
		for _, n := range []int{0, 1, 19, 20, 21, 31, 32, 33, 255, 1024, 1025, 5000} {
			for _, o := range []byte{0, 0xff} {
				answer := bytes.Repeat([]byte{o}, n)
				first, out1 := run(t, config(false), response(user, map[string]string{"nat": native}[user], answer))
				switched, out2 := run(t, config(false), response(user, "other", nil), mysql.AppendPacket(nil, 3, answer),
					mysql.AppendPacket(nil, 5, answer), mysql.AppendPacket(nil, 7, answer))
				if out1.err == nil || out2.err == nil {
					t.Fatalf("%s, %d bytes: %q, %q", user, n, first, switched)
				}
				if n > 1024 && switched[len(switched)-1][2:] != tooLarge {
					t.Errorf("%s, %d bytes: %q", user, n, switched)
				}
			}
		}
	}
	// In the middle of a plugin's dialogue the sequence counts too.
	heard, o := run(t, config(false), response("nat", caching, nil), mysql.AppendPacket(nil, 4, make([]byte, 20)))
	if !slices.Equal(heard, []string{"2 switch mysql_native_password 20", "5 " + outOfOrder}) ||
		o.reason() != "bad_authentication_message" {
		t.Errorf("%q, %v", heard, o.err)
	}
	// A ciphertext that is none gives the words of a wrong password.
	for _, n := range []int{0, 1, 255, 256, 257} {
		heard, o := run(t, config(false), response("carl", caching, make([]byte, 32)), mysql.AppendPacket(nil, 3, make([]byte, n)))
		if len(heard) != 2 || !strings.HasPrefix(heard[1], "4 ERROR 1045 (28000): ") || o.err == nil {
			t.Errorf("%d bytes: %q, %v", n, heard, o.err)
		}
	}
	// The key is given away once, and then it is time for a password.
	ask := []byte{mysql.CachingSHA2RequestKey}
	heard, o = run(t, config(false), response("carl", caching, make([]byte, 32)), mysql.AppendPacket(nil, 3, ask), mysql.AppendPacket(nil, 5, ask))
	if len(heard) != 3 || heard[1] != "4 key" || !strings.HasPrefix(heard[2], "6 ERROR 1045") {
		t.Errorf("%q, %v", heard, o.err)
	}
}

// TestBytesBehindTheRequestForTLS: they are not taken for anything but a broken handshake, even if they are a login that
// would be let in.
func TestBytesBehindTheRequestForTLS(t *testing.T) {
	near, far := net.Pipe()
	defer near.Close()
	done := serve(t.Context(), far, config(true))
	c := &peer{t: t, conn: near}
	payload, _ := c.receive()
	g, err := mysql.ParseGreeting(payload)
	must(err)
	login := mysql.AppendLogin(nil, 2, &mysql.Login{Capabilities: basic, User: "nat", Plugin: native, AuthResponse: answer(native, password, g.Salt)})
	go func() {
		_, _ = near.Write(append(request(), login...))
		_, _ = io.Copy(io.Discard, near)
	}()
	if o := <-done; o.reason() != "tls_handshake" {
		t.Errorf("%+v", o)
	}
}

// TestNothingIsReadAhead: what a client sends behind its login is there for the session.
func TestNothingIsReadAhead(t *testing.T) {
	for _, withTLS := range []bool{false, true} {
		c, done := dial(t.Context(), t, config(true))
		if withTLS {
			must(c.startTLS())
		}
		login := mysql.AppendLogin(nil, c.seq, &mysql.Login{Capabilities: basic, User: "nat", Plugin: native, AuthResponse: c.answer(native, password)})
		go func() { _, _ = c.conn.Write(append(login, "\x01\x00\x00\x00\x0e"...)) }()
		o := <-done
		if o.err != nil {
			t.Fatal(o.err)
		}
		if !withTLS {
			continue // a pipe has no buffer: the write is still waiting
		}
		rest := make([]byte, 5)
		if _, err := io.ReadFull(o.login.TLS, rest); err != nil || rest[4] != byte(mysql.ComPing) {
			t.Errorf("%q, %v", rest, err)
		}
	}
}

// TestSecondRequestForTLS: there is no TLS in TLS.
func TestSecondRequestForTLS(t *testing.T) {
	c, done := dial(t.Context(), t, config(true))
	must(c.startTLS())
	c.send(request()[mysql.HeaderLen:])
	c.hear()
	go func() { _, _ = io.Copy(io.Discard, c.conn) }()
	if o := <-done; o.reason() != "bad_startup_packet" || c.heard[0] != badHandshake {
		t.Errorf("%v, %v", c.heard, o.err)
	}
}

// TestUsersCannotBeToldApart: for the same client and the same name, all that the proxy says is the same whether the
// user exists or not.
func TestUsersCannotBeToldApart(t *testing.T) {
	for _, method := range []auth.MySQLMethod{
		auth.MySQLCachingSHA2, auth.MySQLNative, auth.MySQLCleartext, auth.MySQLToken, auth.MySQLCachingSHA2OrToken, auth.MySQLNativeOrToken,
	} {
		there := auth.NewMySQLToken()
		if method != auth.MySQLToken {
			var err error
			there, err = auth.NewMySQLCredential(password, method)
			must(err)
		}
		for _, do := range []conduct{
			{plugin: caching, password: "wrong"},
			{plugin: caching, password: "wrong", hasKey: true},
			{plugin: caching, password: "wrong", silent: true},
			{plugin: caching, password: "wrong", tls: true},
			{plugin: native, password: "wrong"},
			{plugin: native, password: "wrong", tls: true},
			{plugin: native, password: "wrong", without: mysql.ClientPluginAuth},
			{plugin: clear, password: "wrong"},
			{plugin: clear, password: "wrong", tls: true},
			{plugin: caching, password: token, tls: true},
			{plugin: native, password: token, tls: true},
			{plugin: clear, password: token, tls: true},
			{plugin: caching},
			{plugin: native},
			{plugin: "x", password: "wrong"},
		} {
			do.user = "ann"
			try := func(u users) string {
				cfg := config(true)
				cfg.Users, cfg.UnknownMethod = u, method
				asked := 0
				cfg.Tokens = tokens(func(_ context.Context, user, _ string) error {
					if asked++; user != "ann" {
						t.Errorf("token of %q", user)
					}
					return errors.New("no")
				})
				heard, o := play(t, cfg, do)
				if o.err == nil {
					t.Errorf("%v, %+v: logged in", method, do)
				}
				return fmt.Sprint(heard, " ", asked)
			}
			known := try(users{"ann": there})
			if unknown := try(users{}); unknown != known {
				t.Errorf("%v, %+v: known %s, unknown %s", method, do, known, unknown)
			}
			// A lookup that says yes and has nothing to show for it is one that says no.
			if zero := try(users{"ann": {}}); zero != known {
				t.Errorf("%v, %+v: known %s, empty credential %s", method, do, known, zero)
			}
		}
	}
	// Nor by a token that would be right.
	cfg := config(true)
	cfg.Users, cfg.UnknownMethod = users{}, auth.MySQLToken
	if _, o := play(t, cfg, conduct{user: "tom", password: token, plugin: clear, tls: true}); o.reason() != "unknown_user" {
		t.Errorf("%v", o.err)
	}
}

// TestLongName: an error does not grow with what the client sent.
func TestLongName(t *testing.T) {
	heard, o := run(t, config(false), response(strings.Repeat("ü", 20000), "", nil), mysql.AppendPacket(nil, 3, nil))
	if len(heard) != 2 || len(heard[1]) > 512 || strings.ContainsRune(heard[1], '\ufffd') || o.reason() != "unknown_user" {
		t.Errorf("%d packets, %v", len(heard), o.reason())
	}
}

// TestSilentClient: whenever a client falls silent, the login ends with its deadline.
func TestSilentClient(t *testing.T) {
	steps := map[string]func(c *peer){
		"at once":       func(*peer) {},
		"half a packet": func(c *peer) { _, _ = c.conn.Write([]byte{40, 0, 0}) },
		"before TLS":    func(c *peer) { _, _ = c.conn.Write(request()) },
		"after TLS":     func(c *peer) { must(c.startTLS()) },
		"switch": func(c *peer) {
			c.login(mysql.Login{User: "nat", Plugin: caching})
			c.hear()
		},
		"switch, over TLS": func(c *peer) {
			must(c.startTLS())
			c.login(mysql.Login{User: "nat", Plugin: caching})
			c.hear()
		},
		"full authentication": func(c *peer) {
			c.login(mysql.Login{User: "carl", Plugin: caching, AuthResponse: make([]byte, 32)})
			c.hear()
		},
		"not reading": func(c *peer) { c.login(mysql.Login{User: "nat", Plugin: caching}) },
	}
	for name, step := range steps {
		for _, how := range []string{"timeout", "shutdown"} {
			synctest.Test(t, func(t *testing.T) {
				ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
				defer cancel()
				begin := time.Now()
				c, done := dial(ctx, t, config(true))
				step(c)
				if how == "shutdown" {
					synctest.Wait()
					cancel()
				}
				if name != "not reading" {
					go func() { _, _ = io.Copy(io.Discard, c.conn) }()
				}
				o := <-done
				if o.reason() != how {
					t.Errorf("%s: %v", name, o.err)
				}
				// A second more may pass in saying so.
				if took := time.Since(begin); how == "timeout" && (took < 20*time.Second || took > 22*time.Second) {
					t.Errorf("%s: it took %v", name, took)
				}
				c.conn.Close()
			})
		}
	}
}

// TestLastWord: a client in the middle of its login is told that it took too long.
func TestLastWord(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
		defer cancel()
		c, done := dial(ctx, t, config(false))
		c.login(mysql.Login{User: "nat", Plugin: caching})
		c.hear()
		c.hear()
		<-done
		if len(c.heard) != 2 || c.heard[1] != "ERROR 1159 (08S01): Got timeout reading communication packets" {
			t.Errorf("%q", c.heard)
		}
	})
}

// lastMoment is a connection on which the context is cancelled with the read that ends the login.
type lastMoment struct {
	net.Conn
	cancel func()
}

func (c *lastMoment) SetDeadline(at time.Time) error {
	if at.IsZero() {
		c.cancel()
	}
	return c.Conn.SetDeadline(at)
}

// moment cancels when the packet of the fast path goes out.
type moment struct {
	net.Conn
	cancel func()
}

func (c *moment) Write(p []byte) (int, error) {
	n, err := c.Conn.Write(p)
	if bytes.HasSuffix(p, []byte{mysql.HeadMoreData, mysql.CachingSHA2FastOK}) {
		c.cancel()
	}
	return n, err
}

// TestCancelledAtTheLastMoment: the connection may be left with a deadline in the past then, so it is no login; a
// moment later it is one, and has none.
func TestCancelledAtTheLastMoment(t *testing.T) {
	for want, wrap := range map[string]func(net.Conn, func()) net.Conn{
		"shutdown": func(nc net.Conn, f func()) net.Conn { return &moment{nc, f} },
		"":         func(nc net.Conn, f func()) net.Conn { return &lastMoment{nc, f} },
	} {
		synctest.Test(t, func(t *testing.T) {
			near, far := net.Pipe()
			defer near.Close()
			ctx, cancel := context.WithCancel(t.Context())
			defer cancel()
			done := serve(ctx, wrap(far, cancel), config(false))
			c := &peer{t: t, conn: near}
			payload, _ := c.receive()
			g, err := mysql.ParseGreeting(payload)
			must(err)
			c.login(mysql.Login{User: "carl", Plugin: caching, AuthResponse: answer(caching, password, g.Salt)})
			go func() { _, _ = io.Copy(io.Discard, near) }()
			if o := <-done; o.reason() != want || (o.login == nil) != (want != "") {
				t.Errorf("%q: %+v", want, o)
			}
		})
	}
}

// greedy is a client that never stops sending.
type greedy struct {
	script
	taken int
	next  func(at int) byte
}

func (g *greedy) Read(p []byte) (int, error) {
	for i := range p {
		p[i] = g.next(g.taken + i)
	}
	g.taken += len(p)
	return len(p), nil
}

// TestEndlessClient: whatever is sent without end, little of it is taken.
func TestEndlessClient(t *testing.T) {
	first := response("carl", caching, make([]byte, 32))
	for name, next := range map[string]func(at int) byte{
		"zeros":     func(int) byte { return 0 },
		"ones":      func(int) byte { return 0xff },
		"letters":   func(int) byte { return 'A' },
		"requests":  func(at int) byte { r := request(); return r[at%len(r)] },
		"responses": func(at int) byte { return first[at%len(first)] },
		"one that is long": func(at int) byte {
			if at < mysql.HeaderLen {
				return mysql.AppendHeader(nil, mysql.MaxLogin, 1)[at]
			}
			return 0x82
		},
		"response, then answers": func(at int) byte {
			if at < len(first) {
				return first[at]
			}
			return "\x01\x00\x00\x03\x02"[(at-len(first))%5]
		},
	} {
		g := &greedy{next: next}
		l, err := mylogin.Serve(t.Context(), g, config(true))
		if _, ok := errors.AsType[*login.Error](err); !ok || l != nil {
			t.Errorf("%s: %v, %v", name, l, err)
		}
		// The packet or handshake, and what is taken off the socket before it is closed.
		if limit := mysql.MaxLogin + 96<<10; g.taken > limit {
			t.Errorf("%s: took %d bytes", name, g.taken)
		}
		if len(g.out) > 4096 {
			t.Errorf("%s: sent %d bytes", name, len(g.out))
		}
	}
}

// deaf is a connection that cannot be written to.
type deaf struct{ script }

func (*deaf) Write([]byte) (int, error) { return 0, io.ErrClosedPipe }

func TestClientThatCannotBeAnswered(t *testing.T) {
	_, err := mylogin.Serve(t.Context(), &deaf{script{in: response("nat", native, nil)}}, config(true))
	if o := (outcome{nil, err}); o.reason() != "disconnected" {
		t.Error(err)
	}
}

// TestTLSMayBeSwitchedOff: a function that returns nothing is as good as none.
func TestTLSMayBeSwitchedOff(t *testing.T) {
	cfg := config(false)
	cfg.TLS = func() *tls.Config { return nil }
	if heard, o := run(t, cfg, request()); o.err == nil || len(heard) != 1 || heard[0] != "2 "+badHandshake {
		t.Errorf("%q, %v", heard, o.err)
	}
}

// TestOldTLS: versions of TLS that are not safe any more are refused, whatever the settings say.
func TestOldTLS(t *testing.T) {
	cfg := config(false)
	cfg.TLS = func() *tls.Config {
		return &tls.Config{Certificates: []tls.Certificate{certificate()}, MinVersion: tls.VersionTLS10}
	}
	c, done := dial(t.Context(), t, cfg)
	_, _ = c.conn.Write(request())
	tc := tls.Client(c.conn, &tls.Config{InsecureSkipVerify: true, MinVersion: tls.VersionTLS10, MaxVersion: tls.VersionTLS11})
	if tc.Handshake() == nil {
		t.Error("TLS 1.1")
	}
	c.conn.Close()
	if o := <-done; o.reason() != "tls_handshake" {
		t.Error(o.err)
	}
}

// FuzzServe plays any bytes to the end of them. Nobody gets in without a password.
func FuzzServe(f *testing.F) {
	join := func(parts ...[]byte) []byte { return bytes.Join(parts, nil) }
	first := response("carl", caching, make([]byte, 32))
	f.Add(join(first, mysql.AppendPacket(nil, 3, []byte{2}), mysql.AppendPacket(nil, 5, make([]byte, 256))), false)
	f.Add(join(response("nat", caching, nil), mysql.AppendPacket(nil, 3, make([]byte, 20))), false)
	f.Add(join(response("nat", native, make([]byte, 20))), true)
	f.Add(join(response("tom", clear, []byte("x\x00"))), true)
	f.Add(join(request(), first), true)
	f.Add(join(request(), []byte("\x16\x03\x01\x00\x05\x01\x00\x00\x01\x03")), true)
	f.Add([]byte{0, 0, 0, 1}, false)
	f.Add(mysql.AppendLogin(nil, 1, &mysql.Login{
		Capabilities: basic | mysql.ClientConnectAttrs | mysql.ClientZstd, User: "nobody", Plugin: "x", Schema: "shop",
		Attributes: []mysql.Attribute{{Name: "a", Value: "b"}}, ZstdLevel: 3,
	}), false)
	f.Fuzz(func(t *testing.T, sent []byte, offered bool) {
		nc := &script{in: sent}
		l, err := mylogin.Serve(t.Context(), nc, config(offered))
		e, ok := errors.AsType[*login.Error](err)
		if !ok || e.Reason.String() == "unknown" || e.Cause == nil || l != nil {
			t.Fatalf("%v, %v", l, err)
		}
		if len(nc.out) > 4096 {
			t.Fatalf("sent %d bytes", len(nc.out))
		}
		if !offered {
			packets(t, nc.out)
		}
	})
}
