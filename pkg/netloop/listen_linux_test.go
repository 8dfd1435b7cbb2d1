// SPDX-License-Identifier: Apache-2.0

package netloop_test

import (
	"errors"
	"io"
	"net"
	"path/filepath"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/rdsproxy/rdsproxy/pkg/netloop"
)

// mirror gives back what it gets.
type mirror struct{ closed chan error }

func (mirror) Data(c *netloop.Conn, p []byte) int { c.Write(p); return len(p) }
func (mirror) Drained(*netloop.Conn)              {}
func (m mirror) Closed(_ *netloop.Conn, err error) {
	m.closed <- err
}

func listenOn(t *testing.T, network, address string) net.Listener {
	t.Helper()
	nl, err := (&net.ListenConfig{}).Listen(t.Context(), network, address)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = nl.Close() })
	return nl
}

// accepting has the loop accept from nl until the test ends.
func (l *loop) accepting(nl net.Listener, take func(*netloop.Transport)) *netloop.Listener {
	l.t.Helper()
	var s *netloop.Listener
	var err error
	l.do(func() { s, err = l.Listen(nl, take, func(err error) { l.t.Errorf("accept: %v", err) }) })
	if err != nil {
		l.t.Fatal(err)
	}
	return s
}

// exchange sends a word and expects it back.
func exchange(t *testing.T, nc net.Conn) {
	t.Helper()
	if err := nc.SetDeadline(time.Now().Add(patience)); err != nil {
		t.Fatal(err)
	}
	if _, err := io.WriteString(nc, "hello"); err != nil {
		t.Fatal(err)
	}
	var got [5]byte
	if _, err := io.ReadFull(nc, got[:]); err != nil || string(got[:]) != "hello" {
		t.Fatalf("got %q, %v", got, err)
	}
}

func dialTo(t *testing.T, a net.Addr) net.Conn {
	t.Helper()
	nc, err := (&net.Dialer{}).DialContext(t.Context(), a.Network(), a.String())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = nc.Close() })
	return nc
}

func TestListen(t *testing.T) {
	for network, address := range map[string]string{
		"tcp4": "127.0.0.1:0", "tcp6": "[::1]:0", "tcp": ":0", "unix": filepath.Join(t.TempDir(), "socket"),
	} {
		t.Run(network, func(t *testing.T) {
			l := startLoop(t, netloop.Options{})
			nl := listenOn(t, network, address)
			h := mirror{make(chan error, 1)}
			addrs := make(chan [2]net.Addr, 1)
			l.accepting(nl, func(tr *netloop.Transport) {
				addrs <- [2]net.Addr{tr.RemoteAddr(), tr.LocalAddr()}
				if _, err := l.Attach(tr, nil, h); err != nil {
					t.Errorf("attach: %v", err)
				}
			})
			nc := dialTo(t, nl.Addr())
			exchange(t, nc)
			got := wait(t, addrs, "accept")
			if network != "unix" && (got[0].String() != nc.LocalAddr().String() || got[1].String() != nc.RemoteAddr().String()) {
				t.Errorf("addresses are %v, want %v and %v", got, nc.LocalAddr(), nc.RemoteAddr())
			}
			if got[0].Network() != nl.Addr().Network() {
				t.Errorf("network is %q", got[0].Network())
			}
			_ = nc.Close()
			if err := wait(t, h.closed, "close"); !errors.Is(err, io.EOF) {
				t.Errorf("closed with %v", err)
			}
		})
	}
}

// Many come at once, and all are served, by two loops.
func TestListenCrowd(t *testing.T) {
	const crowd = 200
	l, other := startLoop(t, netloop.Options{}), startLoop(t, netloop.Options{})
	nl := listenOn(t, "tcp", "127.0.0.1:0")
	h := mirror{make(chan error, crowd)}
	n := 0
	l.accepting(nl, func(tr *netloop.Transport) {
		on := l
		if n++; n%2 == 0 {
			on = other
		}
		on.Post(func() {
			if _, err := on.Attach(tr, nil, h); err != nil {
				t.Errorf("attach: %v", err)
			}
		})
	})
	conns := make([]net.Conn, crowd)
	for i := range conns {
		conns[i] = dialTo(t, nl.Addr())
	}
	for _, nc := range conns {
		exchange(t, nc)
		_ = nc.Close()
	}
	for range crowd {
		wait(t, h.closed, "close")
	}
}

// After Close nobody is accepted, and with the listener closed too nobody gets in.
func TestListenerClose(t *testing.T) {
	l := startLoop(t, netloop.Options{})
	nl := listenOn(t, "tcp", "127.0.0.1:0")
	s := l.accepting(nl, func(tr *netloop.Transport) {
		t.Error("accepted")
		_ = tr.Close()
	})
	l.do(func() { s.Close(); s.Close() })
	waiting := dialTo(t, nl.Addr()) // in the queue
	l.turns()
	_ = nl.Close()
	if err := waiting.SetReadDeadline(time.Now().Add(patience)); err != nil {
		t.Fatal(err)
	}
	if _, err := waiting.Read(make([]byte, 1)); err == nil {
		t.Error("served")
	}
	if nc, err := (&net.Dialer{}).DialContext(t.Context(), "tcp", nl.Addr().String()); err == nil {
		_ = nc.Close()
		t.Error("the port is open still")
	}
}

