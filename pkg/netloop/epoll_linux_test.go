// SPDX-License-Identifier: Apache-2.0

package netloop_test

import (
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"runtime"
	"strconv"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/rdsproxy/rdsproxy/pkg/netloop"
)

func startEpoll(t testing.TB) *loop {
	return startLoop(t, netloop.Options{Driver: netloop.DriverEpoll})
}

// TestReuse closes a connection whose event is already fetched, and attaches a
// new one that gets the same descriptor and number. The event must not reach it.
func TestReuse(t *testing.T) {
	l := startEpoll(t)
	reused := 0
	for range 20 {
		nearA, farA := tcpPair(t)
		nearB, farB := tcpPair(t)
		nearC, farC := tcpPair(t)
		next := netloop.NewTransport(farC)
		s := newSink() // of the new connection
		var conns [2]*netloop.Conn
		var fresh *netloop.Conn
		closed := make(chan error, 2)
		h := &funcs{
			data: func(c *netloop.Conn, p []byte) int {
				if fresh != nil {
					t.Error("event of a closed connection")
					return len(p)
				}
				victim := conns[0]
				if c == victim {
					victim = conns[1]
				}
				fd := victim.FD()
				victim.Close()
				var err error
				if fresh, err = l.Attach(next, nil, s); err != nil {
					t.Error(err)
				} else if fresh.FD() == fd {
					reused++
				}
				return len(p)
			},
			closed: func(_ *netloop.Conn, err error) { closed <- err },
		}
		conns[0], conns[1] = l.attach(farA, h), l.attach(farB, h)
		l.do(func() { // both events come in one batch
			mustWrite(t, nearA, "x")
			mustWrite(t, nearB, "x")
		})
		if err := wait(t, closed, "Closed"); !errors.Is(err, net.ErrClosed) {
			t.Errorf("closed by %v", err)
		}
		l.turns()
		none(t, s.got, "data of another connection")
		none(t, s.end, "the end of another connection")
		mustWrite(t, nearC, "mine")
		s.read(t, 4)
		l.do(func() { conns[0].Close(); conns[1].Close(); fresh.Close() })
	}
	if reused == 0 {
		t.Error("no descriptor was used again; the test shows nothing")
	}
}

// TestNoDescriptors runs out of file descriptors at each place that needs one.
func TestNoDescriptors(t *testing.T) {
	l := startEpoll(t)
	near, far := tcpPair(t)
	tr := netloop.NewTransport(far)
	var old unix.Rlimit
	if err := unix.Getrlimit(unix.RLIMIT_NOFILE, &old); err != nil {
		t.Fatal(err)
	}
	l.do(func() { // nobody else opens files meanwhile
		low := old
		low.Cur = 3
		if err := unix.Setrlimit(unix.RLIMIT_NOFILE, &low); err != nil {
			t.Error(err)
			return
		}
		_, attachErr := l.Attach(tr, nil, echo())
		_, newErr := netloop.New(netloop.Options{Driver: netloop.DriverEpoll})
		if err := unix.Setrlimit(unix.RLIMIT_NOFILE, &old); err != nil {
			t.Error(err)
		}
		for _, err := range []error{attachErr, newErr} {
			if !errors.Is(err, unix.EMFILE) {
				t.Errorf("without descriptors: %v", err)
			}
		}
		if n := l.Conns(); n != 0 {
			t.Errorf("%d connections", n)
		}
		if _, err := l.Attach(tr, nil, echo()); err != nil {
			t.Errorf("with descriptors again: %v", err)
		}
	})
	mustWrite(t, near, "works")
	mustRead(t, near, "works")
}

// TestNotASocket attaches things that epoll cannot serve.
func TestNotASocket(t *testing.T) {
	l := startEpoll(t)
	a, b := net.Pipe()
	defer a.Close()
	defer b.Close()
	udp, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer udp.Close()
	_, closed := tcpPair(t)
	closed.Close()
	l.do(func() {
		for _, nc := range []net.Conn{a, udp.(*net.UDPConn), closed} {
			if _, err := l.Attach(netloop.NewTransport(nc), nil, echo()); err == nil {
				t.Errorf("attached %T", nc)
			}
		}
	})
}

// TestDescriptors attaches, detaches and closes, and counts what is left open.
func TestDescriptors(t *testing.T) {
	a, b := startEpoll(t), startEpoll(t)
	count := func() int {
		entries, err := os.ReadDir("/proc/self/fd")
		if err != nil {
			t.Fatal(err)
		}
		return len(entries)
	}
	round := func() {
		near, far := tcpPair(t)
		c := a.attach(far, echo())
		var tr *netloop.Transport
		a.do(func() { tr, _, _, _ = c.Detach() })
		c = b.attachOver(tr, nil, echo())
		mustWrite(t, near, "x")
		mustRead(t, near, "x")
		b.do(c.Close)
		near.Close()
	}
	round()
	before := count()
	for range 20 {
		round()
	}
	if after := count(); after > before {
		t.Errorf("%d descriptors, %d before", after, before)
	}
}

// TestRelayAllocations relays without allocating.
func TestRelayAllocations(t *testing.T) {
	if raceEnabled {
		t.Skip("the race detector allocates")
	}
	l := startEpoll(t)
	near, a := tcpPair(t)
	far, b := tcpPair(t)
	l.join(a, b)
	msg := make([]byte, 500)
	n := testing.AllocsPerRun(2000, func() {
		if _, err := near.Write(msg); err != nil {
			t.Error(err)
		}
		if _, err := io.ReadFull(far, msg); err != nil {
			t.Error(err)
		}
		if _, err := far.Write(msg); err != nil {
			t.Error(err)
		}
		if _, err := io.ReadFull(near, msg); err != nil {
			t.Error(err)
		}
	})
	if n != 0 {
		t.Errorf("%v allocations for each message and answer", n)
	}
}

