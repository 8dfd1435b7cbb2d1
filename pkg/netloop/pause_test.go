// SPDX-License-Identifier: Apache-2.0

package netloop_test

import (
	"bytes"
	"crypto/tls"
	"errors"
	"io"
	"net"
	"runtime"
	"syscall"
	"testing"

	"github.com/rdsproxy/rdsproxy/pkg/netloop"
)

func TestPause(t *testing.T) {
	eachDriver(t, func(t *testing.T, l *loop) {
		for _, network := range networks {
			t.Run(network, func(t *testing.T) {
				near, far := pair(t, network)
				s := newSink()
				c := l.attach(far, s)
				for range 3 {
					l.do(c.PauseRead)
					mustWrite(t, near, "unseen ")
					l.turns()
					none(t, s.got, "data while paused")
					mustWrite(t, near, "until resumed")
					l.turns()
					none(t, s.got, "data while paused")
					l.do(func() {
						if !c.ReadPaused() {
							t.Error("not paused")
						}
						c.ResumeRead()
					})
					if got := s.read(t, 20); got != "unseen until resumed" {
						t.Fatalf("got %q", got)
					}
				}
				// A pause that nothing hits.
				l.do(c.PauseRead)
				l.do(c.ResumeRead)
				mustWrite(t, near, "x")
				s.read(t, 1)
			})
		}
	})
}

// TestResumeDeliversKept pauses with bytes unconsumed; they must come back by
// ResumeRead alone, not within it, and before anything new.
func TestResumeDeliversKept(t *testing.T) {
	eachDriver(t, func(t *testing.T, l *loop) {
		near, far := tcpPair(t)
		got := make(chan string, 16)
		hold := true
		resuming := false
		c := l.attach(far, &funcs{data: func(c *netloop.Conn, p []byte) int {
			if resuming {
				t.Error("Data within ResumeRead")
			}
			got <- string(p)
			if hold {
				c.PauseRead()
				return 1
			}
			return len(p)
		}})
		mustWrite(t, near, "abcd")
		if s := wait(t, got, "data"); s != "abcd" {
			t.Fatal(s)
		}
		l.turns()
		none(t, got, "data while paused")
		resume := func() {
			resuming = true
			c.ResumeRead()
			c.ResumeRead() // twice is as once
			resuming = false
		}
		l.do(resume)
		if s := wait(t, got, "kept bytes"); s != "bcd" {
			t.Fatalf("got %q", s)
		}
		mustWrite(t, near, "ef") // hits the pause
		l.turns()
		none(t, got, "data while paused")
		l.do(func() { hold = false; resume() })
		all := ""
		for len(all) < 4 {
			all += wait(t, got, "the rest")
		}
		if all != "cdef" {
			t.Errorf("got %q", all)
		}
	})
}

// TestResumeWithinData asks for the same bytes again and again; the loop must
// stay alive meanwhile.
func TestResumeWithinData(t *testing.T) {
	eachDriver(t, func(t *testing.T, l *loop) {
		near, far := tcpPair(t)
		calls := 0
		done := make(chan struct{})
		stop := false
		l.attach(far, &funcs{data: func(c *netloop.Conn, p []byte) int {
			calls++
			if stop {
				close(done)
				return len(p)
			}
			c.ResumeRead()
			return 0
		}})
		mustWrite(t, near, "x")
		for {
			enough := false
			l.do(func() { enough = calls > 10 })
			if enough {
				break
			}
		}
		l.do(func() { stop = true })
		wait(t, done, "the last call")
	})
}

// TestSlowReader relays 256 MB to a client that takes it when asked only, and
// looks at what that costs in memory.
func TestSlowReader(t *testing.T) {
	size := 256 << 20
	if testing.Short() || raceEnabled {
		size = 32 << 20
	}
	eachDriver(t, func(t *testing.T, l *loop) {
		server, a := tcpPair(t)
		client, b := tcpPair(t)
		toClient, _ := l.join(a, b)
		piece := pattern(1 << 20)
		go func() {
			defer server.Close()
			for range size / len(piece) {
				if _, err := server.Write(piece); err != nil {
					t.Error(err)
					return
				}
			}
		}()
		got := make([]byte, len(piece))
		base, high := heap(), uint64(0)
		for i := range size / len(piece) {
			if _, err := io.ReadFull(client, got); err != nil {
				t.Fatal(err)
			}
			if !bytes.Equal(got, piece) {
				t.Fatal("bytes differ")
			}
			if i%64 == 0 {
				l.turns() // the relay runs full
				high = max(high, heap())
			}
		}
		mustEnd(t, client)
		grown := int64(high) - int64(base)
		most := 0
		l.do(func() { most = toClient.most })
		t.Logf("%d MB through: at most %d KiB unsent, heap grown by %d KiB", size>>20, most>>10, grown>>10)
		if limit := netloop.HighWater + 128<<10; most > limit {
			t.Errorf("%d bytes unsent, want %d at most", most, limit)
		}
		if grown > 2<<20 {
			t.Errorf("the heap has grown by %d bytes", grown)
		}
	})
}