// A connection that is given back to the runtime is one like any other.
func TestBlock(t *testing.T) {
	l := startLoop(t, netloop.Options{})
	nl := listenOn(t, "tcp", "127.0.0.1:0")
	taken := make(chan *netloop.Transport, 1)
	l.accepting(nl, func(tr *netloop.Transport) { taken <- tr })
	nc := dialTo(t, nl.Addr())
	tr := wait(t, taken, "accept")
	if _, err := tr.Read(make([]byte, 1)); !errors.Is(err, netloop.ErrDetached) {
		t.Errorf("read from nowhere: %v", err)
	}
	if err := tr.Block(); err != nil {
		t.Fatal(err)
	}
	if err := tr.Block(); err == nil {
		t.Error("twice")
	}
	copied := make(chan error, 1)
	go func() {
		_, err := io.CopyN(tr, tr, 5)
		copied <- err
	}()
	exchange(t, nc)
	if err := wait(t, copied, "echo"); err != nil {
		t.Fatal(err)
	}
	var h netloop.Handler = mirror{make(chan error, 1)}
	l.do(func() {
		if _, err := l.Attach(tr, nil, h); err != nil {
			t.Errorf("attach: %v", err)
		}
	})
	exchange(t, nc)
}

// Without descriptors nothing is accepted, and it goes on when there are some.
func TestListenWithoutDescriptors(t *testing.T) {
	l := startLoop(t, netloop.Options{})
	nl := listenOn(t, "tcp", "127.0.0.1:0")
	h := mirror{make(chan error, 1)}
	failed := make(chan error, 100)
	l.do(func() {
		_, err := l.Listen(nl, func(tr *netloop.Transport) {
			if _, err := l.Attach(tr, nil, h); err != nil {
				t.Errorf("attach: %v", err)
			}
		}, func(err error) { failed <- err })
		if err != nil {
			t.Errorf("listen: %v", err)
		}
	})
	client, err := unix.Socket(unix.AF_INET, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = unix.Close(client) }()
	var old unix.Rlimit
	if err := unix.Getrlimit(unix.RLIMIT_NOFILE, &old); err != nil {
		t.Fatal(err)
	}
	none := unix.Rlimit{Cur: 3, Max: old.Max}
	if err := unix.Setrlimit(unix.RLIMIT_NOFILE, &none); err != nil {
		t.Fatal(err)
	}
	restore := func() {
		if err := unix.Setrlimit(unix.RLIMIT_NOFILE, &old); err != nil {
			t.Error(err)
		}
	}
	to := &unix.SockaddrInet4{Addr: [4]byte{127, 0, 0, 1}, Port: nl.Addr().(*net.TCPAddr).Port}
	err = unix.Connect(client, to)
	if err == nil {
		wait(t, failed, "an error of accept")
	}
	restore()
	if err != nil {
		t.Fatal(err)
	}
	if _, err := unix.Write(client, []byte("hello")); err != nil {
		t.Fatal(err)
	}
	var got [5]byte
	if n, err := unix.Read(client, got[:]); err != nil || string(got[:n]) != "hello" {
		t.Errorf("got %q, %v", got, err)
	}
}

// The system hands the options down.
func TestListenerOptions(t *testing.T) {
	l := startLoop(t, netloop.Options{})
	nl := listenOn(t, "tcp", "127.0.0.1:0")
	if err := netloop.SetListenerOptions(nl, 77*time.Second, 7*time.Second, 3, 9*time.Second); err != nil {
		t.Skipf("this kernel does not have it for MPTCP, which Go listens with: %v", err)
	}
	type option struct{ level, name, want int }
	options := []option{
		{unix.IPPROTO_TCP, unix.TCP_NODELAY, 1},
		{unix.SOL_SOCKET, unix.SO_KEEPALIVE, 1},
		{unix.IPPROTO_TCP, unix.TCP_KEEPIDLE, 77},
		{unix.IPPROTO_TCP, unix.TCP_KEEPINTVL, 7},
		{unix.IPPROTO_TCP, unix.TCP_KEEPCNT, 3},
		{unix.IPPROTO_TCP, unix.TCP_USER_TIMEOUT, 9000},
	}
	h := mirror{make(chan error, 1)}
	l.accepting(nl, func(tr *netloop.Transport) {
		c, err := l.Attach(tr, nil, h)
		if err != nil {
			t.Errorf("attach: %v", err)
			return
		}
		for _, o := range options {
			if got, err := unix.GetsockoptInt(c.FD(), o.level, o.name); err != nil || got != o.want {
				t.Errorf("option %d/%d is %d, %v; want %d", o.level, o.name, got, err, o.want)
			}
		}
	})
	exchange(t, dialTo(t, nl.Addr()))
}

func TestListenElsewhere(t *testing.T) {
	l := startLoop(t, netloop.Options{Driver: netloop.DriverPortable})
	nl := listenOn(t, "tcp", "127.0.0.1:0")
	l.do(func() {
		if _, err := l.Listen(nl, nil, nil); !errors.Is(err, errors.ErrUnsupported) {
			t.Errorf("portable: %v", err)
		}
	})
	var sc syscall.Conn = nl.(*net.TCPListener)
	if _, err := sc.SyscallConn(); err != nil {
		t.Error("the listener is not as it was")
	}
	e := startLoop(t, netloop.Options{})
	e.do(func() {
		if _, err := e.Listen(struct{ net.Listener }{nl}, nil, nil); !errors.Is(err, errors.ErrUnsupported) {
			t.Errorf("a listener of another kind: %v", err)
		}
	})
}
