// SPDX-License-Identifier: Apache-2.0

package netloop_test

import (
	"bytes"
	"crypto/tls"
	"errors"
	"io"
	"net"
	"sync/atomic"
	"testing"

	"github.com/rdsproxy/rdsproxy/pkg/netloop"
)

func TestTLSEcho(t *testing.T) {
	eachTLS(t, func(t *testing.T, l *loop, tc tlsCase) {
		s := newSink()
		s.data = echo().data
		near, c := l.attachTLS(tc, s)
		l.do(func() {
			if c.TLS() == nil || c.TLS().ConnectionState().Version != tc.version {
				t.Error("TLS state is not to be had")
			}
		})
		for range 20 {
			mustWrite(t, near, "hello")
			mustRead(t, near, "hello")
		}
		near.Close()
		if err := wait(t, s.end, "Closed"); !errors.Is(err, io.EOF) {
			t.Errorf("closed by %v", err)
		}
	})
}

// TestTLSCut sends records byte by byte.
func TestTLSCut(t *testing.T) {
	eachTLS(t, func(t *testing.T, l *loop, tc tlsCase) {
		nearRaw, farRaw := tcpPair(t)
		cut := &byteWriter{Conn: nearRaw}
		near, tr, far := tc.pair(t, cut, farRaw)
		l.attachOver(tr, far, echo())
		cut.after = l.turns
		for _, text := range []string{"a", "longer than one byte"} {
			mustWrite(t, near, text)
			mustRead(t, near, text)
		}
	})
}

// TestTLSReadAhead attaches a TLS connection that holds decrypted bytes, and
// undecrypted ones in the socket.
func TestTLSReadAhead(t *testing.T) {
	eachTLS(t, func(t *testing.T, l *loop, tc tlsCase) {
		nearRaw, farRaw := tcpPair(t)
		near, tr, far := tc.pair(t, nearRaw, farRaw)
		mustWrite(t, near, "login, query")
		mustWrite(t, near, ", more")
		mustRead(t, far, "login")
		s := newSink()
		l.attachOver(tr, far, s)
		if got := s.read(t, 13); got != ", query, more" {
			t.Errorf("got %q", got)
		}
	})
}

// TestTLSPause streams with pauses at odd places and bytes left unconsumed.
func TestTLSPause(t *testing.T) {
	eachTLS(t, func(t *testing.T, l *loop, tc tlsCase) {
		want := pattern(2 << 20)
		var got bytes.Buffer
		done := make(chan struct{})
		paused := make(chan struct{}, 1)
		step := 0
		h := &funcs{data: func(c *netloop.Conn, p []byte) int {
			if c.ReadPaused() {
				t.Error("Data while paused")
			}
			step++
			n := len(p)
			switch step % 4 {
			case 0:
				n = min(n, 1000)
				c.PauseRead()
			case 1:
				c.PauseRead()
			case 2:
				n /= 2
				c.ResumeRead() // the rest again
			}
			got.Write(p[:n])
			if got.Len() == len(want) {
				close(done)
			} else if c.ReadPaused() {
				paused <- struct{}{}
			}
			return n
		}}
		near, c := l.attachTLS(tc, h)
		go send(near, want)
		for running := true; running; {
			select {
			case <-paused:
				l.turns()
				l.do(c.ResumeRead)
			case <-done:
				running = false
			}
		}
		if !bytes.Equal(got.Bytes(), want) {
			t.Error("bytes differ")
		}
	})
}

// TestTLSRecordSize looks at the records on the wire.
func TestTLSRecordSize(t *testing.T) {
	const maxBody = 8<<10 + 32 // payload, nonce, type and tag
	eachTLS(t, func(t *testing.T, l *loop, tc tlsCase) {
		nearRaw, farRaw := tcpPair(t)
		var biggest atomic.Int64
		spy := &recordSpy{Conn: nearRaw, record: func(byte, int) {}}
		near, tr, far := tc.pair(t, spy, farRaw)
		spy.record = func(kind byte, size int) {
			biggest.Store(max(biggest.Load(), int64(size)))
		}
		c := l.attachOver(tr, far, &funcs{})
		want := pattern(1 << 20)
		l.do(func() {
			c.Write(want[:100])
			c.Write(want[100 : 50<<10])
			c.Write(want[50<<10:])
			c.CloseWrite()
		})
		got, err := io.ReadAll(near)
		if err != nil || !bytes.Equal(got, want) {
			t.Fatalf("%d bytes, %v", len(got), err)
		}
		if n := biggest.Load(); n > maxBody || n < 8<<10 {
			t.Errorf("biggest record has %d bytes", n)
		}
	})
}

// TestTLSRecordsPerEvent writes in small pieces; they make one record.
func TestTLSRecordsPerEvent(t *testing.T) {
	eachTLS(t, func(t *testing.T, l *loop, tc tlsCase) {
		nearRaw, farRaw := tcpPair(t)
		spy := &recordSpy{Conn: nearRaw, record: func(byte, int) {}}
		near, tr, far := tc.pair(t, spy, farRaw)
		c := l.attachOver(tr, far, &funcs{})
		records := 0
		spy.record = func(kind byte, size int) {
			if size < 1000 && kind == 23 { // not session tickets
				records++
			}
		}
		l.do(func() {
			for range 10 {
				c.Write([]byte("piece "))
			}
		})
		mustRead(t, near, "piece piece piece piece piece piece piece piece piece piece ")
		if records != 1 {
			t.Errorf("%d records", records)
		}
	})
}

