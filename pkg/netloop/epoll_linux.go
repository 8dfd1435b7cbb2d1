// SPDX-License-Identifier: Apache-2.0

package netloop

import (
	"io"
	"os"
	"syscall"
	"unsafe"

	"golang.org/x/sys/unix"
)

const bestDriver = DriverEpoll

const (
	// maxEvents is how many events one wait takes.
	maxEvents = 256
	// maxReads bounds the reads of one socket per event, so that a fast peer does
	// not keep the others waiting.
	maxReads = 4
	// maxLastReads bounds the reads of a socket that takes no more bytes.
	maxLastReads = 16
)

// Interest in a socket, as kept in Conn.interest.
const (
	watchRead  = unix.EPOLLIN | unix.EPOLLRDHUP
	watchWrite = unix.EPOLLOUT
	watching   = 1 << 27 // is in the epoll set at all; not a bit of the system's
)

// wakeSlot marks the event of the eventfd; no connection has this number.
const wakeSlot = -1

// epoll is the driver over Linux' epoll, level-triggered.
//
// Sockets are read and written by raw system calls: they never block, so the
// scheduler need not know of them. Registration is changed only when a pause is
// hit by data, or a write by a full socket.
type epoll struct {
	loop   *Loop
	fd     int
	wakeFd int
	buf    []byte
	waiter *waiter
	// listeners by number; nil where one was closed.
	listeners []*Listener

	msg unix.Msghdr // for writes in two pieces
	iov [2]unix.Iovec
}

func newEpoll(l *Loop) (driver, error) {
	fd, err := unix.EpollCreate1(unix.EPOLL_CLOEXEC)
	if err != nil {
		return nil, os.NewSyscallError("epoll_create1", err)
	}
	wakeFd, err := unix.Eventfd(0, unix.EFD_CLOEXEC|unix.EFD_NONBLOCK)
	if err != nil {
		_ = unix.Close(fd)
		return nil, os.NewSyscallError("eventfd", err)
	}
	d := &epoll{loop: l, fd: fd, wakeFd: wakeFd, buf: make([]byte, readSize)}
	// Edge-triggered: each write is an event and nobody need read the counter.
	ev := unix.EpollEvent{Events: unix.EPOLLIN | unix.EPOLLET, Fd: wakeSlot}
	err = os.NewSyscallError("epoll_ctl", unix.EpollCtl(fd, unix.EPOLL_CTL_ADD, wakeFd, &ev))
	if err == nil {
		err = os.NewSyscallError("fcntl", unix.SetNonblock(fd, true)) // for os.NewFile
	}
	if err != nil {
		_ = unix.Close(fd)
		_ = unix.Close(wakeFd)
		return nil, err
	}
	if d.waiter, err = newWaiter(fd, l.opts.HoldProcessor, !l.opts.block); err != nil {
		_ = unix.Close(wakeFd)
		return nil, err
	}
	return d, nil
}

func (d *epoll) free() {
	for _, s := range d.listeners {
		if s != nil {
			s.Close()
		}
	}
	d.waiter.close()
	_ = unix.Close(d.wakeFd)
}

var one = [8]byte{1}

func (d *epoll) wake() {
	// It cannot fail but by overflow of the counter, and then it is awake.
	_, _, _ = unix.RawSyscall(unix.SYS_WRITE, uintptr(d.wakeFd), uintptr(unsafe.Pointer(&one)), uintptr(len(one)))
}

func (d *epoll) attach(c *Conn, t *Transport) error {
	fd := t.fd
	if t.nc != nil {
		var err error
		if fd, err = dupSocket(t.nc); err != nil {
			return err
		}
	}
	c.fd = fd
	ev := unix.EpollEvent{Events: watchRead, Fd: c.slot, Pad: c.gen}
	if err := unix.EpollCtl(d.fd, unix.EPOLL_CTL_ADD, fd, &ev); err != nil {
		if t.nc != nil {
			_ = unix.Close(fd)
		}
		return os.NewSyscallError("epoll_ctl", err)
	}
	c.interest = watchRead | watching
	t.leaveRuntime(fd)
	return nil
}

func (d *epoll) detach(c *Conn) ([]byte, error) {
	d.watch(c, 0)
	c.fd = -1
	return nil, nil
}

func (d *epoll) close(c *Conn) {
	// Closing would take the socket out of the set by itself, unless another
	// process holds it, too.
	d.watch(c, 0)
	_ = unix.Close(c.fd)
	c.fd = -1
}

// watch sets the interest in c; 0 takes it out of the epoll set, which is the
// only way not to be told of a hang-up again and again.
func (d *epoll) watch(c *Conn, interest uint32) {
	if c.interest == interest {
		return
	}
	op := unix.EPOLL_CTL_MOD
	switch {
	case interest == 0:
		op = unix.EPOLL_CTL_DEL
	case c.interest == 0:
		op = unix.EPOLL_CTL_ADD
	}
	c.interest = interest
	ev := unix.EpollEvent{Events: interest &^ watching, Fd: c.slot, Pad: c.gen}
	_, _, errno := unix.RawSyscall6(unix.SYS_EPOLL_CTL, uintptr(d.fd), uintptr(op), uintptr(c.fd), uintptr(unsafe.Pointer(&ev)), 0, 0)
	if errno != 0 && interest != 0 {
		// Out of memory or of watches: the connection cannot be served.
		c.interest = 0
		c.fail(os.NewSyscallError("epoll_ctl", errno))
	}
}

