// SPDX-License-Identifier: Apache-2.0

package pglogin_test

import (
	"bytes"
	"context"
	"crypto/tls"
	"encoding/binary"
	"errors"
	"io"
	"net"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/xdg-go/scram"
	"go.uber.org/goleak"

	"github.com/rdsproxy/rdsproxy/pkg/auth"
	"github.com/rdsproxy/rdsproxy/pkg/proxy/login"
	"github.com/rdsproxy/rdsproxy/pkg/proxy/pglogin"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// message reads one message of the server.
func message(t *testing.T, nc net.Conn) (typ byte, body []byte) {
	t.Helper()
	head := make([]byte, 5)
	if _, err := io.ReadFull(nc, head); err != nil {
		t.Fatal(err)
	}
	body = make([]byte, binary.BigEndian.Uint32(head[1:])-4)
	if _, err := io.ReadFull(nc, body); err != nil {
		t.Fatal(err)
	}
	return head[0], body
}

// scramLogin plays a SCRAM login up to the last message, which it returns.
func scramLogin(t *testing.T, nc net.Conn, user string) []byte {
	t.Helper()
	client, err := scram.SHA256.NewClientUnprepped("", strings.Replace(password, "ⅷ", "viii", 1), "")
	must(err)
	conv := client.NewConversation()
	first, err := conv.Step("")
	must(err)
	write(nc, startupPacket(3<<16, "user", user))
	message(t, nc)
	write(nc, sasl(auth.MechanismSCRAM, first))
	_, challenge := message(t, nc)
	final, err := conv.Step(string(challenge[4:]))
	must(err)
	return authMessage(final)
}

func write(nc net.Conn, b []byte) {
	_, err := nc.Write(b)
	must(err)
}

// TestNothingIsReadAhead: what a client sends behind its last message, in the same segment, is there for the session.
func TestNothingIsReadAhead(t *testing.T) {
	const more = "Q\x00\x00\x00\x0dselect 1\x00"
	for _, over := range []string{"plain", "tls"} {
		t.Run(over, func(t *testing.T) {
			client, server := net.Pipe()
			defer client.Close()
			defer server.Close()
			done := serve(t.Context(), server, &pglogin.Config{Users: known(), TLS: offer(ecdsaCertificate())})
			if over == "tls" {
				tc := tls.Client(client, &tls.Config{InsecureSkipVerify: true, NextProtos: []string{"postgresql"}})
				must(tc.Handshake())
				client = tc
			}
			last := scramLogin(t, client, "ann")
			written := make(chan error, 1)
			go func() {
				_, err := client.Write(append(last, more...))
				written <- err
			}()
			message(t, client)
			message(t, client)
			o := <-done
			if o.err != nil {
				t.Fatal(o.err)
			}
			rest := make([]byte, len(more))
			from := server
			if o.login.TLS != nil {
				from = o.login.TLS
			}
			if _, err := io.ReadFull(from, rest); err != nil || string(rest) != more {
				t.Errorf("%q, %v", rest, err)
			}
			must(<-written)
		})
	}
}

// TestNoDeadlineIsLeft: a session may be idle for long.
func TestNoDeadlineIsLeft(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		client, server := net.Pipe()
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		done := serve(ctx, server, &pglogin.Config{Users: known()})
		write(client, scramLogin(t, client, "ann"))
		message(t, client)
		message(t, client)
		if o := <-done; o.err != nil {
			t.Fatal(o.err)
		}
		time.Sleep(time.Hour) //nolint:forbidigo // the clock of synctest
		go func() { _, _ = client.Write([]byte("x")) }()
		if _, err := server.Read(make([]byte, 1)); err != nil {
			t.Error(err)
		}
	})
}

// TestSlowLoris: a client that sends a byte a second, or takes nothing, is gone at the deadline.
func TestSlowLoris(t *testing.T) {
	packet := startupPacket(3<<16, "user", "ann", "x", strings.Repeat("y", 9000))
	for name, behave := range map[string]func(net.Conn){
		"a byte a second": func(nc net.Conn) {
			for i := range packet {
				if _, err := nc.Write(packet[i : i+1]); err != nil {
					return
				}
				time.Sleep(time.Second) //nolint:forbidigo // the clock of synctest
			}
		},
		"silent":                  func(net.Conn) {},
		"reads nothing":           func(nc net.Conn) { _, _ = nc.Write(packet) },
		"reads no answer to TLS":  func(nc net.Conn) { _, _ = nc.Write(request(codeSSL)) },
		"reads no answer to GSS":  func(nc net.Conn) { _, _ = nc.Write(request(codeGSS)) },
		"begins TLS and waits":    func(nc net.Conn) { _, _ = nc.Write([]byte("\x16\x03\x01\x02\x00\x01\x00\x01\xfc")) },
		"length of 10000, a byte": func(nc net.Conn) { _, _ = nc.Write([]byte("\x00\x00\x27\x10\x00\x03\x00\x00u")) },
	} {
		synctest.Test(t, func(t *testing.T) {
			client, server := net.Pipe()
			defer client.Close()
			begin := time.Now()
			ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
			defer cancel()
			done := serve(ctx, server, &pglogin.Config{Users: known(), TLS: offer(ecdsaCertificate())})
			left := make(chan struct{})
			go func() { defer close(left); behave(client) }()
			o := <-done
			var e *login.Error
			if !errors.As(o.err, &e) || e.Reason != login.Timeout {
				t.Errorf("%s: %v", name, o.err)
			}
			// A second more may pass in saying so.
			if took := time.Since(begin); took < 20*time.Second || took > 21*time.Second {
				t.Errorf("%s: it took %v", name, took)
			}
			<-left
		})
	}
}

