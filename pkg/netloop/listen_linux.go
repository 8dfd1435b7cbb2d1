// SPDX-License-Identifier: Apache-2.0

package netloop

import (
	"errors"
	"net"
	"os"
	"strconv"
	"syscall"
	"unsafe"

	"golang.org/x/sys/unix"
)

// maxAccepts bounds the connections that are accepted at one event, so that a
// crowd at the door does not keep those waiting who are in.
const maxAccepts = 64

// listenerSlot marks the events of listeners: the one with number n has the number
// listenerSlot-n, below that of the eventfd.
const listenerSlot = wakeSlot - 1

func (d *epoll) listen(s *Listener, nl net.Listener) error {
	fd, err := dupListener(nl)
	if err != nil {
		return err
	}
	s.fd = fd
	if s.id = indexOfNil(d.listeners); s.id == len(d.listeners) {
		d.listeners = append(d.listeners, nil)
	}
	if err := d.watchListener(s, true); err != nil {
		s.fd = -1
		_ = unix.Close(fd)
		return err
	}
	d.listeners[s.id] = s
	return nil
}

func indexOfNil(list []*Listener) int {
	for i, s := range list {
		if s == nil {
			return i
		}
	}
	return len(list)
}

// dupListener returns a second descriptor of a listening socket, which is
// non-blocking.
func dupListener(nl net.Listener) (fd int, err error) {
	sc, ok := nl.(syscall.Conn)
	if !ok {
		return -1, errors.ErrUnsupported
	}
	raw, err := sc.SyscallConn()
	if err != nil {
		return -1, err
	}
	var dupErr error
	err = raw.Control(func(old uintptr) {
		fd, dupErr = unix.FcntlInt(old, unix.F_DUPFD_CLOEXEC, 0)
		dupErr = os.NewSyscallError("fcntl", dupErr)
	})
	return fd, errors.Join(err, dupErr)
}

func (d *epoll) unlisten(s *Listener) {
	_ = d.watchListener(s, false) // closing takes it out of the set as well
	_ = unix.Close(s.fd)
	s.fd = -1
	d.listeners[s.id] = nil
}

func (d *epoll) watchListener(s *Listener, on bool) error {
	if s.watched == on {
		return nil
	}
	op := unix.EPOLL_CTL_DEL
	if on {
		op = unix.EPOLL_CTL_ADD
	}
	ev := unix.EpollEvent{Events: unix.EPOLLIN, Fd: int32(listenerSlot - s.id)} //nolint:gosec // a small number
	if err := unix.EpollCtl(d.fd, op, s.fd, &ev); err != nil {
		return os.NewSyscallError("epoll_ctl", err)
	}
	s.watched = on
	return nil
}

// accept takes who is waiting at a listener.
func (d *epoll) accept(id int) {
	if id >= len(d.listeners) {
		return
	}
	s := d.listeners[id]
	for range maxAccepts {
		if s == nil || s.fd < 0 {
			return // closed meanwhile
		}
		var addr unix.RawSockaddrAny
		fd, errno := accept4(s.fd, &addr)
		switch errno {
		case 0:
			s.pause = firstPause
			s.take(&Transport{fd: fd, state: transportDetached, remote: addrOf(&addr)})
			d.loop.settle()
		case unix.EAGAIN:
			return
		case unix.EINTR, unix.ECONNABORTED: // the client has given up
		default:
			s.rest(os.NewSyscallError("accept4", errno))
			return
		}
	}
}

func accept4(fd int, addr *unix.RawSockaddrAny) (int, syscall.Errno) {
	size := uint32(unsafe.Sizeof(*addr))
	n, _, errno := unix.RawSyscall6(unix.SYS_ACCEPT4, uintptr(fd), uintptr(unsafe.Pointer(addr)), uintptr(unsafe.Pointer(&size)),
		unix.SOCK_CLOEXEC|unix.SOCK_NONBLOCK, 0, 0)
	if errno != 0 {
		return -1, errno
	}
	return int(n), 0
}

// addrOf makes an address of what the system gives. A Unix socket's peer has
// none, as a rule.
func addrOf(a *unix.RawSockaddrAny) net.Addr {
	switch a.Addr.Family {
	case unix.AF_INET:
		in := (*unix.RawSockaddrInet4)(unsafe.Pointer(a))
		return &net.TCPAddr{IP: append(net.IP(nil), in.Addr[:]...), Port: hostOrder(in.Port)}
	case unix.AF_INET6:
		in := (*unix.RawSockaddrInet6)(unsafe.Pointer(a))
		tcp := &net.TCPAddr{IP: append(net.IP(nil), in.Addr[:]...), Port: hostOrder(in.Port)}
		if in.Scope_id != 0 {
			tcp.Zone = strconv.FormatUint(uint64(in.Scope_id), 10)
		}
		return tcp
	}
	return &net.UnixAddr{Net: "unix"}
}

// hostOrder reads a port, which is kept in the order of the network.
func hostOrder(port uint16) int {
	b := (*[2]byte)(unsafe.Pointer(&port))
	return int(b[0])<<8 | int(b[1])
}

// localAddr asks the system for the address of this end of a socket.
func localAddr(fd int) net.Addr {
	var addr unix.RawSockaddrAny
	size := uint32(unsafe.Sizeof(addr))
	_, _, errno := unix.RawSyscall(unix.SYS_GETSOCKNAME, uintptr(fd), uintptr(unsafe.Pointer(&addr)), uintptr(unsafe.Pointer(&size)))
	if errno != 0 {
		return &net.TCPAddr{}
	}
	return addrOf(&addr)
}

// Block gives a Transport that belongs to no loop back to the runtime: it is in
// blocking mode again, as one of NewTransport. Options of the socket that
// package net sets by itself (keepalive, no delay) are as that package sets them.
// On error the Transport is as before.
func (t *Transport) Block() error {
	if t.state != transportDetached || t.nc != nil || t.rest != nil {
		return t.notBlocking()
	}
	fd, err := unix.FcntlInt(uintptr(t.fd), unix.F_DUPFD_CLOEXEC, 0)
	if err != nil {
		return os.NewSyscallError("fcntl", err)
	}
	f := os.NewFile(uintptr(fd), "socket")
	nc, err := net.FileConn(f) // with a descriptor of its own
	_ = f.Close()
	if err != nil {
		return err
	}
	_ = unix.Close(t.fd)
	t.nc, t.fd, t.state = nc, -1, transportBlocking
	return nil
}
