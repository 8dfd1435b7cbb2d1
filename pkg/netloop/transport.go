// SPDX-License-Identifier: Apache-2.0

package netloop

import (
	"net"
	"slices"
	"time"
)

// transportState says who the socket of a Transport belongs to.
type transportState uint8

const (
	transportBlocking transportState = iota // the net.Conn
	transportAttached                       // a loop
	transportDetached                       // nobody: on its way from loop to loop
	transportClosed                         // closed by or after a loop
)

// A Transport is a net.Conn whose socket can move to an event loop. At first it
// is the net.Conn that it was made of, with blocking reads and writes and
// deadlines: a login runs over it, crypto/tls included. After Attach it belongs
// to the loop. A *tls.Conn on top of it goes on working, driven by the loop;
// nobody else may read, write or close either of them.
//
// A Transport is used by one goroutine at a time, except that in blocking mode
// it is what the net.Conn is.
type Transport struct {
	nc    net.Conn // nil once an epoll loop has taken the socket
	c     *Conn    // while attached
	rest  []byte   // received TLS bytes not decrypted yet, between two loops
	head  []byte   // put back by Unread, in blocking mode
	fd    int      // the socket, if nc is nil
	state transportState

	local, remote net.Addr // once nc is nil
}

// NewTransport makes a Transport of nc. For the epoll driver nc has to be a
// *net.TCPConn or a *net.UnixConn (or anything else that is a syscall.Conn over a
// stream socket); the portable driver takes any net.Conn. No byte may have been
// read ahead by somebody who does not hand it to Conn.Unread later.
func NewTransport(nc net.Conn) *Transport { return &Transport{nc: nc, fd: -1} }

// notBlocking is the error for the use of a Transport that belongs to no
// blocking goroutine.
func (t *Transport) notBlocking() error {
	switch t.state {
	case transportAttached:
		return ErrAttached
	case transportDetached:
		return ErrDetached
	default:
		return net.ErrClosed
	}
}

// Unread puts p, which was read too far, in front of what Read gives next. It is
// for blocking mode; all of it has to be read before Attach.
func (t *Transport) Unread(p []byte) { t.head = slices.Concat(p, t.head) }

// Read reads from the net.Conn.
func (t *Transport) Read(p []byte) (int, error) {
	if len(t.head) > 0 && t.state == transportBlocking {
		n := copy(p, t.head)
		if t.head = t.head[n:]; len(t.head) == 0 {
			t.head = nil
		}
		return n, nil
	}
	if t.state == transportBlocking {
		return t.nc.Read(p)
	}
	if t.state == transportAttached && t.c.tls != nil && t.c.tls.reading {
		return t.c.tls.read(p)
	}
	return 0, t.notBlocking()
}

// Write writes to the net.Conn.
func (t *Transport) Write(p []byte) (int, error) {
	if t.state == transportBlocking {
		return t.nc.Write(p)
	}
	if t.state == transportAttached && t.c.tls != nil {
		return t.c.writeRecord(p)
	}
	return 0, t.notBlocking()
}

// Close closes the socket, unless it is attached to a loop: then it returns
// ErrAttached, and Conn.Close is to be called.
func (t *Transport) Close() error {
	switch t.state {
	case transportAttached:
		return ErrAttached
	case transportClosed:
		return net.ErrClosed
	case transportDetached:
		t.state = transportClosed
		t.rest = nil
		if t.nc == nil {
			return closeSocket(t.fd)
		}
	}
	return t.nc.Close()
}

// LocalAddr is the address of this end.
func (t *Transport) LocalAddr() net.Addr {
	if t.nc != nil {
		return t.nc.LocalAddr()
	}
	if t.local == nil {
		t.local = localAddr(t.fd)
	}
	return t.local
}

// RemoteAddr is the address of the peer.
func (t *Transport) RemoteAddr() net.Addr {
	if t.nc != nil {
		return t.nc.RemoteAddr()
	}
	return t.remote
}

// SetDeadline sets the deadlines of the net.Conn. On a loop there are none, and
// it does nothing, for the sake of crypto/tls.
func (t *Transport) SetDeadline(at time.Time) error {
	if t.state != transportBlocking {
		return nil
	}
	return t.nc.SetDeadline(at)
}

// SetReadDeadline is as SetDeadline.
func (t *Transport) SetReadDeadline(at time.Time) error {
	if t.state != transportBlocking {
		return nil
	}
	return t.nc.SetReadDeadline(at)
}

// SetWriteDeadline is as SetDeadline.
func (t *Transport) SetWriteDeadline(at time.Time) error {
	if t.state != transportBlocking {
		return nil
	}
	return t.nc.SetWriteDeadline(at)
}
