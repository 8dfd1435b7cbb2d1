// SPDX-License-Identifier: Apache-2.0

package netloop_test

import (
	"bytes"
	"errors"
	"io"
	"net"
	"testing"
	"time"

	"github.com/rdsproxy/rdsproxy/pkg/netloop"
)

func TestClose(t *testing.T) {
	eachDriver(t, func(t *testing.T, l *loop) {
		near, far := tcpPair(t)
		s := newSink()
		c := l.attach(far, s)
		l.do(func() {
			c.Write([]byte("dropped"))
			c.Close()
			none(t, s.end, "Closed within Close")
			c.Close()
			c.Write([]byte("ignored"))
			c.PauseRead()
			c.ResumeRead()
			c.CloseWrite()
			c.CloseAfterFlush(time.Second)
			c.Unread([]byte("ignored"))
			if _, _, _, err := c.Detach(); err == nil {
				t.Error("Detach of a closed connection")
			}
			if n := c.Buffered(); n != 0 {
				t.Errorf("%d bytes unsent", n)
			}
		})
		if err := wait(t, s.end, "Closed"); !errors.Is(err, net.ErrClosed) {
			t.Errorf("closed by %v", err)
		}
		mustEnd(t, near)
		l.turns()
		none(t, s.end, "Closed twice")
		l.do(func() {
			if n := l.Conns(); n != 0 {
				t.Errorf("%d connections left", n)
			}
		})
	})
}

// TestCloseInCallbacks closes a connection from within each of its callbacks.
func TestCloseInCallbacks(t *testing.T) {
	eachDriver(t, func(t *testing.T, l *loop) {
		near, far := tcpPair(t)
		end := make(chan error, 8)
		depth := 0
		h := &funcs{}
		h.data = func(c *netloop.Conn, p []byte) int {
			depth++
			c.Write(p)
			c.Close()
			depth--
			return len(p)
		}
		h.closed = func(c *netloop.Conn, err error) {
			if depth != 0 {
				t.Error("Closed within Data")
			}
			c.Close()
			end <- err
		}
		l.attach(far, h)
		mustWrite(t, near, "x")
		if err := wait(t, end, "Closed"); !errors.Is(err, net.ErrClosed) {
			t.Errorf("closed by %v", err)
		}
		l.turns()
		none(t, end, "Closed twice")
	})
}

// TestCloseChain has each connection close the next one when it is closed.
func TestCloseChain(t *testing.T) {
	eachDriver(t, func(t *testing.T, l *loop) {
		const n = 50
		end := make(chan int, n)
		var next *netloop.Conn
		for i := range n {
			_, far := tcpPair(t)
			after := next
			next = l.attach(far, &funcs{closed: func(*netloop.Conn, error) {
				end <- i
				if after != nil {
					after.Close()
				}
			}})
		}
		l.do(next.Close)
		for i := range n {
			if got := wait(t, end, "Closed"); got != n-1-i {
				t.Fatalf("closed %d, want %d", got, n-1-i)
			}
		}
	})
}

func TestCloseAfterFlush(t *testing.T) {
	big := pattern(8 << 20)
	eachDriver(t, func(t *testing.T, l *loop) {
		for _, network := range networks {
			t.Run(network, func(t *testing.T) {
				near, far := pair(t, network)
				s := newSink()
				c := l.attach(far, s)
				l.do(func() {
					c.Write(big)
					c.CloseAfterFlush(patience)
					c.Write([]byte("too late"))
				})
				// The peer still talks, and is not reset for it.
				mustWrite(t, near, "what is going on?")
				got, err := io.ReadAll(near)
				if err != nil || !bytes.Equal(got, big) {
					t.Fatalf("%d bytes, %v", len(got), err)
				}
				none(t, s.end, "Closed before the peer has closed")
				near.Close()
				if err := wait(t, s.end, "Closed"); !errors.Is(err, net.ErrClosed) {
					t.Errorf("closed by %v", err)
				}
				none(t, s.got, "input after CloseAfterFlush")
			})
		}
	})
}

// TestCloseAfterFlushHalf is as above, the peer having ended its direction first.
func TestCloseAfterFlushHalf(t *testing.T) {
	big := pattern(8 << 20)
	eachDriver(t, func(t *testing.T, l *loop) {
		near, far := tcpPair(t)
		s := newSink()
		c := l.attach(far, s)
		l.do(func() {
			c.Write(big)
			c.CloseAfterFlush(patience)
		})
		if err := near.(*net.TCPConn).CloseWrite(); err != nil {
			t.Fatal(err)
		}
		l.turns()
		got, err := io.ReadAll(near)
		if err != nil || !bytes.Equal(got, big) {
			t.Fatalf("%d bytes, %v", len(got), err)
		}
		if err := wait(t, s.end, "Closed"); !errors.Is(err, net.ErrClosed) {
			t.Errorf("closed by %v", err)
		}
	})
}