func (d *epoll) resume(c *Conn) {
	if c.interest&unix.EPOLLIN == 0 && !c.readEnded {
		d.watch(c, c.interest|watchRead|watching)
	}
}

func (d *epoll) shutdown(c *Conn) error {
	if _, _, errno := unix.RawSyscall(unix.SYS_SHUTDOWN, uintptr(c.fd), unix.SHUT_WR, 0); errno != 0 {
		return os.NewSyscallError("shutdown", errno)
	}
	return nil
}

// event handles one event of a socket.
func (d *epoll) event(c *Conn, events uint32) {
	if events&unix.EPOLLOUT != 0 && c.flags&flagBlocked != 0 {
		c.flags &^= flagBlocked
		d.send(c)
		d.loop.sent(c)
		if c.isGone() {
			return
		}
	}
	if events&^uint32(unix.EPOLLOUT) == 0 || c.flags&flagBroken != 0 {
		return
	}
	if c.flags&flagPaused == 0 && c.interest&unix.EPOLLIN != 0 {
		d.read(c)
		return
	}
	d.eventInPause(c, events)
}

// eventInPause switches off what the event is about, so that it does not come
// again before reading is resumed.
func (d *epoll) eventInPause(c *Conn, events uint32) {
	const dead = unix.EPOLLHUP | unix.EPOLLERR
	switch {
	case events&dead != 0:
		d.watch(c, 0)
		if c.Buffered() > 0 {
			c.flags &^= flagBlocked
			d.send(c) // to learn the error
			d.loop.sent(c)
		}
	case events&unix.EPOLLRDHUP != 0:
		d.watch(c, c.interest&^watchRead)
	default:
		d.watch(c, c.interest&^unix.EPOLLIN)
	}
	if events&(dead|unix.EPOLLRDHUP) != 0 {
		d.loop.hungUp(c)
	}
}

// read reads once, and again only if the buffer came back full.
func (d *epoll) read(c *Conn) {
	for range maxReads {
		if !d.readOnce(c) || c.flags&flagBroken != 0 {
			return
		}
	}
}

// readOnce reports whether there may be more to read.
func (d *epoll) readOnce(c *Conn) bool {
	n, errno := recv(c.fd, d.buf)
	switch {
	case errno == unix.EAGAIN || errno == unix.EINTR:
		return false
	case errno != 0:
		d.endRead(c, os.NewSyscallError("recv", errno))
		return false
	case n == 0:
		d.endRead(c, io.EOF)
		return false
	}
	d.loop.received(c, d.buf[:n])
	return n == len(d.buf) && c.readable()
}

// endRead reports the end of the incoming direction, and stops watching it, for
// it would be reported for ever.
func (d *epoll) endRead(c *Conn, err error) {
	if c.flags&flagBlocked != 0 {
		d.watch(c, watchWrite|watching)
	} else {
		d.watch(c, 0)
	}
	d.loop.readFailed(c, err)
}

func (d *epoll) lastRead(c *Conn) {
	for i := 0; i < maxLastReads && d.readOnce(c); i++ {
	}
	if !c.isGone() && !c.readEnded {
		d.endRead(c, io.EOF)
	}
}

// send writes once. What is left waits for the socket to become writable.
func (d *epoll) send(c *Conn) {
	if c.flags&flagBlocked != 0 {
		c.spill()
		return
	}
	n, errno := d.write(c)
	if errno != 0 && errno != unix.EAGAIN && errno != unix.EINTR {
		d.loop.writeFailed(c, os.NewSyscallError("send", errno))
		return
	}
	c.took(n)
	if c.out != nil || c.ref != nil {
		c.spill()
		c.flags |= flagBlocked
		d.watch(c, c.interest|watchWrite|watching)
	} else if c.interest&watchWrite != 0 {
		d.watch(c, c.interest&^watchWrite)
	}
}

func (d *epoll) write(c *Conn) (int, syscall.Errno) {
	switch {
	case c.out == nil:
		return send(c.fd, c.ref)
	case c.ref == nil:
		return send(c.fd, c.out.bytes())
	}
	p := c.out.bytes()
	d.iov[0].Base, d.iov[1].Base = &p[0], &c.ref[0]
	d.iov[0].SetLen(len(p))
	d.iov[1].SetLen(len(c.ref))
	d.msg.Iov = &d.iov[0]
	d.msg.SetIovlen(2)
	n, _, errno := unix.RawSyscall(unix.SYS_SENDMSG, uintptr(c.fd), uintptr(unsafe.Pointer(&d.msg)), unix.MSG_NOSIGNAL|unix.MSG_DONTWAIT)
	d.iov[0].Base, d.iov[1].Base = nil, nil
	if errno != 0 {
		return 0, errno
	}
	return int(n), 0
}

func send(fd int, p []byte) (int, syscall.Errno) {
	n, _, errno := unix.RawSyscall6(unix.SYS_SENDTO, uintptr(fd), uintptr(unsafe.Pointer(unsafe.SliceData(p))), uintptr(len(p)),
		unix.MSG_NOSIGNAL|unix.MSG_DONTWAIT, 0, 0)
	if errno != 0 {
		return 0, errno
	}
	return int(n), 0
}

func recv(fd int, p []byte) (int, syscall.Errno) {
	n, _, errno := unix.RawSyscall6(unix.SYS_RECVFROM, uintptr(fd), uintptr(unsafe.Pointer(unsafe.SliceData(p))), uintptr(len(p)),
		unix.MSG_DONTWAIT, 0, 0)
	if errno != 0 {
		return 0, errno
	}
	return int(n), 0
}
