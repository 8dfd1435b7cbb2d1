// SPDX-License-Identifier: Apache-2.0

package pglogin_test

import (
	"context"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/md5"
	"crypto/rand"
	"crypto/rsa"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/binary"
	"encoding/hex"
	"math/big"
	"net"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/rdsproxy/rdsproxy/pkg/auth"
	"github.com/rdsproxy/rdsproxy/pkg/proxy/pglogin"
	"github.com/rdsproxy/rdsproxy/pkg/wire/postgres"
)

// users is a pglogin.UserLookup of a fixed list.
type users map[string]auth.Credential

func (u users) Lookup(user string) (auth.Credential, bool) {
	c, ok := u[user]
	return c, ok
}

const password = "sécret ⅷ"

// known are the users of the tests: one per method, all with the same password.
var known = sync.OnceValue(func() users {
	u := users{}
	for name, m := range map[string]auth.Method{"ann": auth.SCRAM, "mona": auth.MD5, "clara": auth.Cleartext} {
		c, err := auth.NewCredential(name, password, m)
		if err != nil {
			panic(err)
		}
		u[name] = c
	}
	return u
})

// certificate makes a self-signed certificate for a key of this kind: "ecdsa", "rsa" or "ed25519".
func certificate(kind string) tls.Certificate {
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1),
		Subject:      pkix.Name{CommonName: "localhost"},
		DNSNames:     []string{"localhost"},
		IPAddresses:  []net.IP{net.IPv4(127, 0, 0, 1)},
		NotBefore:    time.Date(1999, 1, 1, 0, 0, 0, 0, time.UTC), // synctest begins in 2000
		NotAfter:     time.Now().AddDate(10, 0, 0),
		IsCA:         true, BasicConstraintsValid: true,
	}
	var public, private any
	switch kind {
	case "ecdsa":
		key, err := ecdsa.GenerateKey(elliptic.P384(), rand.Reader)
		must(err)
		public, private = &key.PublicKey, key
	case "rsa":
		key, err := rsa.GenerateKey(rand.Reader, 2048)
		must(err)
		public, private = &key.PublicKey, key
	case "ed25519":
		pub, key, err := ed25519.GenerateKey(rand.Reader)
		must(err)
		public, private = pub, key
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, public, private)
	must(err)
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: private}
}

func must(err error) {
	if err != nil {
		panic(err)
	}
}

var ecdsaCertificate = sync.OnceValue(func() tls.Certificate { return certificate("ecdsa") })

// offer returns a Config.TLS with this certificate.
func offer(c tls.Certificate) func() *tls.Config {
	return func() *tls.Config { return &tls.Config{Certificates: []tls.Certificate{c}} }
}

// outcome is what Serve returned.
type outcome struct {
	login *pglogin.Login
	err   error
}

// serve runs Serve in a goroutine and closes the connection behind it if it failed, as its callers do.
func serve(ctx context.Context, nc net.Conn, cfg *pglogin.Config) <-chan outcome {
	done := make(chan outcome, 1)
	go func() {
		l, err := pglogin.Serve(ctx, nc, cfg)
		if err != nil || l.Kind == pglogin.Cancel {
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
		return 0, net.ErrClosed
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
func (s *script) RemoteAddr() net.Addr             { return &net.TCPAddr{} }
func (s *script) SetDeadline(time.Time) error      { return nil }
func (s *script) SetReadDeadline(time.Time) error  { return nil }
func (s *script) SetWriteDeadline(time.Time) error { return nil }

// startupPacket builds a StartupMessage of names and values.
func startupPacket(version postgres.Version, pairs ...string) []byte {
	p := binary.BigEndian.AppendUint32(make([]byte, 4), uint32(version))
	for _, s := range pairs {
		p = append(append(p, s...), 0)
	}
	p = append(p, 0)
	binary.BigEndian.PutUint32(p, uint32(len(p)))
	return p
}

// request builds SSLRequest, GSSENCRequest and CancelRequest.
func request(code uint32, more ...byte) []byte {
	p := binary.BigEndian.AppendUint32(nil, uint32(8+len(more)))
	return append(binary.BigEndian.AppendUint32(p, code), more...)
}

const (
	codeCancel = 80877102
	codeSSL    = 80877103
	codeGSS    = 80877104
)

// authMessage builds a message of type 'p'.
func authMessage(body string) []byte {
	p := binary.BigEndian.AppendUint32([]byte{'p'}, uint32(4+len(body)))
	return append(p, body...)
}

func sasl(mechanism, message string) []byte {
	n := binary.BigEndian.AppendUint32(nil, uint32(len(message)))
	return authMessage(mechanism + "\x00" + string(n) + message)
}

func md5Answer(user, password string, salt []byte) string {
	inner := md5.Sum([]byte(password + user))
	outer := md5.Sum(append([]byte(hex.EncodeToString(inner[:])), salt...))
	return "md5" + hex.EncodeToString(outer[:])
}

func contains(t *testing.T, err error, secret string) {
	t.Helper()
	if err != nil && strings.Contains(err.Error(), secret) {
		t.Errorf("the error holds a secret: %v", err)
	}
}
