// SPDX-License-Identifier: Apache-2.0

package proxy_test

import (
	"crypto/tls"
	"net"
	"runtime"
	"testing"

	"github.com/jackc/pgx/v5/pgproto3"
	"golang.org/x/sys/unix"

	"github.com/rdsproxy/rdsproxy/pkg/proxy"
)

// TestMemoryOfIdleClients: how much heap the proxy keeps for a client that has run
// a query and says nothing, and that it is given back.
func TestMemoryOfIdleClients(t *testing.T) {
	for _, c := range []struct {
		name        string
		tls         bool
		number, max int
	}{{"plain", false, 2000, 1536}, {"TLS", true, 100, 10 << 10}} {
		t.Run(c.name, func(t *testing.T) {
			s := newScene(t, plan{max: 10, settings: func(o *proxy.Settings) { o.MaxUnauthenticated = 100 }, endpoint: func(o *proxy.EndpointOptions) {
				if conf := serverTLS(t); c.tls {
					o.TLS = func() *tls.Config { return conf }
				}
			}})
			s.crowd(t, 50, c.tls)() // buffers, pools, the maps' first growth
			s.logs.TakeAll()
			before := inUse()
			leave := s.crowd(t, c.number, c.tls)
			s.logs.TakeAll()
			full := inUse()
			each := (full - before) / int64(c.number)
			t.Logf("%d bytes for each of %d idle clients", each, c.number)
			if each > int64(c.max) {
				t.Errorf("%d bytes for an idle client, want %d at most", each, c.max)
			}
			leave()
			s.logs.TakeAll()
			if left := (inUse() - before) / int64(c.number); left > int64(c.max)/8 {
				t.Errorf("%d bytes are left of each client that has gone", left)
			}
		})
	}
}

// inUse is the memory of the heap and of goroutines' stacks after a collection.
func inUse() int64 {
	var m runtime.MemStats
	runtime.GC()
	runtime.GC()
	runtime.ReadMemStats(&m)
	return int64(m.HeapAlloc + m.StackInuse)
}

// crowd has n clients log in and run a query. On their own side nothing is left of
// them but a descriptor. leave closes all of them.
func (s *scene) crowd(t *testing.T, n int, encrypted bool) (leave func()) {
	t.Helper()
	sockets := make([]int, 0, n)
	for range n {
		nc, err := s.dial()
		if err != nil {
			t.Fatal(err)
		}
		conn := nc
		if encrypted {
			conn = startTLS(t, nc)
		}
		s.loginRaw(t, conn)
		raw, err := nc.(*net.TCPConn).SyscallConn()
		if err != nil {
			t.Fatal(err)
		}
		if err := raw.Control(func(fd uintptr) {
			kept, err := unix.Dup(int(fd))
			if err != nil {
				t.Fatal(err)
			}
			sockets = append(sockets, kept)
		}); err != nil {
			t.Fatal(err)
		}
		_ = nc.Close()
	}
	eventually(t, "all are there", func() bool { return s.clients() == n })
	return func() {
		for _, fd := range sockets {
			_ = unix.Close(fd)
		}
		s.settled()
	}
}

func startTLS(t *testing.T, nc net.Conn) net.Conn {
	t.Helper()
	buf, err := (&pgproto3.SSLRequest{}).Encode(nil)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := nc.Write(buf); err != nil {
		t.Fatal(err)
	}
	var answer [1]byte
	if _, err := nc.Read(answer[:]); err != nil || answer[0] != 'S' {
		t.Fatalf("%q, %v", answer, err)
	}
	return tls.Client(nc, &tls.Config{InsecureSkipVerify: true})
}

// loginRaw logs in by MD5 and runs a query.
func (s *scene) loginRaw(t *testing.T, nc net.Conn) {
	t.Helper()
	front := pgproto3.NewFrontend(nc, nc)
	front.Send(&pgproto3.StartupMessage{
		ProtocolVersion: pgproto3.ProtocolVersion30,
		Parameters:      map[string]string{"user": "app", "application_name": "crowd"},
	})
	ready := 0
	for ready < 2 {
		if err := front.Flush(); err != nil {
			t.Fatal(err)
		}
		m, err := front.Receive()
		if err != nil {
			t.Fatal(err)
		}
		switch m := m.(type) {
		case *pgproto3.AuthenticationMD5Password:
			front.Send(&pgproto3.PasswordMessage{Password: md5Answer("app", m.Salt)})
		case *pgproto3.ReadyForQuery:
			if ready++; ready == 1 {
				front.Send(&pgproto3.Query{String: "SELECT 'x'"})
			}
		case *pgproto3.ErrorResponse:
			t.Fatal(m.Message)
		}
	}
}
