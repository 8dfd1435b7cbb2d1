// SPDX-License-Identifier: Apache-2.0

package netloop

import (
	"os"
	"runtime"
	"sync/atomic"
	"syscall"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"
)

// defaultRawWait is how long a loop waits for the next event before it gives its
// processor up.
const defaultRawWait = 4 * time.Millisecond

// rawLoops is the number of loops that may hold a processor of the Go scheduler
// while they wait.
var rawLoops atomic.Int32

// A waiter decides how to wait. An ordinary blocking system call lets the
// scheduler take the processor away and give it to another thread, which costs
// more than the call itself when events come every few microseconds. A raw one
// keeps the processor, which nobody else can use then. So: while events keep
// coming, wait raw, but briefly; when one such wait has passed without an event,
// block in the ordinary way, so that an idle process does not run at all.
type waiter struct {
	plan waitPlan
	idle bool // the last raw wait was in vain
	held bool // counted in rawLoops
}

func (w *waiter) init(plan waitPlan) {
	w.plan = plan
	if w.plan.raw == 0 {
		w.plan.raw = defaultRawWait
	}
	if plan.mode != waitBlocking {
		w.held = true
		rawLoops.Add(1)
	}
}

func (w *waiter) stop() {
	if w.held {
		w.held = false
		rawLoops.Add(-1)
	}
}

// next returns how long to wait at most, and whether raw.
func (w *waiter) next(d time.Duration) (time.Duration, bool) {
	switch {
	case d >= 0 && d <= time.Microsecond:
		return 0, true
	case w.plan.mode == waitBlocking || w.idle:
		return d, false
	case w.plan.mode == waitPoll:
		return 0, true
	case d < 0 || d > w.plan.raw:
		return w.plan.raw, true
	default:
		return d, true
	}
}

// done notes the outcome of a wait.
func (w *waiter) done(raw bool, waited time.Duration, n int) {
	switch {
	case n > 0 && !raw:
		// Holding a processor is for those that leave some to the others.
		w.idle = runtime.GOMAXPROCS(0) <= int(rawLoops.Load())
	case n == 0 && raw && (waited > 0 || w.plan.mode == waitPoll):
		w.idle = true
	}
}

func (d *epoll) wait(limit time.Duration) error {
	l := d.loop
	if d.waiter.plan.mode == waitYield && !d.waiter.idle {
		_, _, _ = unix.RawSyscall(unix.SYS_SCHED_YIELD, 0, 0, 0)
	}
	wait, raw := d.waiter.next(limit)
	n, errno := d.epollWait(wait, raw)
	l.awake()
	if errno != 0 && errno != unix.EINTR {
		return os.NewSyscallError("epoll_wait", errno)
	}
	if errno == 0 {
		d.waiter.done(raw, wait, n)
	}
	for i := range n {
		ev := d.events[i]
		if ev.Fd == wakeSlot {
			continue
		}
		if c := l.lookup(uint32(ev.Fd), uint32(ev.Pad)); c != nil {
			d.event(c, ev.Events)
		}
	}
	return nil
}

func (d *epoll) epollWait(limit time.Duration, raw bool) (int, syscall.Errno) {
	ms := -1
	if limit >= 0 {
		// Rounded up, or a timer would be waited for in a busy loop.
		ms = int(min((limit+time.Millisecond-1)/time.Millisecond, 1<<30))
	}
	call := unix.Syscall6
	if raw {
		call = unix.RawSyscall6
	}
	n, _, errno := call(unix.SYS_EPOLL_PWAIT, uintptr(d.fd), uintptr(unsafe.Pointer(&d.events[0])), maxEvents, uintptr(ms), 0, 0)
	if errno != 0 {
		return 0, errno
	}
	return int(n), 0
}
