// SPDX-License-Identifier: Apache-2.0

package netloop_test

import (
	"errors"
	"io"
	"net"
	"os"
	"path/filepath"
	"runtime"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/rdsproxy/rdsproxy/pkg/netloop"
)

func TestMain(m *testing.M) {
	runChild()
	goleak.VerifyTestMain(m)
}

// patience is how long a test waits for what must happen at once.
const patience = 20 * time.Second

// drivers are the drivers that work here.
func drivers() []string {
	if runtime.GOOS == "linux" {
		return []string{netloop.DriverEpoll, netloop.DriverPortable}
	}
	return []string{netloop.DriverPortable}
}

// eachDriver runs the same test over each driver.
func eachDriver(t *testing.T, f func(t *testing.T, l *loop)) {
	t.Helper()
	for _, d := range drivers() {
		t.Run(d, func(t *testing.T) { f(t, startLoop(t, netloop.Options{Driver: d})) })
	}
}

// A loop is a Loop that runs for the time of a test.
type loop struct {
	*netloop.Loop
	t    testing.TB
	done chan error
}

func startLoop(t testing.TB, o netloop.Options) *loop {
	t.Helper()
	nl, err := netloop.New(o)
	if err != nil {
		t.Fatal(err)
	}
	l := &loop{Loop: nl, t: t, done: make(chan error, 1)}
	go func() { l.done <- nl.Run() }()
	t.Cleanup(l.stop)
	return l
}

// stop ends the loop; a second call does nothing.
func (l *loop) stop() {
	l.Stop()
	select {
	case err, first := <-l.done:
		if first {
			close(l.done)
		}
		if err != nil {
			l.t.Errorf("Run: %v", err)
		}
	case <-time.After(patience):
		l.t.Error("the loop does not stop")
	}
}

// do runs f on the loop and waits for it.
func (l *loop) do(f func()) {
	l.t.Helper()
	done := make(chan struct{})
	if !l.Post(func() { defer close(done); f() }) {
		l.t.Fatal("the loop is stopped")
	}
	wait(l.t, done, "a function posted to the loop")
}

// turns lets the loop go round a few times.
func (l *loop) turns() {
	for range 3 {
		l.do(func() {})
	}
}

// attach moves nc onto the loop.
func (l *loop) attach(nc net.Conn, h netloop.Handler) *netloop.Conn {
	l.t.Helper()
	var c *netloop.Conn
	var err error
	l.do(func() { c, err = l.Attach(netloop.NewTransport(nc), nil, h) })
	if err != nil {
		l.t.Fatal(err)
	}
	return c
}

// wait receives from ch, or fails.
func wait[T any](t testing.TB, ch <-chan T, what string) T {
	t.Helper()
	select {
	case v := <-ch:
		return v
	case <-time.After(patience):
		t.Fatalf("%s: nothing happened", what)
		panic("unreachable")
	}
}

// none fails if ch has something.
func none[T any](t testing.TB, ch <-chan T, what string) {
	t.Helper()
	select {
	case v := <-ch:
		t.Fatalf("%s: %v", what, v)
	default:
	}
}

// networks are the kinds of sockets that a test runs over.
var networks = []string{"tcp", "unix"}

// pair returns two connected sockets.
func pair(t testing.TB, network string) (near, far net.Conn) {
	t.Helper()
	address := "127.0.0.1:0"
	if network == "unix" {
		dir, err := os.MkdirTemp("", "netloop")
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = os.RemoveAll(dir) })
		address = filepath.Join(dir, "s")
	}
	ln, err := net.Listen(network, address)
	if err != nil {
		t.Fatal(err)
	}
	defer ln.Close()
	if near, err = net.Dial(network, ln.Addr().String()); err != nil {
		t.Fatal(err)
	}
	if far, err = ln.Accept(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { near.Close(); far.Close() })
	deadline := time.Now().Add(5 * patience)
	_ = near.SetDeadline(deadline)
	return near, far
}

