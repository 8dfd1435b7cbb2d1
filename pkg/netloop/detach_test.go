// SPDX-License-Identifier: Apache-2.0

package netloop_test

import (
	"bytes"
	"crypto/tls"
	"errors"
	"io"
	"net"
	"testing"

	"github.com/rdsproxy/rdsproxy/pkg/netloop"
)

// eachTwoLoops runs the same test over two loops of each driver.
func eachTwoLoops(t *testing.T, f func(t *testing.T, a, b *loop)) {
	t.Helper()
	eachDriver(t, func(t *testing.T, a *loop) {
		f(t, a, startLoop(t, netloop.Options{Driver: a.Driver(), ID: 1}))
	})
}

func TestDetach(t *testing.T) {
	eachTwoLoops(t, func(t *testing.T, a, b *loop) {
		for _, network := range networks {
			t.Run(network, func(t *testing.T) {
				near, far := pair(t, network)
				seen := make(chan struct{}, 8)
				first := newSink()
				first.data = func(_ *netloop.Conn, p []byte) int {
					seen <- struct{}{}
					return 3
				}
				c := a.attach(far, first)
				mustWrite(t, near, "abcdef")
				wait(t, seen, "data")
				var tr *netloop.Transport
				var rest []byte
				a.do(func() {
					var err error
					if tr, _, rest, err = c.Detach(); err != nil {
						t.Error(err)
					}
					if _, _, _, err := c.Detach(); err == nil {
						t.Error("detached twice")
					}
				})
				if string(rest) != "def" {
					t.Errorf("rest is %q", rest)
				}
				if _, err := tr.Read(make([]byte, 1)); !errors.Is(err, netloop.ErrDetached) {
					t.Errorf("Read between loops: %v", err)
				}
				mustWrite(t, near, "ghi") // between the loops
				second := newSink()
				b.do(func() {
					c, err := b.Attach(tr, nil, second)
					if err != nil {
						t.Error(err)
						return
					}
					c.Unread(rest)
					c.Write([]byte("hello"))
				})
				if got := second.read(t, 6); got != "defghi" {
					t.Errorf("second loop got %q", got)
				}
				mustRead(t, near, "hello")
				near.Close()
				if err := wait(t, second.end, "Closed"); !errors.Is(err, io.EOF) {
					t.Errorf("closed by %v", err)
				}
				none(t, first.end, "Closed on the first loop")
			})
		}
	})
}

func TestDetachUnsent(t *testing.T) {
	eachDriver(t, func(t *testing.T, l *loop) {
		near, far := tcpPair(t)
		drained := make(chan struct{}, 1)
		c := l.attach(far, &funcs{drained: func(*netloop.Conn) { drained <- struct{}{} }})
		const size = 16 << 20
		l.do(func() {
			c.Write(make([]byte, size))
			if _, _, _, err := c.Detach(); !errors.Is(err, netloop.ErrUnsent) {
				t.Errorf("Detach with unsent bytes: %v", err)
			}
		})
		if _, err := io.CopyN(io.Discard, near, size); err != nil {
			t.Fatal(err)
		}
		wait(t, drained, "Drained")
		for again := true; again; {
			l.do(func() {
				tr, _, _, err := c.Detach()
				if again = errors.Is(err, netloop.ErrUnsent); again {
					return
				}
				if err != nil {
					t.Error(err)
					return
				}
				if err := tr.Close(); err != nil {
					t.Error(err)
				}
			})
		}
		mustEnd(t, near)
	})
}

func TestDetachClosing(t *testing.T) {
	eachDriver(t, func(t *testing.T, l *loop) {
		_, far := tcpPair(t)
		c := l.attach(far, &funcs{})
		l.do(func() {
			c.CloseAfterFlush(patience)
			if _, _, _, err := c.Detach(); err == nil {
				t.Error("detached while closing")
			}
			c.Close()
		})
	})
}

