// SPDX-License-Identifier: Apache-2.0

package netloop_test

import (
	"errors"
	"fmt"
	"io"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/rdsproxy/rdsproxy/pkg/netloop"
)

func TestNewUnknownDriver(t *testing.T) {
	if _, err := netloop.New(netloop.Options{Driver: "kqueue"}); err == nil {
		t.Error("made a loop with an unknown driver")
	}
}

func TestBestDriver(t *testing.T) {
	l := startLoop(t, netloop.Options{ID: 7})
	if l.Driver() != drivers()[0] || l.ID() != 7 {
		t.Errorf("driver %q, number %d", l.Driver(), l.ID())
	}
}

func TestStopWithoutRun(t *testing.T) {
	for _, d := range drivers() {
		l, err := netloop.New(netloop.Options{Driver: d})
		if err != nil {
			t.Fatal(err)
		}
		l.Stop()
		l.Stop()
		if err := l.Run(); err != nil {
			t.Errorf("Run after Stop: %v", err)
		}
		if l.Post(func() { t.Error("run") }) {
			t.Error("Post after Stop")
		}
	}
}

// TestStopInsteadOfRun stops a loop that has a connection and was never run.
func TestStopInsteadOfRun(t *testing.T) {
	for _, d := range drivers() {
		l, err := netloop.New(netloop.Options{Driver: d})
		if err != nil {
			t.Fatal(err)
		}
		near, far := tcpPair(t)
		s := newSink()
		if _, err := l.Attach(netloop.NewTransport(far), nil, s); err != nil {
			t.Fatal(err)
		}
		l.Stop()
		_ = wait(t, s.end, "Closed")
		mustEnd(t, near)
	}
}

func TestRunTwice(t *testing.T) {
	eachDriver(t, func(t *testing.T, l *loop) {
		l.do(func() {})
		if err := l.Run(); !errors.Is(err, netloop.ErrStopped) {
			t.Errorf("second Run: %v", err)
		}
	})
}

// TestPost posts from many goroutines; each one's functions run in its order.
func TestPost(t *testing.T) {
	eachDriver(t, func(t *testing.T, l *loop) {
		const posters, each = 8, 2000
		last := make([]int, posters)
		var wg sync.WaitGroup
		for i := range posters {
			wg.Go(func() {
				for j := 1; j <= each; j++ {
					if !l.Post(func() {
						if last[i] != j-1 {
							t.Errorf("poster %d: %d after %d", i, j, last[i])
						}
						last[i] = j
					}) {
						t.Error("Post on a running loop")
					}
				}
			})
		}
		wg.Wait()
		l.do(func() {
			for i, n := range last {
				if n != each {
					t.Errorf("poster %d: %d functions run", i, n)
				}
			}
		})
	})
}

func TestPostFromLoop(t *testing.T) {
	eachDriver(t, func(t *testing.T, l *loop) {
		done := make(chan struct{})
		n := 0
		var again func()
		again = func() {
			if n++; n == 100 {
				close(done)
				return
			}
			l.Post(again)
		}
		l.Post(again)
		wait(t, done, "functions posted by functions")
	})
}

// TestPostAgainstStop stops while others post: what Post has promised is run, and
// nothing else.
func TestPostAgainstStop(t *testing.T) {
	for _, d := range drivers() {
		for range 10 {
			l := startLoop(t, netloop.Options{Driver: d})
			var promised, run atomic.Int64
			var wg sync.WaitGroup
			for range 4 {
				wg.Go(func() {
					for l.Post(func() { run.Add(1) }) {
						promised.Add(1)
					}
				})
			}
			l.do(func() {})
			l.stop()
			wg.Wait()
			if promised.Load() != run.Load() {
				t.Fatalf("%s: %d promised, %d run", d, promised.Load(), run.Load())
			}
		}
	}
}

// TestStopFromLoop stops from within a callback.
func TestStopFromLoop(t *testing.T) {
	eachDriver(t, func(t *testing.T, l *loop) {
		near, far := tcpPair(t)
		s := newSink()
		s.data = func(_ *netloop.Conn, p []byte) int {
			l.Stop()
			return len(p)
		}
		l.attach(far, s)
		mustWrite(t, near, "stop")
		_ = wait(t, s.end, "Closed")
		l.stop()
	})
}

// TestPanic panics in each callback: the connection goes, the others stay.
func TestPanic(t *testing.T) {
	for _, d := range drivers() {
		for _, where := range []string{"Data", "Drained", "Closed", "Do", "bad count"} {
			t.Run(d+"/"+where, func(t *testing.T) { testPanic(t, d, where) })
		}
	}
}

func testPanic(t *testing.T, driver, where string) {
	type report struct {
		conn  *netloop.Conn
		value any
		stack []byte
	}
	reports := make(chan report, 8)
	l := startLoop(t, netloop.Options{Driver: driver, OnPanic: func(c *netloop.Conn, v any, stack []byte) {
		reports <- report{c, v, stack}
	}})
	otherNear, otherFar := tcpPair(t)
	l.attach(otherFar, echo())

	near, far := tcpPair(t)
	end := make(chan error, 8)
	h := &funcs{}
	boom := func(name string) {
		if name == where {
			panic("boom in " + name)
		}
	}
	h.data = func(c *netloop.Conn, p []byte) int {
		boom("Data")
		if where == "bad count" {
			return len(p) + 1
		}
		return len(p)
	}
	h.drained = func(*netloop.Conn) { boom("Drained") }
	h.closed = func(_ *netloop.Conn, err error) {
		end <- err
		boom("Closed")
	}
	c := l.attach(far, h)
	switch where {
	case "Drained":
		l.do(func() { c.Write(make([]byte, 16<<20)) })
		go func() { _, _ = io.Copy(io.Discard, near) }()
	case "Closed":
		near.Close()
	case "Do":
		l.do(func() { c.Do(func() { boom("Do") }) })
	default:
		mustWrite(t, near, "x")
	}
	err := wait(t, end, "Closed")
	var pe *netloop.PanicError
	if (where != "Closed") != errors.As(err, &pe) {
		t.Errorf("closed by %v", err)
	}
	r := wait(t, reports, "report")
	if r.conn != c || len(r.stack) == 0 || fmt.Sprint(r.value) == "" || (pe != nil && !strings.Contains(pe.Error(), fmt.Sprint(r.value))) {
		t.Errorf("report %v", r)
	}
	mustWrite(t, otherNear, "alive")
	mustRead(t, otherNear, "alive")
	none(t, end, "Closed twice")
}
