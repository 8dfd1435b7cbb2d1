// SPDX-License-Identifier: Apache-2.0

package netloop_test

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/binary"
	"fmt"
	"math/big"
	"net"
	"sync"
	"testing"
	"time"

	"github.com/rdsproxy/rdsproxy/pkg/netloop"
)

// certificate is made once for all tests.
var certificate = sync.OnceValue(func() tls.Certificate {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		panic(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1),
		NotAfter:     time.Now().Add(time.Hour),
		DNSNames:     []string{"test"},
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		panic(err)
	}
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}
})

// tlsCase is a way to have TLS on a loop.
type tlsCase struct {
	version uint16
	client  bool // the loop's side is the TLS client
}

func (tc tlsCase) String() string {
	side := "server"
	if tc.client {
		side = "client"
	}
	return fmt.Sprintf("%s as %s", tls.VersionName(tc.version), side)
}

// eachTLS runs the same test over each driver, version and role.
func eachTLS(t *testing.T, f func(t *testing.T, l *loop, tc tlsCase)) {
	t.Helper()
	eachDriver(t, func(t *testing.T, l *loop) {
		for _, version := range []uint16{tls.VersionTLS12, tls.VersionTLS13} {
			for _, client := range []bool{false, true} {
				tc := tlsCase{version, client}
				t.Run(tc.String(), func(t *testing.T) { f(t, l, tc) })
			}
		}
	})
}

// tlsPair is a pair with TLS: near is the test's side, tr and far are to be
// attached. Both sides have shaken hands.
func (tc tlsCase) pair(t testing.TB, nearRaw, farRaw net.Conn) (near *tls.Conn, tr *netloop.Transport, far *tls.Conn) {
	t.Helper()
	config := &tls.Config{
		Certificates:       []tls.Certificate{certificate()},
		InsecureSkipVerify: true, // a test talks to itself
		MinVersion:         tc.version,
		MaxVersion:         tc.version,
	}
	tr = netloop.NewTransport(farRaw)
	if tc.client {
		near, far = tls.Server(nearRaw, config), tls.Client(tr, config)
	} else {
		near, far = tls.Client(nearRaw, config), tls.Server(tr, config)
	}
	shaken := make(chan error, 1)
	go func() { shaken <- near.Handshake() }()
	if err := far.Handshake(); err != nil {
		t.Fatal(err)
	}
	if err := wait(t, shaken, "handshake"); err != nil {
		t.Fatal(err)
	}
	return near, tr, far
}

// attachTLS makes a pair with TLS and attaches one side.
func (l *loop) attachTLS(tc tlsCase, h netloop.Handler) (near *tls.Conn, c *netloop.Conn) {
	l.t.Helper()
	nearRaw, farRaw := tcpPair(l.t)
	near, tr, far := tc.pair(l.t, nearRaw, farRaw)
	return near, l.attachOver(tr, far, h)
}

func (l *loop) attachOver(tr *netloop.Transport, tc *tls.Conn, h netloop.Handler) (c *netloop.Conn) {
	l.t.Helper()
	var err error
	l.do(func() { c, err = l.Attach(tr, tc, h) })
	if err != nil {
		l.t.Fatal(err)
	}
	return c
}

// recordSpy notes the TLS records that pass by on the way to a reader.
type recordSpy struct {
	net.Conn
	head   []byte // of the record under way
	left   int    // bytes of its body to come
	record func(kind byte, size int)
}

func (s *recordSpy) Read(p []byte) (int, error) {
	n, err := s.Conn.Read(p)
	for b := p[:n]; len(b) > 0; {
		if s.left > 0 {
			k := min(s.left, len(b))
			s.left -= k
			b = b[k:]
			continue
		}
		s.head = append(s.head, b[0])
		b = b[1:]
		if len(s.head) == 5 {
			s.left = int(binary.BigEndian.Uint16(s.head[3:]))
			s.record(s.head[0], s.left)
			s.head = s.head[:0]
		}
	}
	return n, err
}

// byteWriter writes each byte on its own and waits for the loop to see it.
type byteWriter struct {
	net.Conn
	after func()
}

func (w *byteWriter) Write(p []byte) (int, error) {
	for i := range p {
		if _, err := w.Conn.Write(p[i : i+1]); err != nil {
			return i, err
		}
		if w.after != nil {
			w.after()
		}
	}
	return len(p), nil
}