func TestTLSCloseWrite(t *testing.T) {
	eachTLS(t, func(t *testing.T, l *loop, tc tlsCase) {
		nearRaw, farRaw := tcpPair(t)
		last := byte(0)
		spy := &recordSpy{Conn: nearRaw, record: func(byte, int) {}}
		near, tr, far := tc.pair(t, spy, farRaw)
		s := newSink()
		c := l.attachOver(tr, far, s)
		size := 0
		spy.record = func(kind byte, n int) { last, size = kind, n }
		l.do(func() {
			c.Write([]byte("bye"))
			c.CloseWrite()
		})
		mustRead(t, near, "bye")
		mustEnd(t, near)
		// In TLS 1.3 an alert looks like data, but is short: two bytes, type, tag.
		if last != 21 && (tc.version != tls.VersionTLS13 || size != 19) {
			t.Errorf("last record is of type %d with %d bytes; want close_notify", last, size)
		}
		mustWrite(t, near, "still reading")
		s.read(t, len("still reading"))
		near.Close()
		if err := wait(t, s.end, "Closed"); !errors.Is(err, io.EOF) {
			t.Errorf("closed by %v", err)
		}
	})
}

func TestTLSCloseAfterFlush(t *testing.T) {
	big := pattern(8 << 20)
	eachTLS(t, func(t *testing.T, l *loop, tc tlsCase) {
		s := newSink()
		near, c := l.attachTLS(tc, s)
		l.do(func() {
			c.Write(big)
			c.CloseAfterFlush(patience)
		})
		mustWrite(t, near, "talking on")
		got, err := io.ReadAll(near)
		if err != nil || !bytes.Equal(got, big) {
			t.Fatalf("%d bytes, %v", len(got), err)
		}
		near.Close()
		if err := wait(t, s.end, "Closed"); !errors.Is(err, net.ErrClosed) {
			t.Errorf("closed by %v", err)
		}
	})
}

// TestTLSBadRecord sends what is not TLS, and a record that is cut off.
func TestTLSBadRecord(t *testing.T) {
	eachTLS(t, func(t *testing.T, l *loop, tc tlsCase) {
		for _, bad := range []string{
			"this is not a TLS record at all",
			"\x17\x03\x03\x00\x20abcdefghijklmnopqrstuvwxyz012345", // not encrypted
			"\x17\x03\x03\xff\xff",                                 // too long
			"\x17\x03\x03\x00\x40half of it",                       // cut off
		} {
			nearRaw, farRaw := tcpPair(t)
			_, tr, far := tc.pair(t, nearRaw, farRaw)
			s := newSink()
			l.attachOver(tr, far, s)
			mustWrite(t, nearRaw, bad)
			if err := nearRaw.(*net.TCPConn).CloseWrite(); err != nil {
				t.Fatal(err)
			}
			if err := wait(t, s.end, "Closed"); err == nil || errors.Is(err, io.EOF) || errors.Is(err, net.ErrClosed) {
				t.Errorf("%q: closed by %v", bad, err)
			}
			none(t, s.got, "data")
		}
	})
}

// TestTLSSlowReader has a TLS client that does not read.
func TestTLSSlowReader(t *testing.T) {
	const size = 32 << 20
	eachTLS(t, func(t *testing.T, l *loop, tc tlsCase) {
		server, a := tcpPair(t)
		near, b := l.attachTLS(tc, &funcs{})
		plain := l.attach(a, &funcs{})
		end := make(chan error, 2)
		toClient, toServer := &relay{peer: b, end: end}, &relay{peer: plain, end: end}
		l.do(func() {
			plain.SetHandler(toClient)
			b.SetHandler(toServer)
		})
		piece := pattern(1 << 20)
		go func() {
			defer server.Close()
			for range size / len(piece) {
				send(server, piece)
			}
		}()
		got := make([]byte, len(piece))
		for range size / len(piece) {
			if _, err := io.ReadFull(near, got); err != nil {
				t.Fatal(err)
			}
			if !bytes.Equal(got, piece) {
				t.Fatal("bytes differ")
			}
		}
		mustEnd(t, near)
		l.do(func() {
			if limit := netloop.HighWater + 132<<10; toClient.most > limit {
				t.Errorf("%d bytes unsent, want %d at most", toClient.most, limit)
			}
		})
	})
}

func TestTLSAttachErrors(t *testing.T) {
	eachDriver(t, func(t *testing.T, l *loop) {
		_, farRaw := tcpPair(t)
		tr := netloop.NewTransport(farRaw)
		config := &tls.Config{Certificates: []tls.Certificate{certificate()}}
		l.do(func() {
			if _, err := l.Attach(tr, tls.Server(tr, config), echo()); err == nil {
				t.Error("attached without a handshake")
			}
			if _, err := l.Attach(tr, tls.Server(farRaw, config), echo()); err == nil {
				t.Error("attached a TLS connection over something else")
			}
			if _, err := l.Attach(tr, nil, echo()); err != nil {
				t.Errorf("the transport does not work any more: %v", err)
			}
		})
	})
}
