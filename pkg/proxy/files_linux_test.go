// SPDX-License-Identifier: Apache-2.0

package proxy_test

import (
	"fmt"
	"net"
	"testing"

	"github.com/jackc/pgx/v5/pgproto3"
	"golang.org/x/sys/unix"
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

// TestNoFileToMove: a client logs in when there is no descriptor to move it to an
// event loop with. It is turned away, and its place and its key become free.
func TestNoFileToMove(t *testing.T) {
	s := newScene(t, plan{max: 2})
	s.must(s.client(), "before")
	nc, err := s.dial()
	if err != nil {
		t.Fatal(err)
	}
	defer nc.Close()
	front := pgproto3.NewFrontend(nc, nc)
	front.Send(&pgproto3.StartupMessage{ProtocolVersion: pgproto3.ProtocolVersion30, Parameters: map[string]string{"user": "app"}})
	if err := front.Flush(); err != nil {
		t.Fatal(err)
	}
	m, err := front.Receive()
	if err != nil {
		t.Fatal(err)
	}
	salt := m.(*pgproto3.AuthenticationMD5Password).Salt
	restore := noFiles(t)
	defer restore()
	front.Send(&pgproto3.PasswordMessage{Password: md5Answer("app", salt)})
	if err := front.Flush(); err != nil {
		t.Fatal(err)
	}
	for err == nil {
		m, err = front.Receive()
		if _, ok := m.(*pgproto3.ReadyForQuery); ok && err == nil {
			t.Fatal("it got in")
		}
	}
	restore()
	for i := range 5 {
		s.must(s.client(), fmt.Sprint(i))
	}
	if _, _, keys := s.proxy.Places(); keys != 6 {
		t.Errorf("%d cancel keys for 6 clients", keys)
	}
}
