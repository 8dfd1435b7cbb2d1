// SPDX-License-Identifier: Apache-2.0

package netloop

import (
	"errors"
	"net"
	"os"
	"time"

	"golang.org/x/sys/unix"
)

func setConnKeepAlive(nc net.Conn, k keepAlive) error {
	tcp, ok := nc.(*net.TCPConn)
	if !ok {
		return nil
	}
	raw, err := tcp.SyscallConn()
	if err != nil {
		return err
	}
	var setErr error
	if err := raw.Control(func(fd uintptr) { setErr = setSocketKeepAlive(int(fd), k) }); err != nil {
		return err
	}
	return setErr
}

func setListenerOptions(nl net.Listener, k keepAlive) error {
	tcp, ok := nl.(*net.TCPListener)
	if !ok {
		return nil
	}
	raw, err := tcp.SyscallConn()
	if err != nil {
		return err
	}
	var setErr error
	err = raw.Control(func(fd uintptr) {
		setErr = errors.Join(
			os.NewSyscallError("setsockopt", unix.SetsockoptInt(int(fd), unix.IPPROTO_TCP, unix.TCP_NODELAY, 1)),
			setSocketKeepAlive(int(fd), k),
		)
	})
	return errors.Join(err, setErr)
}

func setSocketKeepAlive(fd int, k keepAlive) error {
	proto, err := unix.GetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_PROTOCOL)
	if err != nil || proto != unix.IPPROTO_TCP && proto != unix.IPPROTO_MPTCP {
		return os.NewSyscallError("getsockopt", err)
	}
	on := 0
	if k.idle > 0 {
		on = 1
	}
	options := []struct {
		level, name, value int
		set                bool
	}{
		{unix.SOL_SOCKET, unix.SO_KEEPALIVE, on, true},
		{unix.IPPROTO_TCP, unix.TCP_KEEPIDLE, roundUp(k.idle, time.Second), on == 1},
		{unix.IPPROTO_TCP, unix.TCP_KEEPINTVL, roundUp(k.interval, time.Second), on == 1 && k.interval > 0},
		{unix.IPPROTO_TCP, unix.TCP_KEEPCNT, k.count, on == 1 && k.count > 0},
		{unix.IPPROTO_TCP, unix.TCP_USER_TIMEOUT, roundUp(k.userTimeout, time.Millisecond), k.userTimeout > 0},
	}
	for _, o := range options {
		if !o.set {
			continue
		}
		if err := unix.SetsockoptInt(fd, o.level, o.name, o.value); err != nil {
			return os.NewSyscallError("setsockopt", err)
		}
	}
	return nil
}

// roundUp counts the units in d.
func roundUp(d, unit time.Duration) int { return int((d + unit - 1) / unit) }
