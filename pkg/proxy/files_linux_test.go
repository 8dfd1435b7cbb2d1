// SPDX-License-Identifier: Apache-2.0

package proxy_test

import (
	"crypto/tls"
	"fmt"
	"io"
	"net"
	"testing"

	"github.com/jackc/pgx/v5/pgproto3"
	"golang.org/x/sys/unix"

	"github.com/rdsproxy/rdsproxy/pkg/proxy"
)

// noFiles lets the process open no file until restore is called.
func noFiles(t *testing.T) (restore func()) {
	t.Helper()
	var was unix.Rlimit
	if err := unix.Getrlimit(unix.RLIMIT_NOFILE, &was); err != nil {
		t.Fatal(err)
	}
	none := was
	none.Cur = 0
	if err := unix.Setrlimit(unix.RLIMIT_NOFILE, &none); err != nil {
		t.Fatal(err)
	}
	return func() {
		if err := unix.Setrlimit(unix.RLIMIT_NOFILE, &was); err != nil {
			t.Error(err)
		}
	}
}

// TestNoFileToAccept: while no descriptor is left nobody is accepted, those who are
// there are served, and who has come meanwhile is accepted in the end.
func TestNoFileToAccept(t *testing.T) {
	s := newScene(t, plan{max: 2})
	c := s.client()
	s.must(c, "before")
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_STREAM, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer unix.Close(fd)
	addr := s.endpoint.Addr().(*net.TCPAddr)
	to := &unix.SockaddrInet4{Port: addr.Port, Addr: [4]byte(addr.IP.To4())}
	restore := noFiles(t)
	defer restore()
	if err := unix.Connect(fd, to); err != nil {
		t.Fatal(err)
	}
	eventually(t, "it is logged", func() bool { return s.logged("A client could not be accepted.") })
	s.must(c, "meanwhile")
	restore()
	eventually(t, "it is accepted", func() bool { return s.stats().Endpoints[0].Unauthenticated == 1 })
}

// TestNoFileToMove: a client wants TLS when there is no descriptor to move it off
// the event loop with. It is turned away, and its place becomes free. Who logs in
// without TLS needs none.
func TestNoFileToMove(t *testing.T) {
	conf := serverTLS(t)
	s := newScene(t, plan{max: 2, endpoint: func(o *proxy.EndpointOptions) { o.TLS = func() *tls.Config { return conf } }})
	s.must(s.client(), "before")
	plain, err := s.dial()
	if err != nil {
		t.Fatal(err)
	}
	defer plain.Close()
	front := pgproto3.NewFrontend(plain, plain)
	front.Send(&pgproto3.StartupMessage{ProtocolVersion: pgproto3.ProtocolVersion30, Parameters: map[string]string{"user": "app"}})
	if err := front.Flush(); err != nil {
		t.Fatal(err)
	}
	m, err := front.Receive()
	if err != nil {
		t.Fatal(err)
	}
	encrypted, err := s.dial()
	if err != nil {
		t.Fatal(err)
	}
	defer encrypted.Close()
	eventually(t, "it is accepted", func() bool { return s.stats().Endpoints[0].Unauthenticated == 2 })
	restore := noFiles(t)
	defer restore()

	if _, err := encrypted.Write(pgSSLRequest); err != nil {
		t.Fatal(err)
	}
	if answer, _ := io.ReadAll(encrypted); string(answer) != "S" { // the error depends on when it was closed
		t.Errorf("answer %q", answer)
	}
	front.Send(&pgproto3.PasswordMessage{Password: md5Answer("app", m.(*pgproto3.AuthenticationMD5Password).Salt)})
	if err := front.Flush(); err != nil {
		t.Fatal(err)
	}
	for ready := false; !ready; {
		m, err := front.Receive()
		if err != nil {
			t.Fatal(err)
		}
		_, ready = m.(*pgproto3.ReadyForQuery)
	}
	restore()
	for i := range 5 {
		s.must(s.client(), fmt.Sprint(i))
	}
	eventually(t, "its place is free", func() bool {
		clients, unauthenticated, keys := s.proxy.Places()
		return clients == 7 && unauthenticated == 0 && keys == 7
	})
}

// pgSSLRequest asks for TLS.
var pgSSLRequest = []byte{0, 0, 0, 8, 4, 210, 22, 47}
