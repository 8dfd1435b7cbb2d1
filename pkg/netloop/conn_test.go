// SPDX-License-Identifier: Apache-2.0

package netloop_test

import (
	"bytes"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/rdsproxy/rdsproxy/pkg/netloop"
)

func TestEcho(t *testing.T) {
	eachDriver(t, func(t *testing.T, l *loop) {
		for _, network := range networks {
			t.Run(network, func(t *testing.T) {
				near, far := pair(t, network)
				s := newSink()
				s.data = echo().data
				l.attach(far, s)
				for i := range 100 {
					text := fmt.Sprintf("message %d", i)
					mustWrite(t, near, text)
					mustRead(t, near, text)
				}
				near.Close()
				if err := wait(t, s.end, "Closed"); !errors.Is(err, io.EOF) {
					t.Errorf("closed by %v", err)
				}
			})
		}
	})
}

// TestCut sends a message cut at each byte; the handler wants it in one piece.
func TestCut(t *testing.T) {
	eachDriver(t, func(t *testing.T, l *loop) {
		near, far := tcpPair(t)
		const text = "0123456789abcdef"
		seen := make(chan int, 1024)
		l.attach(far, &funcs{data: func(c *netloop.Conn, p []byte) int {
			seen <- len(p)
			if len(p) < len(text) {
				return 0
			}
			c.Write(p[:len(text)])
			return len(text)
		}})
		for cut := 1; cut < len(text); cut++ {
			mustWrite(t, near, text[:cut])
			if n := wait(t, seen, "first part"); n != cut {
				t.Fatalf("got %d bytes, want %d", n, cut)
			}
			mustWrite(t, near, text[cut:])
			if n := wait(t, seen, "both parts"); n != len(text) {
				t.Fatalf("got %d bytes, want all", n)
			}
			mustRead(t, near, text)
		}
	})
}

// TestUnconsumed consumes odd numbers of bytes and checks that none is lost,
// doubled or moved, through all sizes of buffers.
func TestUnconsumed(t *testing.T) {
	eachDriver(t, func(t *testing.T, l *loop) {
		near, far := tcpPair(t)
		want := pattern(3 << 20)
		var got bytes.Buffer
		done := make(chan struct{})
		step := 0
		l.attach(far, &funcs{
			data: func(c *netloop.Conn, p []byte) int {
				step++
				n := 0
				switch step % 5 {
				case 0:
					n = 0
				case 1:
					n = len(p) / 3
				case 2:
					n = min(len(p), 7)
				case 3:
					n = max(0, len(p)-5)
				default:
					n = len(p)
				}
				got.Write(p[:n])
				if got.Len()+len(p)-n == len(want) { // the last bytes are here
					got.Write(p[n:])
					close(done)
					return len(p)
				}
				return n
			},
		})
		go send(near, want)
		wait(t, done, "all bytes")
		if !bytes.Equal(got.Bytes(), want) {
			t.Error("bytes differ")
		}
	})
}

// pattern is n bytes in which a moved piece shows.
func pattern(n int) []byte {
	p := make([]byte, n)
	x := uint32(1)
	for i := range p {
		x = x*1664525 + 1013904223
		p[i] = byte(x >> 24)
	}
	return p
}

// TestTooMuchUnconsumed has handlers that never take anything.
func TestTooMuchUnconsumed(t *testing.T) {
	stubborn := map[string]func(*netloop.Conn, []byte) int{
		"waits": func(*netloop.Conn, []byte) int { return 0 },
		"asks again": func(c *netloop.Conn, _ []byte) int {
			c.ResumeRead()
			return 0
		},
	}
	for _, d := range drivers() {
		for name, data := range stubborn {
			for _, secure := range []bool{false, true} {
				t.Run(fmt.Sprintf("%s/%s/TLS=%v", d, name, secure), func(t *testing.T) {
					l := startLoop(t, netloop.Options{Driver: d, MaxUnconsumed: 100 << 10})
					nearRaw, farRaw := tcpPair(t)
					near, tr, far := nearRaw, netloop.NewTransport(farRaw), (*tls.Conn)(nil)
					if secure {
						near, tr, far = tlsCase{version: tls.VersionTLS13}.pair(t, nearRaw, farRaw)
					}
					s := newSink()
					s.data = data
					l.attachOver(tr, far, s)
					go send(near, make([]byte, 1<<20))
					if err := wait(t, s.end, "Closed"); !errors.Is(err, netloop.ErrUnconsumed) {
						t.Errorf("closed by %v", err)
					}
				})
			}
		}
	}
}

