// SPDX-License-Identifier: Apache-2.0

package netloop

import (
	"net"
	"time"
)

// keepAlive is how soon a peer that has vanished without a word is found out.
type keepAlive struct {
	idle, interval time.Duration
	count          int
	userTimeout    time.Duration
}

// SetKeepAlive sets how a TCP connection finds out that its peer has vanished
// without a word, in blocking mode and on a loop. After idle of silence a probe is
// sent, count of them at the given interval, and then the connection is dead; an
// idle of 0 or less switches probes off, an interval or count of 0 or less leaves
// what the system has. userTimeout bounds how long sent bytes may remain without
// an acknowledgement, and overrules count then (TCP_USER_TIMEOUT, RFC 5482; Linux
// only); 0 or less leaves what the system has. Times are rounded up to whole
// seconds, userTimeout to milliseconds. It does nothing for other sockets.
func (t *Transport) SetKeepAlive(idle, interval time.Duration, count int, userTimeout time.Duration) error {
	if t.state == transportClosed {
		return t.notBlocking()
	}
	k := keepAlive{idle: idle, interval: interval, count: count, userTimeout: userTimeout}
	if t.nc == nil {
		return setSocketKeepAlive(t.fd, k)
	}
	return setConnKeepAlive(t.nc, k)
}

// SetListenerOptions has the connections that come to nl begin with what
// SetKeepAlive would set, and without delay (TCP_NODELAY), where the system hands
// the options of a listening socket down: on Linux. It does nothing for other
// sockets than those of TCP.
func SetListenerOptions(nl net.Listener, idle, interval time.Duration, count int, userTimeout time.Duration) error {
	return setListenerOptions(nl, keepAlive{idle: idle, interval: interval, count: count, userTimeout: userTimeout})
}