func TestCloseAfterFlushLimit(t *testing.T) {
	eachDriver(t, func(t *testing.T, l *loop) {
		for name, test := range map[string]struct {
			unsent int
			limit  time.Duration
			want   error
		}{
			"unsent":          {16 << 20, 20 * time.Millisecond, netloop.ErrFlushTimeout},
			"unsent, at once": {16 << 20, 0, netloop.ErrFlushTimeout},
			"peer stays":      {0, 20 * time.Millisecond, net.ErrClosed},
		} {
			t.Run(name, func(t *testing.T) {
				_, far := tcpPair(t)
				s := newSink()
				c := l.attach(far, s)
				l.do(func() {
					c.Write(make([]byte, test.unsent))
					c.CloseAfterFlush(test.limit)
				})
				if err := wait(t, s.end, "Closed"); !errors.Is(err, test.want) {
					t.Errorf("closed by %v", err)
				}
			})
		}
	})
}

// TestCloseAfterFlushPaused closes while input waits behind a pause.
func TestCloseAfterFlushPaused(t *testing.T) {
	eachDriver(t, func(t *testing.T, l *loop) {
		near, far := tcpPair(t)
		s := newSink()
		c := l.attach(far, s)
		l.do(c.PauseRead)
		mustWrite(t, near, "unread input")
		l.turns()
		l.do(func() {
			c.Write([]byte("error"))
			c.CloseAfterFlush(patience)
		})
		mustRead(t, near, "error")
		mustEnd(t, near)
		near.Close()
		_ = wait(t, s.end, "Closed")
	})
}

// TestPipe closes a net.Conn that cannot end one direction.
func TestPipe(t *testing.T) {
	l := startLoop(t, netloop.Options{Driver: netloop.DriverPortable})
	near, far := net.Pipe()
	s := newSink()
	c := l.attach(far, s)
	l.do(func() {
		c.Write([]byte("bye"))
		c.CloseAfterFlush(patience)
	})
	mustRead(t, near, "bye")
	mustEnd(t, near)
	if err := wait(t, s.end, "Closed"); !errors.Is(err, net.ErrClosed) {
		t.Errorf("closed by %v", err)
	}

	near, far = net.Pipe()
	defer near.Close()
	c = l.attach(far, s)
	l.do(c.CloseWrite)
	if err := wait(t, s.end, "Closed"); !errors.Is(err, errors.ErrUnsupported) {
		t.Errorf("closed by %v", err)
	}
}

func TestCloseWrite(t *testing.T) {
	eachDriver(t, func(t *testing.T, l *loop) {
		near, far := tcpPair(t)
		s := newSink()
		c := l.attach(far, s)
		l.do(func() {
			c.Write([]byte("bye"))
			c.CloseWrite()
			c.CloseWrite()
			c.Write([]byte("too late"))
		})
		mustRead(t, near, "bye")
		mustEnd(t, near)
		mustWrite(t, near, "still reading")
		s.read(t, len("still reading"))
		near.Close()
		if err := wait(t, s.end, "Closed"); !errors.Is(err, io.EOF) {
			t.Errorf("closed by %v", err)
		}
	})
}

// TestLastWords writes to a peer that has said something and closed: what it said
// must be seen although the write fails.
func TestLastWords(t *testing.T) {
	eachDriver(t, func(t *testing.T, l *loop) {
		for _, network := range networks {
			t.Run(network, func(t *testing.T) {
				near, far := pair(t, network)
				s := newSink()
				c := l.attach(far, s)
				// All of it happens before the loop looks at its sockets again.
				l.do(func() {
					mustWrite(t, near, "FATAL")
					near.Close()
					c.Write([]byte("query"))
				})
				if got := s.read(t, 5); got != "FATAL" {
					t.Errorf("got %q", got)
				}
				_ = wait(t, s.end, "Closed")
			})
		}
	})
}

// TestWriteToDead fills a connection whose peer goes away.
func TestWriteToDead(t *testing.T) {
	eachDriver(t, func(t *testing.T, l *loop) {
		for _, paused := range []bool{false, true} {
			near, far := tcpPair(t)
			s := newSink()
			c := l.attach(far, s)
			l.do(func() {
				if paused {
					c.PauseRead()
				}
				c.Write(make([]byte, 16<<20))
			})
			_ = near.(*net.TCPConn).SetLinger(0)
			near.Close()
			if err := wait(t, s.end, "Closed"); err == nil || errors.Is(err, net.ErrClosed) {
				t.Errorf("closed by %v", err)
			}
		}
	})
}

func TestStopClosesAll(t *testing.T) {
	eachDriver(t, func(t *testing.T, l *loop) {
		var nears []net.Conn
		s := newSink()
		for range 5 {
			near, far := tcpPair(t)
			nears = append(nears, near)
			l.attach(far, s)
		}
		l.stop()
		for _, near := range nears {
			if err := wait(t, s.end, "Closed"); !errors.Is(err, net.ErrClosed) {
				t.Errorf("closed by %v", err)
			}
			mustEnd(t, near)
		}
	})
}
