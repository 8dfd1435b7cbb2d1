// SPDX-License-Identifier: Apache-2.0

package netloop_test

import (
	"fmt"
	"io"
	"net"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// BenchmarkRelay measures what relaying a message to an echo server and its
// answer back costs the relaying process: 32 client connections, each with one
// message under way. Compare rounds of the same run only:
//
//	go test -bench Relay -benchtime 100000x -count 5 ./pkg/netloop
func BenchmarkRelay(b *testing.B) {
	for _, way := range waysToWait {
		b.Run(way.name, func(b *testing.B) { benchmarkRelay(b, way.shape, way.hold) })
	}
}

// waysToWait are what the way of the epoll driver was chosen from.
var waysToWait = []struct {
	name, shape string
	hold        time.Duration
}{
	{"goroutines", "goroutines", 0},
	{"block", "block", 0},
	{"hold-1ms-block", "block", time.Millisecond},
	{"park", "park", 0},
	{"hold-1ms-park", "park", time.Millisecond},
	{"park-batch", "batch+park", 0},
	{"hold-1ms-park-batch", "batch+park", time.Millisecond},
}

func benchmarkRelay(b *testing.B, shape string, raw time.Duration) {
	const clients = 32
	server := echoServer(b)
	child := startChild(b, shape, raw, server)
	conns := make([]net.Conn, clients)
	for i := range conns {
		c, err := net.Dial("tcp", child.addr)
		if err != nil {
			b.Fatal(err)
		}
		defer c.Close()
		conns[i] = c
		mustWrite(b, c, "ready")
		mustRead(b, c, "ready")
	}
	var left atomic.Int64
	left.Store(int64(b.N))
	before := child.usage()
	b.ResetTimer()
	var wg sync.WaitGroup
	for _, c := range conns {
		wg.Go(func() {
			msg := make([]byte, 64)
			for left.Add(-1) >= 0 {
				if _, err := c.Write(msg); err != nil {
					b.Error(err)
					return
				}
				if _, err := io.ReadFull(c, msg); err != nil {
					b.Error(err)
					return
				}
			}
		})
	}
	wg.Wait()
	b.StopTimer()
	used := child.usage().minus(before)
	n := float64(b.N)
	b.ReportMetric(float64(used.user+used.system)/1e3/n, "cpu-µs/op")
	b.ReportMetric(float64(used.user)/1e3/n, "user-µs/op")
	b.ReportMetric(float64(used.voluntary+used.enforced)/n, "switches/op")
}

// echoServer sends back what it is sent.
func echoServer(t testing.TB) string {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { ln.Close() })
	go func() {
		for {
			c, err := ln.Accept()
			if err != nil {
				return
			}
			go echoLoop(c)
		}
	}()
	return ln.Addr().String()
}

func echoLoop(c net.Conn) {
	defer c.Close()
	buf := make([]byte, 8<<10)
	for {
		n, err := c.Read(buf)
		if err != nil {
			return
		}
		if _, err := c.Write(buf[:n]); err != nil {
			return
		}
	}
}

// BenchmarkSparse measures the same for messages that come one by one, with
// silence in between, where every message wakes the process up.
func BenchmarkSparse(b *testing.B) {
	for _, rate := range []int{20, 200, 1000} {
		for _, way := range waysToWait {
			b.Run(fmt.Sprintf("%d-per-second/%s", rate, way.name), func(b *testing.B) {
				child := startChild(b, way.shape, way.hold, echoServer(b))
				c, err := net.Dial("tcp", child.addr)
				if err != nil {
					b.Fatal(err)
				}
				defer c.Close()
				mustWrite(b, c, "ready")
				mustRead(b, c, "ready")
				tick := time.NewTicker(time.Second / time.Duration(rate))
				defer tick.Stop()
				before := child.usage()
				for range b.N {
					<-tick.C
					mustWrite(b, c, "message")
					mustRead(b, c, "message")
				}
				used := child.usage().minus(before)
				b.ReportMetric(float64(used.user+used.system)/1e3/float64(b.N), "cpu-µs/op")
				b.ReportMetric(float64(used.voluntary+used.enforced)/float64(b.N), "switches/op")
			})
		}
	}
}