// tcpPair is pair for tests that do not care for the kind of socket.
func tcpPair(t testing.TB) (near, far net.Conn) {
	t.Helper()
	return pair(t, "tcp")
}

// funcs is a Handler made of functions; those not set do what is harmless.
type funcs struct {
	data    func(c *netloop.Conn, p []byte) int
	drained func(c *netloop.Conn)
	closed  func(c *netloop.Conn, err error)
	hangup  func(c *netloop.Conn)
}

func (h *funcs) Data(c *netloop.Conn, p []byte) int {
	if h.data == nil {
		return len(p)
	}
	return h.data(c, p)
}

func (h *funcs) Drained(c *netloop.Conn) {
	if h.drained != nil {
		h.drained(c)
	}
}

func (h *funcs) Closed(c *netloop.Conn, err error) {
	if h.closed != nil {
		h.closed(c, err)
	}
}

func (h *funcs) Hangup(c *netloop.Conn) {
	if h.hangup != nil {
		h.hangup(c)
	}
}

// echo sends back what it is given.
func echo() *funcs {
	return &funcs{data: func(c *netloop.Conn, p []byte) int {
		c.Write(p)
		return len(p)
	}}
}

// sink collects what it is given, and reports the close.
type sink struct {
	funcs
	got chan []byte
	end chan error
}

func newSink() *sink {
	s := &sink{got: make(chan []byte, 1024), end: make(chan error, 8)}
	s.data = func(_ *netloop.Conn, p []byte) int {
		s.got <- append([]byte(nil), p...)
		return len(p)
	}
	s.closed = func(_ *netloop.Conn, err error) { s.end <- err }
	return s
}

// read takes n bytes out of the sink.
func (s *sink) read(t testing.TB, n int) string {
	t.Helper()
	var all []byte
	for len(all) < n {
		all = append(all, wait(t, s.got, "data")...)
	}
	if len(all) > n {
		t.Fatalf("%d bytes, want %d: %q", len(all), n, all)
	}
	return string(all)
}

// relay joins two connections with back-pressure, the way a proxy does.
type relay struct {
	peer *netloop.Conn
	most int // most bytes unsent that were ever seen
	end  chan error
}

func (r *relay) Data(c *netloop.Conn, p []byte) int {
	r.peer.Write(p)
	r.most = max(r.most, r.peer.Buffered())
	if r.peer.OverHighWater() {
		c.PauseRead()
	}
	return len(p)
}

func (r *relay) Drained(*netloop.Conn) { r.peer.ResumeRead() }

func (r *relay) Closed(_ *netloop.Conn, err error) {
	r.peer.CloseAfterFlush(patience)
	r.end <- err
}

// join attaches both sockets and relays between them.
func (l *loop) join(a, b net.Conn) (ra, rb *relay) {
	l.t.Helper()
	end := make(chan error, 2)
	ra, rb = &relay{end: end}, &relay{end: end}
	ca, cb := l.attach(a, &funcs{}), l.attach(b, &funcs{})
	l.do(func() {
		ra.peer, rb.peer = cb, ca
		ca.SetHandler(ra)
		cb.SetHandler(rb)
	})
	return ra, rb
}

func mustWrite(t testing.TB, w io.Writer, s string) {
	t.Helper()
	if _, err := io.WriteString(w, s); err != nil {
		t.Fatal(err)
	}
}

// send writes what a peer may or may not take.
func send(w io.Writer, p []byte) { _, _ = w.Write(p) }

func mustRead(t testing.TB, r io.Reader, want string) {
	t.Helper()
	got := make([]byte, len(want))
	if n, err := io.ReadFull(r, got); err != nil || string(got) != want {
		t.Fatalf("read %q, %v; want %q", got[:n], err, want)
	}
}

// mustEnd expects the end of the stream.
func mustEnd(t testing.TB, r io.Reader) {
	t.Helper()
	if n, err := r.Read(make([]byte, 1)); n != 0 || !errors.Is(err, io.EOF) {
		t.Fatalf("read %d bytes, %v; want the end", n, err)
	}
}
