// SPDX-License-Identifier: Apache-2.0

package certs

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"net"
	"os"
	"testing"
	"time"
)

func authority(t *testing.T) *Authority {
	t.Helper()
	ca, err := NewAuthority("test authority")
	if err != nil {
		t.Fatal(err)
	}
	return ca
}

// handshake runs a TLS handshake over loopback and returns both sides' errors.
// A pipe would not do: it has no buffer, so that a client that breaks off while
// the server still writes waits for ever.
func handshake(t *testing.T, server, client *tls.Config) error {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	done := make(chan error, 1)
	go func() {
		s, err := l.Accept()
		if err != nil {
			done <- err
			return
		}
		defer s.Close()
		done <- tls.Server(s, server).Handshake()
	}()
	c, err := net.Dial("tcp", l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	clientErr := tls.Client(c, client).Handshake()
	return errors.Join(clientErr, <-done)
}

func TestServerCertificate(t *testing.T) {
	ca := authority(t)
	pair, err := ca.Issue(Request{})
	if err != nil {
		t.Fatal(err)
	}
	cert, err := pair.TLS()
	if err != nil {
		t.Fatal(err)
	}
	server := &tls.Config{Certificates: []tls.Certificate{cert}}
	for _, name := range []string{"localhost", "127.0.0.1"} {
		if err := handshake(t, server, &tls.Config{RootCAs: ca.Pool(), ServerName: name}); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
	var hostErr x509.HostnameError
	if err := handshake(t, server, &tls.Config{RootCAs: ca.Pool(), ServerName: "db.example"}); !errors.As(err, &hostErr) {
		t.Errorf("wrong host: got %v", err)
	}
	var unknown x509.UnknownAuthorityError
	if err := handshake(t, server, &tls.Config{RootCAs: authority(t).Pool(), ServerName: "localhost"}); !errors.As(err, &unknown) {
		t.Errorf("wrong authority: got %v", err)
	}
}

func TestExpiredCertificate(t *testing.T) {
	ca := authority(t)
	pair, err := ca.Issue(Request{NotBefore: time.Now().Add(-2 * time.Hour), NotAfter: time.Now().Add(-time.Hour)})
	if err != nil {
		t.Fatal(err)
	}
	cert, err := pair.TLS()
	if err != nil {
		t.Fatal(err)
	}
	err = handshake(t, &tls.Config{Certificates: []tls.Certificate{cert}},
		&tls.Config{RootCAs: ca.Pool(), ServerName: "localhost"})
	var invalid x509.CertificateInvalidError
	if !errors.As(err, &invalid) || invalid.Reason != x509.Expired {
		t.Errorf("got %v, want an expired certificate", err)
	}
}

func TestClientCertificate(t *testing.T) {
	ca := authority(t)
	serverPair, err := ca.Issue(Request{})
	if err != nil {
		t.Fatal(err)
	}
	clientPair, err := ca.Issue(Request{CommonName: "app", Client: true})
	if err != nil {
		t.Fatal(err)
	}
	server, err := serverPair.TLS()
	if err != nil {
		t.Fatal(err)
	}
	client, err := clientPair.TLS()
	if err != nil {
		t.Fatal(err)
	}
	err = handshake(t,
		&tls.Config{Certificates: []tls.Certificate{server}, ClientCAs: ca.Pool(), ClientAuth: tls.RequireAndVerifyClientCert},
		&tls.Config{RootCAs: ca.Pool(), ServerName: "localhost", Certificates: []tls.Certificate{client}})
	if err != nil {
		t.Error(err)
	}
}

func TestWrite(t *testing.T) {
	ca := authority(t)
	pair, err := ca.Issue(Request{})
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	certFile, keyFile, err := pair.Write(dir, "server")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := tls.LoadX509KeyPair(certFile, keyFile); err != nil {
		t.Error(err)
	}
	info, err := os.Stat(keyFile)
	if err != nil {
		t.Fatal(err)
	}
	if got := info.Mode().Perm(); got != 0o600 {
		t.Errorf("key mode %o, want 600", got)
	}
	if _, err := ca.Write(dir, "ca"); err != nil {
		t.Error(err)
	}
	if _, err := ca.Write(dir+"/missing", "ca"); err == nil {
		t.Error("no error for a missing folder")
	}
}