// TestIdleIsQuiet looks whether an idle process wakes up.
func TestIdleIsQuiet(t *testing.T) {
	if raceEnabled || testing.Short() {
		t.Skip("takes time and means nothing here")
	}
	child := startChild(t, "park", 0, echoServer(t))
	c, err := net.Dial("tcp", child.addr)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	for range 100 {
		mustWrite(t, c, "busy")
		mustRead(t, c, "busy")
	}
	<-time.After(200 * time.Millisecond) // for the process to calm down
	before := child.usage()
	<-time.After(time.Second)
	used := child.usage().minus(before)
	t.Logf("in a second: %d switches, %v", used.voluntary, used.user+used.system)
	if used.voluntary > 50 {
		t.Errorf("%d switches in a second of silence", used.voluntary)
	}
	mustWrite(t, c, "awake")
	mustRead(t, c, "awake")
}

// TestScheduleInBatches looks at the policy of all threads of a process.
func TestScheduleInBatches(t *testing.T) {
	child := startChild(t, "batch+park", 0, echoServer(t))
	tasks, err := filepath.Glob(fmt.Sprintf("/proc/%d/task/*", child.pid))
	if err != nil || len(tasks) == 0 {
		t.Fatal(tasks, err)
	}
	for _, task := range tasks {
		tid, err := strconv.Atoi(filepath.Base(task))
		if err != nil {
			t.Fatal(err)
		}
		attr, err := unix.SchedGetAttr(tid, 0)
		if err != nil {
			t.Fatal(err)
		}
		if attr.Policy != unix.SCHED_BATCH {
			t.Errorf("thread %d has policy %d", tid, attr.Policy)
		}
	}
}

// TestWaiting goes through the ways to wait: a loop must wake up for events, for
// posts and for timers, from a short sleep and from a long one.
func TestWaiting(t *testing.T) {
	for name, o := range map[string]netloop.Options{
		"park":       {},
		"hold, park": {HoldProcessor: time.Millisecond},
		"block":      netloop.Options{}.Blocking(true),
		"hold, block": netloop.Options{
			HoldProcessor: time.Millisecond,
		}.Blocking(true),
	} {
		for _, processors := range []int{1, 4} {
			t.Run(fmt.Sprintf("%s/%d", name, processors), func(t *testing.T) {
				defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(processors))
				o.Driver = netloop.DriverEpoll
				a, b := startLoop(t, o), startLoop(t, o)
				near, far := tcpPair(t)
				a.attach(far, echo())
				fired := make(chan struct{}, 1)
				var tm netloop.Timer
				tm.Init(func() { fired <- struct{}{} })
				for _, silence := range []time.Duration{0, 2 * time.Millisecond, 20 * time.Millisecond} {
					for range 20 {
						mustWrite(t, near, "ping")
						mustRead(t, near, "ping")
					}
					<-time.After(silence)
					b.turns()
					<-time.After(silence)
					a.do(func() { a.Arm(&tm, silence) })
					_ = wait(t, fired, "timer")
					a.do(func() { a.Arm(&tm, time.Hour) }) // the deadline moves out
					a.turns()
				}
			})
		}
	}
}

// TestIdleMemory prints what an idle connection costs, each after one message and
// its echo. The other ends are bare descriptors.
func TestIdleMemory(t *testing.T) {
	if raceEnabled || testing.Short() {
		t.Skip("means nothing with the race detector, and takes time")
	}
	for _, test := range []struct {
		name    string
		version uint16 // of TLS
		n       int
		limit   int // bytes for each connection
	}{
		{"plain", 0, 5000, 1 << 10},
		{"TLS 1.2", tls.VersionTLS12, 1000, 32 << 10},
		{"TLS 1.3", tls.VersionTLS13, 1000, 32 << 10},
	} {
		t.Run(test.name, func(t *testing.T) {
			l := startEpoll(t)
			ln, err := net.Listen("tcp", "127.0.0.1:0")
			if err != nil {
				t.Fatal(err)
			}
			defer ln.Close()
			fds := make([]int, test.n)
			base := memory()
			for i := range fds {
				fds[i] = idleConn(t, l, ln, test.version)
			}
			each := int(memory()-base) / test.n
			t.Logf("%d bytes for an idle connection, %d of them the Conn", each, netloop.ConnSize)
			if each > test.limit {
				t.Errorf("%d bytes for an idle connection, want %d at most", each, test.limit)
			}
			for _, fd := range fds {
				unix.Close(fd)
			}
		})
	}
}

// memory is what heap and stacks take.
func memory() int64 {
	runtime.GC()
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return int64(m.HeapAlloc + m.StackInuse)
}

// idleConn attaches a connection, has a message echoed, and returns the
// descriptor of the other end.
func idleConn(t *testing.T, l *loop, ln net.Listener, version uint16) int {
	near, err := net.Dial("tcp", ln.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer near.Close()
	far, err := ln.Accept()
	if err != nil {
		t.Fatal(err)
	}
	talk, tr, tc := near, netloop.NewTransport(far), (*tls.Conn)(nil)
	if version != 0 {
		talk, tr, tc = tlsCase{version: version}.pair(t, near, far)
	}
	l.attachOver(tr, tc, echo())
	mustWrite(t, talk, "query")
	mustRead(t, talk, "query")
	raw, err := near.(*net.TCPConn).SyscallConn()
	if err != nil {
		t.Fatal(err)
	}
	fd := -1
	if err := raw.Control(func(old uintptr) { fd, err = unix.FcntlInt(old, unix.F_DUPFD_CLOEXEC, 0) }); err != nil {
		t.Fatal(err)
	}
	return fd
}
