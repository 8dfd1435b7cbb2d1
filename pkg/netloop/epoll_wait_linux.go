// SPDX-License-Identifier: Apache-2.0

package netloop

import (
	"errors"
	"os"
	"runtime"
	"sync/atomic"
	"syscall"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"
)

// defaultRawWait is how long a loop waits for the next event before it gives its
// processor up. docs/netloop.md has the measurements behind it.
const defaultRawWait = time.Millisecond

// rawLoops is the number of loops that may hold a processor of the Go scheduler
// while they wait.
var rawLoops atomic.Int32

// A waiter waits for events in one of two ways. While events keep coming it
// waits in a raw system call, for a short time: the scheduler does not know of
// it, the loop keeps its processor, and nothing is paid for but the call. Once
// such a wait has been in vain it parks: the epoll set itself is registered with
// the runtime's poller, and the goroutine sleeps as one that reads from a socket
// does. An idle process has all its threads asleep then. (An ordinary blocking
// epoll_wait would do, too, but each return from it after a longer time keeps the
// runtime's monitor thread busy, ten times the cost of parking.)
type waiter struct {
	fd     int
	file   *os.File        // the epoll set, as the runtime's poller has it
	conn   syscall.RawConn // of file
	look   func(uintptr) bool
	events [maxEvents]unix.EpollEvent

	raw  time.Duration // longest raw wait; negative = none
	park bool          // park when idle; otherwise block in a system call
	idle bool          // the last raw wait was in vain

	n   int // what look has found
	err syscall.Errno
}

func newWaiter(fd int, plan waitPlan) (*waiter, error) {
	w := &waiter{fd: fd, raw: plan.raw, park: !plan.block}
	if w.raw == 0 {
		w.raw = defaultRawWait
	}
	w.look = w.lookOnce
	w.file = os.NewFile(uintptr(fd), "epoll") // pollable, since fd is non-blocking
	conn, err := w.file.SyscallConn()
	if err != nil {
		_ = w.file.Close()
		return nil, err
	}
	w.conn = conn
	if w.file.SetReadDeadline(time.Time{}) != nil {
		w.park = false // a system whose epoll sets cannot be polled themselves
	}
	if w.raw > 0 {
		rawLoops.Add(1)
	}
	return w, nil
}

// close closes the epoll set.
func (w *waiter) close() {
	if w.raw > 0 {
		rawLoops.Add(-1)
	}
	_ = w.file.Close()
}

// wait returns the number of events, which may be 0 before the limit is over. A
// negative limit means no limit.
func (w *waiter) wait(limit time.Duration) (int, error) {
	n, errno := 0, syscall.Errno(0)
	switch {
	case limit >= 0 && limit <= time.Microsecond:
		n, errno = w.call(unix.RawSyscall6, 0)
	case !w.idle && w.raw > 0:
		short := w.raw
		if limit >= 0 {
			short = min(short, limit)
		}
		n, errno = w.call(unix.RawSyscall6, short)
		w.idle = n == 0 && errno == 0
	default:
		if w.park {
			n, errno = w.parked(limit)
		} else {
			n, errno = w.call(unix.Syscall6, limit)
		}
		// Holding a processor is for those that leave one to the others.
		w.idle = n == 0 || runtime.GOMAXPROCS(0) <= int(rawLoops.Load())
	}
	if errno != 0 && errno != unix.EINTR {
		return 0, os.NewSyscallError("epoll_wait", errno)
	}
	return n, nil
}

// parked waits as a goroutine.
func (w *waiter) parked(limit time.Duration) (int, syscall.Errno) {
	var deadline time.Time
	if limit >= 0 {
		deadline = time.Now().Add(limit)
	}
	w.n, w.err = 0, 0
	err := w.file.SetReadDeadline(deadline)
	if err == nil {
		err = w.conn.Read(w.look)
	}
	if err != nil && !errors.Is(err, os.ErrDeadlineExceeded) {
		return 0, unix.EBADF // closed, which nobody but the loop does
	}
	return w.n, w.err
}

// lookOnce looks for events without waiting; false makes the goroutine sleep
// until there are some.
func (w *waiter) lookOnce(uintptr) bool {
	w.n, w.err = w.call(unix.RawSyscall6, 0)
	return w.n > 0 || w.err != 0
}

type syscall6 func(trap, a1, a2, a3, a4, a5, a6 uintptr) (r1, r2 uintptr, err syscall.Errno)

func (w *waiter) call(f syscall6, limit time.Duration) (int, syscall.Errno) {
	ms := -1
	if limit >= 0 {
		// Rounded up, or a timer would be waited for in a busy loop.
		ms = int(min((limit+time.Millisecond-1)/time.Millisecond, 1<<30))
	}
	n, _, errno := f(unix.SYS_EPOLL_PWAIT, uintptr(w.fd), uintptr(unsafe.Pointer(&w.events[0])), maxEvents, uintptr(ms), 0, 0)
	if errno != 0 {
		return 0, errno
	}
	return int(n), 0
}

func (d *epoll) wait(limit time.Duration) error {
	l := d.loop
	n, err := d.waiter.wait(limit)
	l.awake()
	for i := range n {
		ev := d.waiter.events[i]
		if ev.Fd == wakeSlot {
			continue
		}
		if c := l.lookup(ev.Fd, ev.Pad); c != nil {
			d.event(c, ev.Events)
		}
	}
	return err
}