// TestWriteOrder mixes bytes of the read buffer, adjacent or not, with others;
// they must leave in the order of writing.
func TestWriteOrder(t *testing.T) {
	eachDriver(t, func(t *testing.T, l *loop) {
		near, far := tcpPair(t)
		in, out := tcpPair(t)
		target := l.attach(out, &funcs{})
		l.attach(far, &funcs{data: func(c *netloop.Conn, p []byte) int {
			if len(p) < 10 {
				return 0
			}
			scratch := []byte("<")
			target.Write(scratch)
			scratch[0] = 'X' // Write has copied it
			target.Write(p[0:2])
			target.Write(p[2:5]) // adjacent
			target.Write(nil)
			target.Write(p[7:9]) // a gap
			target.Write([]byte("|"))
			target.Write(p[1:2]) // backwards
			target.Write(p[9:10])
			return len(p)
		}})
		for range 3 {
			mustWrite(t, near, "0123456789")
			mustRead(t, in, "<0123478|19")
		}
		l.do(func() {
			target.Write([]byte("po"))
			target.Write([]byte("sted"))
		})
		mustRead(t, in, "posted")
	})
}

// TestTLSWriteOrder is the same for what is to be encrypted.
func TestTLSWriteOrder(t *testing.T) {
	eachTLS(t, func(t *testing.T, l *loop, tc tlsCase) {
		near, far := tcpPair(t)
		in, target := l.attachTLS(tc, &funcs{})
		l.attach(far, &funcs{data: func(c *netloop.Conn, p []byte) int {
			if len(p) < 10 {
				return 0
			}
			target.Write(p[0:2])
			target.Write(p[2:5])
			target.Write(p[7:9])
			target.Write([]byte("|"))
			target.Write(p[1:2])
			return len(p)
		}})
		for range 3 {
			mustWrite(t, near, "0123456789")
			mustRead(t, in, "0123478|1")
		}
	})
}

func TestConnAccessors(t *testing.T) {
	eachDriver(t, func(t *testing.T, l *loop) {
		_, far := tcpPair(t)
		tr := netloop.NewTransport(far)
		c := l.attachOver(tr, nil, echo())
		l.do(func() {
			if c.Loop() != l.Loop || c.Transport() != tr || c.TLS() != nil || c.Gone() || l.Conns() != 1 {
				t.Error("a connection does not know who it is")
			}
			if tr.SetDeadline(time.Now()) != nil || tr.SetReadDeadline(time.Now()) != nil || tr.SetWriteDeadline(time.Now()) != nil {
				t.Error("deadlines on a loop are not ignored")
			}
			c.Close()
			if !c.Gone() {
				t.Error("closed and not gone")
			}
		})
	})
}

// TestWriteKeptBytes writes from bytes that were kept by the loop, closing or
// pausing their owner in the same event.
func TestWriteKeptBytes(t *testing.T) {
	eachDriver(t, func(t *testing.T, l *loop) {
		near, far := tcpPair(t)
		in, out := tcpPair(t)
		target := l.attach(out, &funcs{})
		text := strings.Repeat("kept bytes ", 200)
		half := make(chan struct{}, 1024)
		l.attach(far, &funcs{data: func(c *netloop.Conn, p []byte) int {
			if len(p) < len(text) {
				half <- struct{}{}
				return 0
			}
			target.Write(p)
			c.Close() // must not free what was just written
			target.Write(p)
			return 0
		}})
		mustWrite(t, near, text[:len(text)/2])
		wait(t, half, "first half")
		mustWrite(t, near, text[len(text)/2:])
		mustRead(t, in, text+text)
	})
}

