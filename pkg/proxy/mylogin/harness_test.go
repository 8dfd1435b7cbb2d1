// SPDX-License-Identifier: Apache-2.0

package mylogin_test

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"errors"
	"fmt"
	"io"
	"math/big"
	"net"
	"strings"
	"sync"
	"testing"
	"time"

	gomysql "github.com/go-mysql-org/go-mysql/mysql"

	"github.com/rdsproxy/rdsproxy/pkg/auth"
	"github.com/rdsproxy/rdsproxy/pkg/iam"
	"github.com/rdsproxy/rdsproxy/pkg/proxy/login"
	"github.com/rdsproxy/rdsproxy/pkg/proxy/mylogin"
	"github.com/rdsproxy/rdsproxy/pkg/secret"
	"github.com/rdsproxy/rdsproxy/pkg/wire/mysql"
)

// users is a mylogin.UserLookup of a fixed list.
type users map[string]auth.MySQLCredential

func (u users) LookupMySQL(user string) (auth.MySQLCredential, bool) {
	c, ok := u[user]
	return c, ok
}

const (
	password = "sécret ⅷ"
	token    = "db.example:3306/?Action=connect&X-Amz-Signature=abc"
)

// known are the users of the tests: one per method, those with a password with the same one.
var known = sync.OnceValue(func() users {
	u := users{"tom": auth.NewMySQLToken()}
	for name, m := range map[string]auth.MySQLMethod{
		"carl": auth.MySQLCachingSHA2, "nat": auth.MySQLNative, "clara": auth.MySQLCleartext,
		"eve": auth.MySQLCachingSHA2OrToken, "nate": auth.MySQLNativeOrToken,
	} {
		c, err := auth.NewMySQLCredential(password, m)
		must(err)
		u[name] = c
	}
	return u
})

func must(err error) {
	if err != nil {
		panic(err)
	}
}

var key = sync.OnceValue(func() *rsa.PrivateKey {
	k, err := rsa.GenerateKey(rand.Reader, 2048)
	must(err)
	return k
})

var certificate = sync.OnceValue(func() tls.Certificate {
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1),
		Subject:      pkix.Name{CommonName: "localhost"},
		DNSNames:     []string{"localhost"},
		IPAddresses:  []net.IP{net.IPv4(127, 0, 0, 1)},
		NotBefore:    time.Date(1999, 1, 1, 0, 0, 0, 0, time.UTC), // synctest begins in 2000
		NotAfter:     time.Now().AddDate(10, 0, 0),
		IsCA:         true, BasicConstraintsValid: true,
	}
	k, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	must(err)
	der, err := x509.CreateCertificate(rand.Reader, template, template, &k.PublicKey, k)
	must(err)
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: k}
})

var tlsConfig = sync.OnceValue(func() *tls.Config { return &tls.Config{Certificates: []tls.Certificate{certificate()}} })

// offered is what the proxy of the tests can do.
const offered = mysql.Always | mysql.ClassMask&^mysql.ExtendedMask | mysql.ClientCompress | mysql.ClientZstd

// tokens checks what begins as the token of the tests does.
type tokens func(ctx context.Context, user, token string) error

func (tokens) Accepts(password string) bool { return strings.HasPrefix(password, token[:4]) }

func (f tokens) Verify(ctx context.Context, user string, token secret.Password) error {
	return f(ctx, user, token.Reveal())
}

// config is a configuration; tls tells whether TLS is offered.
func config(tls bool) *mylogin.Config {
	c := &mylogin.Config{
		Users: known(), ThreadID: 7, Key: key(),
		Greeting: mylogin.Greeting{Version: "8.4.6-rdsproxy", Capabilities: offered},
		Tokens: tokens(func(_ context.Context, user, t string) error {
			if (user != "tom" && user != "eve" && user != "nate") || t != token {
				return &iam.Rejection{Reason: iam.BadSignature}
			}
			return nil
		}),
	}
	if tls {
		c.TLS = tlsConfig
	}
	return c
}

// outcome is what Serve returned.
type outcome struct {
	login *mylogin.Login
	err   error
}

// reason is that of the failure, or "" for a login.
func (o outcome) reason() string {
	if o.err == nil {
		return ""
	}
	if e, ok := errors.AsType[*login.Error](o.err); ok {
		return e.Reason.String()
	}
	return "no *Error: " + o.err.Error()
}

// serve runs Serve in a goroutine and closes the connection behind it if it failed, as its callers do.
func serve(ctx context.Context, nc net.Conn, cfg *mylogin.Config) <-chan outcome {
	done := make(chan outcome, 1)
	go func() {
		l, err := mylogin.Serve(ctx, nc, cfg)
		if err != nil {
			_ = nc.Close()
		}
		done <- outcome{l, err}
	}()
	return done
}

// script is a net.Conn whose peer has sent all it will ever send, and left. What is written to it is kept.
type script struct {
	in, out []byte
}

func (s *script) Read(p []byte) (int, error) {
	if len(s.in) == 0 {
		return 0, io.EOF
	}
	n := copy(p, s.in)
	s.in = s.in[n:]
	return n, nil
}

func (s *script) Write(p []byte) (int, error) {
	s.out = append(s.out, p...)
	return len(p), nil
}

