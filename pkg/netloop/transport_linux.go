// SPDX-License-Identifier: Apache-2.0

package netloop

import (
	"errors"
	"fmt"
	"net"
	"os"
	"syscall"

	"golang.org/x/sys/unix"
)

// dupSocket returns a second descriptor of the socket of nc, so that nc can be
// closed, and the runtime's poller forget it, while the connection lives on. The
// socket stays non-blocking, which is a property that descriptors share.
func dupSocket(nc net.Conn) (int, error) {
	sc, ok := nc.(syscall.Conn)
	if !ok {
		return -1, fmt.Errorf("%T has no file descriptor", nc)
	}
	raw, err := sc.SyscallConn()
	if err != nil {
		return -1, err
	}
	var fd int
	var dupErr error
	err = raw.Control(func(old uintptr) {
		if kind, err := unix.GetsockoptInt(int(old), unix.SOL_SOCKET, unix.SO_TYPE); err != nil || kind != unix.SOCK_STREAM {
			dupErr = errors.New("not a stream socket")
			return
		}
		fd, dupErr = unix.FcntlInt(old, unix.F_DUPFD_CLOEXEC, 0)
		dupErr = os.NewSyscallError("fcntl", dupErr)
	})
	if err == nil {
		err = dupErr
	}
	if err != nil {
		return -1, err
	}
	return fd, nil
}

// leaveRuntime closes the net.Conn; fd is the socket from now on.
func (t *Transport) leaveRuntime(fd int) {
	t.fd = fd
	if t.nc == nil {
		return
	}
	t.local, t.remote = t.nc.LocalAddr(), t.nc.RemoteAddr()
	_ = t.nc.Close() // the socket itself stays open by fd
	t.nc = nil
}

func closeSocket(fd int) error { return os.NewSyscallError("close", unix.Close(fd)) }