func TestUnread(t *testing.T) {
	eachDriver(t, func(t *testing.T, l *loop) {
		near, far := tcpPair(t)
		s := newSink()
		l.do(func() {
			c, err := l.Attach(netloop.NewTransport(far), nil, s)
			if err != nil {
				t.Error(err)
				return
			}
			c.Unread([]byte("read too far, "))
		})
		if got := s.read(t, 14); got != "read too far, " {
			t.Fatalf("got %q", got)
		}
		mustWrite(t, near, "and the rest")
		if got := s.read(t, 12); got != "and the rest" {
			t.Errorf("got %q", got)
		}
	})
}

// TestTransportUnread puts bytes back in blocking mode.
func TestTransportUnread(t *testing.T) {
	eachDriver(t, func(t *testing.T, l *loop) {
		near, far := tcpPair(t)
		tr := netloop.NewTransport(far)
		head := []byte("two one ")
		tr.Unread(head[4:])
		tr.Unread(head[:4])
		mustRead(t, tr, "two ")
		l.do(func() {
			if _, err := l.Attach(tr, nil, echo()); err == nil {
				t.Error("attached with bytes that were put back")
			}
		})
		mustRead(t, tr, "one ")
		mustWrite(t, near, "three")
		mustRead(t, tr, "three")
		l.attachOver(tr, nil, echo())
		mustWrite(t, near, "four")
		mustRead(t, near, "four")
	})
}

func TestSetHandler(t *testing.T) {
	eachDriver(t, func(t *testing.T, l *loop) {
		near, far := tcpPair(t)
		second := newSink()
		first := &funcs{data: func(c *netloop.Conn, p []byte) int {
			c.SetHandler(second)
			c.ResumeRead()
			return 1
		}}
		c := l.attach(far, first)
		mustWrite(t, near, "abc")
		if got := second.read(t, 2); got != "bc" {
			t.Errorf("second handler got %q", got)
		}
		if c.Handler() != netloop.Handler(second) {
			t.Error("Handler is not the one set")
		}
	})
}

func TestAttachErrors(t *testing.T) {
	eachDriver(t, func(t *testing.T, l *loop) {
		near, far := tcpPair(t)
		tr := netloop.NewTransport(far)
		var again error
		l.do(func() {
			if _, err := l.Attach(tr, nil, echo()); err != nil {
				t.Error(err)
			}
			_, again = l.Attach(tr, nil, echo())
		})
		if !errors.Is(again, netloop.ErrAttached) {
			t.Errorf("second Attach: %v", again)
		}
		for name, use := range map[string]func() error{
			"Read":  func() error { _, err := tr.Read(make([]byte, 1)); return err },
			"Write": func() error { _, err := tr.Write([]byte("x")); return err },
			"Close": tr.Close,
		} {
			if err := use(); !errors.Is(err, netloop.ErrAttached) {
				t.Errorf("%s on a loop: %v", name, err)
			}
		}
		if tr.RemoteAddr().String() != near.LocalAddr().String() || tr.LocalAddr().String() != near.RemoteAddr().String() {
			t.Errorf("addresses %v, %v", tr.LocalAddr(), tr.RemoteAddr())
		}
		mustWrite(t, near, "still works")
		mustRead(t, near, "still works")

		_, other := tcpPair(t)
		l.stop()
		if err := tr.Close(); !errors.Is(err, net.ErrClosed) {
			t.Errorf("Close after the loop: %v", err)
		}
		if _, err := l.Attach(netloop.NewTransport(other), nil, echo()); !errors.Is(err, netloop.ErrStopped) {
			t.Errorf("Attach after the end: %v", err)
		}
	})
}

func TestKeepAlive(t *testing.T) {
	eachDriver(t, func(t *testing.T, l *loop) {
		for _, network := range networks {
			_, far := pair(t, network)
			tr := netloop.NewTransport(far)
			set := func() error { return tr.SetKeepAlive(60e9, 5e9, 3, 15e9) }
			if err := set(); err != nil {
				t.Errorf("%s, blocking: %v", network, err)
			}
			l.do(func() {
				if _, err := l.Attach(tr, nil, echo()); err != nil {
					t.Error(err)
				}
				if err := set(); err != nil {
					t.Errorf("%s, on the loop: %v", network, err)
				}
			})
		}
	})
}