func (s *script) Close() error                     { return nil }
func (s *script) LocalAddr() net.Addr              { return &net.TCPAddr{} }
func (s *script) RemoteAddr() net.Addr             { return &net.TCPAddr{IP: net.IPv4(192, 0, 2, 1)} }
func (s *script) SetDeadline(time.Time) error      { return nil }
func (s *script) SetReadDeadline(time.Time) error  { return nil }
func (s *script) SetWriteDeadline(time.Time) error { return nil }

// packets shows what was sent: the sequence id and what it is of each packet behind the greeting.
func packets(t *testing.T, p []byte) (shown []string) {
	t.Helper()
	for greeting := true; len(p) > 0; greeting = false {
		payload, seq, rest, ok := mysql.CutPacket(p)
		if !ok {
			t.Fatalf("half a packet: %q", p)
		}
		p = rest
		if !greeting {
			shown = append(shown, fmt.Sprintf("%d %s", seq, show(payload)))
		}
	}
	return shown
}

// show names a packet of the proxy's, without what differs from login to login.
func show(payload []byte) string {
	if e, ok := mysql.ParseError(payload); ok {
		return e.Error()
	}
	if plugin, salt, ok := mysql.ParseAuthSwitch(payload); ok {
		return fmt.Sprintf("switch %s %d", plugin, len(salt))
	}
	if data, ok := mysql.ParseAuthMoreData(payload); ok {
		if len(data) > 1 {
			return "key"
		}
		return fmt.Sprintf("more %d", data)
	}
	return fmt.Sprintf("%q", payload)
}

// peer is one end of a pipe, on which it speaks as a client does.
type peer struct {
	t        *testing.T
	conn     net.Conn
	seq      byte
	greeting *mysql.Greeting
	heard    []string
}

// dial begins a login against cfg and reads the greeting.
func dial(ctx context.Context, t *testing.T, cfg *mylogin.Config) (*peer, <-chan outcome) {
	t.Helper()
	near, far := net.Pipe()
	t.Cleanup(func() { near.Close() })
	done := serve(ctx, far, cfg)
	c := &peer{t: t, conn: near}
	payload, ok := c.receive()
	if !ok {
		t.Fatal("no greeting")
	}
	var err error
	if c.greeting, err = mysql.ParseGreeting(payload); err != nil {
		t.Fatal(err)
	}
	return c, done
}

func (c *peer) receive() (payload []byte, ok bool) {
	head := make([]byte, mysql.HeaderLen)
	if _, err := io.ReadFull(c.conn, head); err != nil {
		return nil, false
	}
	n, seq := mysql.ParseHeader(head)
	if seq != c.seq {
		c.t.Errorf("sequence id %d, want %d", seq, c.seq)
	}
	c.seq = seq + 1
	payload = make([]byte, n)
	if _, err := io.ReadFull(c.conn, payload); err != nil {
		c.t.Error(err)
	}
	return payload, true
}

// send sends a payload. The proxy may refuse it before it has read it all.
func (c *peer) send(payload []byte) {
	_, _ = c.conn.Write(mysql.AppendPacket(nil, c.seq, payload))
	c.seq++
}

// hear reads a packet and notes it.
func (c *peer) hear() (payload []byte) {
	payload, ok := c.receive()
	if !ok {
		c.heard = append(c.heard, "end")
		return nil
	}
	c.heard = append(c.heard, show(payload))
	return payload
}

const basic = mysql.Always&^mysql.ClientConnectAttrs | mysql.ClientConnectWithDB

// login is a handshake response.
func (c *peer) login(l mysql.Login) {
	if l.Capabilities == 0 {
		l.Capabilities = basic
	}
	_, _ = c.conn.Write(mysql.AppendLogin(nil, c.seq, &l))
	c.seq++
}

// startTLS asks for TLS and does the handshake.
func (c *peer) startTLS() error {
	caps := basic | mysql.ClientSSL
	_, _ = c.conn.Write(mysql.AppendSSLRequest(nil, c.seq, &mysql.Login{Capabilities: caps}))
	c.seq++
	tc := tls.Client(c.conn, &tls.Config{InsecureSkipVerify: true})
	if err := tc.Handshake(); err != nil {
		return err
	}
	c.conn = tc
	return nil
}

// answer is what plugin answers to the greeting's salt.
func (c *peer) answer(plugin, password string) []byte {
	return answer(plugin, password, c.greeting.Salt)
}

func answer(plugin, password string, salt []byte) []byte {
	switch plugin {
	case mysql.PluginNative:
		return gomysql.CalcNativePassword(salt, []byte(password))
	case mysql.PluginCachingSHA2:
		return gomysql.CalcCachingSha2Password(salt, []byte(password))
	}
	return append([]byte(password), 0)
}

// holdsNoSecret checks what an operator gets to see.
func holdsNoSecret(t *testing.T, err error) {
	t.Helper()
	for _, secret := range []string{password, token, "wrong"} {
		if err != nil && strings.Contains(strings.ReplaceAll(err.Error(), auth.ErrWrongPassword.Error(), ""), secret) {
			t.Errorf("the error holds a secret: %v", err)
		}
	}
}
