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

// rawLoops is the number of loops that may hold a processor of the Go scheduler
// while they wait.
var rawLoops atomic.Int32

// A waiter waits for events. It looks whether there are some, in a raw system call
// that the scheduler does not notice, and if not, parks: the epoll set itself is
// registered with the runtime's poller, and the goroutine sleeps as one that reads
// from a socket does. (An ordinary blocking epoll_wait costs more: the runtime's
// monitor thread takes the processor away, stays awake for it, and the loop has to
// get a processor again.)
//
// With Options.HoldProcessor it waits in the raw system call for a while, as long
// as events keep coming, before it parks. docs/netloop.md compares.
type waiter struct {
	fd     int
	file   *os.File        // the epoll set, as the runtime's poller has it
	conn   syscall.RawConn // of file
	look   func(uintptr) bool
	events [maxEvents]unix.EpollEvent

	raw  time.Duration // longest wait that holds the processor; 0 = none
	park bool          // park when idle; otherwise block in a system call
	idle bool          // the last raw wait was in vain

	deadline time.Duration // of file, on the loop's clock; negative = none

	n   int // what look has found
	err syscall.Errno
}

func newWaiter(fd int, raw time.Duration, park bool) (*waiter, error) {
	w := &waiter{fd: fd, raw: max(raw, 0), park: park, deadline: -1}
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
func (w *waiter) wait(l *Loop, limit time.Duration) (int, error) {
	n, errno := 0, syscall.Errno(0)
	switch {
	case limit >= 0 && limit <= time.Microsecond:
		n, errno = w.call(unix.RawSyscall6, 0)
	case w.raw > 0 && !w.idle:
		short := w.raw
		if limit >= 0 {
			short = min(short, limit)
		}
		n, errno = w.call(unix.RawSyscall6, short)
		w.idle = n == 0 && errno == 0
	default:
		if w.park {
			n, errno = w.parked(l, limit)
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

// parked looks once, and waits as a goroutine if there is nothing to see.
func (w *waiter) parked(l *Loop, limit time.Duration) (int, syscall.Errno) {
	w.n, w.err = 0, 0
	err := w.setDeadline(l, limit)
	if err == nil {
		err = w.conn.Read(w.look)
	}
	if err != nil && !errors.Is(err, os.ErrDeadlineExceeded) {
		return 0, unix.EBADF // closed, which nobody but the loop does
	}
	return w.n, w.err
}

// setDeadline bounds the sleep. Setting a deadline costs more than waking up in
// vain now and then, so one that comes too early is left until it is over.
func (w *waiter) setDeadline(l *Loop, limit time.Duration) error {
	over := w.deadline >= 0 && w.deadline <= l.now
	switch {
	case limit >= 0 && (over || w.deadline < 0 || l.now+limit < w.deadline):
		w.deadline = l.now + limit
		return w.file.SetReadDeadline(l.start.Add(w.deadline))
	case over:
		w.deadline = -1
		return w.file.SetReadDeadline(time.Time{})
	}
	return nil
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
	n, err := d.waiter.wait(l, limit)
	l.awake()
	for i := range n {
		ev := d.waiter.events[i]
		switch {
		case ev.Fd == wakeSlot:
			continue
		case ev.Fd < wakeSlot:
			d.accept(listenerSlot - int(ev.Fd))
			continue
		}
		if c := l.lookup(ev.Fd, ev.Pad); c != nil {
			d.event(c, ev.Events)
		}
	}
	return err
}
