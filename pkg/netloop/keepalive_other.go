// SPDX-License-Identifier: Apache-2.0

//go:build !linux

package netloop

import (
	"errors"
	"net"
)

func setConnKeepAlive(nc net.Conn, k keepAlive) error {
	tcp, ok := nc.(*net.TCPConn)
	if !ok {
		return nil
	}
	return tcp.SetKeepAliveConfig(net.KeepAliveConfig{
		Enable:   k.idle > 0,
		Idle:     k.idle,
		Interval: k.interval,
		Count:    k.count,
	})
}

func setSocketKeepAlive(int, keepAlive) error { return errors.ErrUnsupported }

func setListenerOptions(net.Listener, keepAlive) error { return errors.ErrUnsupported }