// TestUsersCannotBeToldApart: for the same client and the same name, every byte of the proxy is the same whether the
// user exists or not, up to what is drawn for each login.
func TestUsersCannotBeToldApart(t *testing.T) {
	const proof = "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA="
	type attempt struct{ first, final string }
	attempts := map[string]attempt{
		"wrong proof":       {"n,,n=,r=abc", "c=biws,r=NONCE,p=" + proof},
		"wrong nonce":       {"n,,n=,r=abc", "c=biws,r=x,p=" + proof},
		"wrong binding":     {"n,,n=,r=abc", "c=eSws,r=NONCE,p=" + proof},
		"no proof":          {"n,,n=,r=abc", "c=biws,r=NONCE"},
		"no nonce":          {"n,,n=", ""},
		"empty":             {"", ""},
		"other user inside": {"n,,n=bob,r=abc", "c=biws,r=NONCE,p=" + proof},
	}
	dialogue := func(t *testing.T, u users, name string, a attempt) (out []string) {
		client, server := net.Pipe()
		defer client.Close()
		done := serve(t.Context(), server, &pglogin.Config{Users: u})
		write(client, startupPacket(3<<16, "user", name))
		take := func() []byte {
			typ, body := message(t, client)
			out = append(out, string(typ)+string(body))
			return body
		}
		take()
		write(client, sasl(auth.MechanismSCRAM, a.first))
		if a.final != "" {
			challenge := take()
			nonce, rest, _ := strings.Cut(strings.TrimPrefix(string(challenge[4:]), "r="), ",")
			out[len(out)-1] = rest // the salt and the count
			if len(nonce) != len("abc")+24 {
				t.Errorf("nonce %q", nonce)
			}
			write(client, authMessage(strings.ReplaceAll(a.final, "NONCE", nonce)))
		}
		take()
		if o := <-done; o.err == nil {
			t.Error("logged in")
		}
		return out
	}
	for what, a := range attempts {
		there := dialogue(t, known(), "ann", a)
		if gone := dialogue(t, users{}, "ann", a); strings.Join(gone, "\n") != strings.Join(there, "\n") {
			t.Errorf("%s: known\n%q\nunknown\n%q", what, there, gone)
		}
		// A lookup that says yes and has nothing to show for it is one that says no.
		if zero := dialogue(t, users{"ann": {}}, "ann", a); strings.Join(zero, "\n") != strings.Join(there, "\n") {
			t.Errorf("%s: known\n%q\nempty credential\n%q", what, there, zero)
		}
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
	startup := startupPacket(3<<16, "user", "ann")
	requests := append(request(codeSSL), request(codeGSS)...)
	for name, next := range map[string]func(at int) byte{
		"zeros":    func(int) byte { return 0 },
		"ones":     func(int) byte { return 0xff },
		"letters":  func(int) byte { return 'A' },
		"TLS":      func(int) byte { return 0x16 },
		"SSL, GSS": func(at int) byte { return requests[at%len(requests)] },
		"startups": func(at int) byte { return startup[at%len(startup)] },
		"startup, then answers": func(at int) byte {
			if at < len(startup) {
				return startup[at]
			}
			return "p\x00\x00\x04\x00"[(at-len(startup))%5]
		},
	} {
		g := &greedy{next: next}
		l, err := pglogin.Serve(t.Context(), g, &pglogin.Config{Users: known(), TLS: offer(ecdsaCertificate())})
		var e *login.Error
		if !errors.As(err, &e) || l != nil {
			t.Errorf("%s: %v, %v", name, l, err)
		}
		// The packet or handshake, and what is taken off the socket before it is closed.
		if limit := 96 << 10; g.taken > limit {
			t.Errorf("%s: took %d bytes", name, g.taken)
		}
		if len(g.out) > 4096 {
			t.Errorf("%s: sent %d bytes", name, len(g.out))
		}
	}
}

// lastMoment is a connection on which the context is cancelled with the write that ends the login.
type lastMoment struct {
	net.Conn
	cancel func()
}

func (c *lastMoment) Write(p []byte) (int, error) {
	n, err := c.Conn.Write(p)
	if bytes.HasSuffix(p, []byte("R\x00\x00\x00\x08\x00\x00\x00\x00")) {
		c.cancel()
	}
	return n, err
}

// TestCancelledAtTheLastMoment: the connection may be left with a deadline in the past then, so it is no login.
func TestCancelledAtTheLastMoment(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		client, server := net.Pipe()
		defer client.Close()
		ctx, cancel := context.WithCancel(t.Context())
		done := serve(ctx, &lastMoment{server, cancel}, &pglogin.Config{Users: known()})
		write(client, scramLogin(t, client, "ann"))
		go func() { _, _ = io.Copy(io.Discard, client) }()
		var e *login.Error
		if o := <-done; !errors.As(o.err, &e) || e.Reason != login.Shutdown || o.login != nil {
			t.Errorf("%+v", o)
		}
	})
}