// heap is what is in use after a collection.
func heap() uint64 {
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return m.HeapAlloc
}

// TestEndBehindKept resumes a connection in the same batch of events that brings
// the end of its input: the kept bytes come first.
func TestEndBehindKept(t *testing.T) {
	eachDriver(t, func(t *testing.T, l *loop) {
		for _, secure := range []bool{false, true} {
			nearRaw, farRaw := tcpPair(t)
			near, tr, far := nearRaw, netloop.NewTransport(farRaw), (*tls.Conn)(nil)
			if secure {
				near, tr, far = tlsCase{version: tls.VersionTLS13}.pair(t, nearRaw, farRaw)
			}
			s := newSink()
			first := make(chan struct{})
			take := s.data
			s.data = func(c *netloop.Conn, p []byte) int {
				s.data = take
				c.PauseRead()
				close(first)
				return 0
			}
			c := l.attachOver(tr, far, s)
			triggerNear, triggerFar := tcpPair(t)
			l.attach(triggerFar, &funcs{data: func(_ *netloop.Conn, p []byte) int {
				c.ResumeRead()
				return len(p)
			}})
			mustWrite(t, near, "query")
			wait(t, first, "data")
			l.do(func() {
				mustWrite(t, triggerNear, "now")
				near.Close()
			})
			if got := s.read(t, 5); got != "query" {
				t.Errorf("got %q", got)
			}
			if err := wait(t, s.end, "Closed"); !errors.Is(err, io.EOF) {
				t.Errorf("closed by %v", err)
			}
		}
	})
}

func TestWaterMarks(t *testing.T) {
	eachDriver(t, func(t *testing.T, l *loop) {
		near, far := tcpPair(t)
		if l.Driver() == netloop.DriverPortable {
			near, far = net.Pipe() // takes nothing by itself
			t.Cleanup(func() { near.Close() })
		}
		drained := make(chan int, 16)
		c := l.attach(far, &funcs{drained: func(c *netloop.Conn) {
			if c.OverHighWater() {
				t.Error("still over high water")
			}
			drained <- c.Buffered()
		}})
		written := 0
		over := false
		for !over {
			l.do(func() {
				c.Write(make([]byte, 32<<10))
				written += 32 << 10
			})
			l.do(func() { over = c.OverHighWater() })
		}
		l.turns()
		none(t, drained, "drained before the peer has read")
		l.do(func() {
			if n := c.Buffered(); n <= netloop.HighWater || n > netloop.HighWater+(256<<10) {
				t.Errorf("%d bytes unsent", n)
			}
		})
		if _, err := io.CopyN(io.Discard, near, int64(written)); err != nil {
			t.Fatal(err)
		}
		if n := wait(t, drained, "Drained"); n >= netloop.LowWater {
			t.Errorf("drained with %d bytes unsent", n)
		}
		l.turns()
		none(t, drained, "drained twice")
		l.do(func() {
			if n := c.Buffered(); n != 0 {
				t.Errorf("%d bytes unsent in the end", n)
			}
		})
	})
}

// TestHangup closes the peer of a paused connection.
func TestHangup(t *testing.T) {
	if runtime.GOOS != "linux" {
		t.Skip("the portable driver does not tell")
	}
	l := startLoop(t, netloop.Options{Driver: netloop.DriverEpoll})
	ends := map[string]func(net.Conn){
		"close": func(c net.Conn) { c.Close() },
		"half":  func(c net.Conn) { _ = c.(interface{ CloseWrite() error }).CloseWrite() },
		"reset": func(c net.Conn) {
			if tcp, ok := c.(*net.TCPConn); ok {
				_ = tcp.SetLinger(0)
			}
			c.Close()
		},
	}
	for _, network := range networks {
		for name, end := range ends {
			for _, hit := range []bool{false, true} { // whether bytes had come during the pause
				t.Run(network+"/"+name, func(t *testing.T) {
					near, far := pair(t, network)
					s := newSink()
					hangup := make(chan struct{}, 8)
					s.hangup = func(*netloop.Conn) { hangup <- struct{}{} }
					c := l.attach(far, s)
					l.do(c.PauseRead)
					mustWrite(t, near, "last words")
					if hit {
						l.turns()
					}
					end(near)
					wait(t, hangup, "Hangup")
					l.turns()
					none(t, hangup, "second Hangup")
					none(t, s.end, "Closed while paused")
					l.do(c.ResumeRead)
					if name != "reset" { // a reset may overtake
						s.read(t, len("last words"))
					}
					err := wait(t, s.end, "Closed")
					if name != "reset" && !errors.Is(err, io.EOF) {
						t.Errorf("closed by %v", err)
					}
					if name == "reset" && network == "tcp" && !errors.Is(err, syscall.ECONNRESET) {
						t.Errorf("closed by %v", err)
					}
				})
			}
		}
	}
}