// wanderer detaches its connection in each Data call and attaches it to the
// other loop, leaving some bytes unconsumed.
type wanderer struct {
	t     testing.TB
	loops [2]*loop
	at    int
	got   bytes.Buffer
	want  int
	hops  int
	done  chan struct{}
}

func (w *wanderer) Drained(*netloop.Conn)       {}
func (w *wanderer) Closed(*netloop.Conn, error) {}

func (w *wanderer) Data(c *netloop.Conn, p []byte) int {
	n := len(p)
	if w.hops%3 == 1 {
		n = (n + 1) / 2
	}
	w.got.Write(p[:n])
	if w.got.Len() == w.want {
		close(w.done)
		return n
	}
	unused := bytes.Clone(p[n:]) // what Data was given is the handler's
	tr, tc, rest, err := c.Detach()
	if err != nil {
		w.t.Error(err)
		close(w.done)
		return n
	}
	w.hops++
	w.at = 1 - w.at
	w.loops[w.at].Post(func() { w.arrive(tr, tc, append(unused, rest...)) })
	return 0
}

func (w *wanderer) arrive(tr *netloop.Transport, tc *tls.Conn, rest []byte) {
	c, err := w.loops[w.at].Attach(tr, tc, w)
	if err != nil {
		w.t.Error(err)
		close(w.done)
		return
	}
	c.Unread(rest)
}

func TestWander(t *testing.T) {
	eachTwoLoops(t, func(t *testing.T, a, b *loop) {
		near, far := tcpPair(t)
		wander(t, a, b, near, netloop.NewTransport(far), nil)
	})
}

func TestTLSWander(t *testing.T) {
	eachTLS(t, func(t *testing.T, a *loop, tc tlsCase) {
		b := startLoop(t, netloop.Options{Driver: a.Driver()})
		nearRaw, farRaw := tcpPair(t)
		near, tr, far := tc.pair(t, nearRaw, farRaw)
		wander(t, a, b, near, tr, far)
	})
}

func wander(t *testing.T, a, b *loop, near net.Conn, tr *netloop.Transport, tc *tls.Conn) {
	want := pattern(4 << 20)
	w := &wanderer{t: t, loops: [2]*loop{a, b}, want: len(want), done: make(chan struct{})}
	a.Post(func() { w.arrive(tr, tc, nil) })
	go send(near, want)
	wait(t, w.done, "all bytes")
	w.loops[w.at].turns()
	if !bytes.Equal(w.got.Bytes(), want) {
		t.Error("bytes differ")
	}
	if w.hops < 10 {
		t.Errorf("%d hops only", w.hops)
	}
}

// TestTLSDetachPaused detaches with bytes at every station: undecrypted,
// unconsumed, and in the socket.
func TestTLSDetachPaused(t *testing.T) {
	eachTLS(t, func(t *testing.T, a *loop, tc tlsCase) {
		b := startLoop(t, netloop.Options{Driver: a.Driver()})
		want := pattern(512 << 10)
		paused := make(chan struct{}, 8)
		var got []byte
		near, c := a.attachTLS(tc, &funcs{data: func(c *netloop.Conn, p []byte) int {
			c.PauseRead()
			paused <- struct{}{}
			got = append(got, p[:len(p)/2]...)
			return len(p) / 2
		}})
		go send(near, want)
		wait(t, paused, "data")
		a.turns()
		var tr *netloop.Transport
		var far *tls.Conn
		var rest []byte
		a.do(func() {
			var err error
			if tr, far, rest, err = c.Detach(); err != nil {
				t.Error(err)
			}
		})
		done := make(chan struct{})
		b.do(func() {
			c, err := b.Attach(tr, far, &funcs{data: func(_ *netloop.Conn, p []byte) int {
				if got = append(got, p...); len(got) == len(want) {
					close(done)
				}
				return len(p)
			}})
			if err != nil {
				t.Error(err)
				return
			}
			c.Unread(rest)
		})
		wait(t, done, "all bytes")
		if !bytes.Equal(got, want) {
			t.Error("bytes differ")
		}
	})
}