// deaf is a connection that cannot be written to.
type deaf struct{ script }

func (*deaf) Write([]byte) (int, error) { return 0, io.ErrClosedPipe }

func TestClientThatCannotBeAnswered(t *testing.T) {
	for name, sent := range map[string][]byte{
		"ssl":     request(codeSSL),
		"gss":     request(codeGSS),
		"startup": startupPacket(3<<16, "user", "ann"),
		"bad":     startupPacket(4<<16, "user", "ann"),
	} {
		nc := &deaf{script{in: sent}}
		_, err := pglogin.Serve(t.Context(), nc, &pglogin.Config{Users: known(), TLS: offer(ecdsaCertificate())})
		var e *login.Error
		if !errors.As(err, &e) || e.Reason != login.Disconnected && name != "bad" {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// TestTLSMayBeSwitchedOff: a function that returns nothing is as good as none.
func TestTLSMayBeSwitchedOff(t *testing.T) {
	nc := &script{in: request(codeSSL)}
	_, err := pglogin.Serve(t.Context(), nc, &pglogin.Config{Users: known(), TLS: func() *tls.Config { return nil }})
	if err == nil || string(nc.out) != "N" {
		t.Errorf("%q, %v", nc.out, err)
	}
}

func TestReasons(t *testing.T) {
	seen := map[string]bool{}
	for r := login.Disconnected; r <= login.BadOptions; r++ {
		if s := r.String(); s == "unknown" || s == "" || seen[s] {
			t.Errorf("%d: %q", r, s)
		}
		seen[r.String()] = true
	}
	if login.Reason(0).String() != "unknown" || login.Reason(200).String() != "unknown" {
		t.Error("a name for no reason")
	}
	cause := errors.New("x")
	e := &login.Error{Reason: login.BadPacket, User: "a\nb", Cause: cause}
	if !errors.Is(e, cause) || strings.Contains(e.Error(), "\n") {
		t.Errorf("%q", e)
	}
}

// FuzzServe plays any bytes to the end of them. Nobody gets in without a password.
func FuzzServe(f *testing.F) {
	ann, mona := startupPacket(3<<16, "user", "ann"), startupPacket(3<<16|2, "user", "mona", "_pq_.x", "")
	final := authMessage("c=biws,r=abc,p=AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=")
	join := func(parts ...[]byte) []byte { return bytes.Join(parts, nil) }
	f.Add(join(ann, sasl(auth.MechanismSCRAM, "n,,n=,r=abc"), final), false)
	f.Add(join(mona, authMessage("md5"+strings.Repeat("0", 32)+"\x00")), false)
	f.Add(join(request(codeSSL), request(codeGSS), ann), false)
	f.Add(request(codeCancel, 0, 0, 0, 1, 1, 2, 3, 4), false)
	f.Add(request(codeSSL), true)
	f.Add([]byte("\x16\x03\x01\x00\x05\x01\x00\x00\x01\x03"), true)
	f.Add(join(ann, ann), true)
	u := known()
	withTLS := offer(ecdsaCertificate())
	f.Fuzz(func(t *testing.T, sent []byte, offered bool) {
		cfg := &pglogin.Config{Users: u}
		if offered {
			cfg.TLS = withTLS
		}
		nc := &script{in: sent}
		l, err := pglogin.Serve(t.Context(), nc, cfg)
		if len(nc.out) > 16<<10 {
			t.Fatalf("sent %d bytes", len(nc.out))
		}
		if err == nil {
			if l.Kind != pglogin.Cancel || len(nc.out) != bytes.Count(nc.out, []byte("N")) {
				t.Fatalf("%+v, sent %q", l, nc.out)
			}
			return
		}
		var e *login.Error
		if !errors.As(err, &e) || e.Reason.String() == "unknown" || e.Cause == nil || l != nil {
			t.Fatalf("%v, %v", l, err)
		}
	})
}
