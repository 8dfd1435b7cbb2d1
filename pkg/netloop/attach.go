// SPDX-License-Identifier: Apache-2.0

package netloop

import (
	"crypto/tls"
	"errors"
	"fmt"
)

// Attach moves a socket onto the loop: from now on h is told what happens. tc is
// the TLS connection on top of t, its handshake done, or nil. It is called on the
// loop goroutine, or before Run. Bytes that TLS has decrypted already, and those
// given to Unread, come with the next turn.
//
// On error - the system has no file descriptor left, t is not a socket, belongs
// to a loop or is closed, or the loop is stopped - t and tc are as before and are
// the caller's to close. After success they are the loop's.
func (l *Loop) Attach(t *Transport, tc *tls.Conn, h Handler) (*Conn, error) {
	switch {
	case l.state.Load() > stateRunning || l.ending:
		return nil, ErrStopped
	case t.state == transportAttached || t.state == transportClosed:
		return nil, t.notBlocking()
	case t.head != nil:
		return nil, errors.New("netloop: attach: bytes put back by Unread were not read")
	case tc != nil && tc.NetConn() != t:
		return nil, errors.New("netloop: attach: the TLS connection is not on top of the transport")
	case tc != nil && !tc.ConnectionState().HandshakeComplete:
		return nil, errors.New("netloop: attach: the TLS handshake is not done")
	}
	c := &Conn{loop: l, handler: h, t: t, fd: -1}
	if tc != nil {
		c.tls = &tlsState{conn: tc, more: true}
	}
	l.enrol(c)
	if err := l.driver.attach(c, t); err != nil {
		l.release(c)
		return nil, fmt.Errorf("netloop: attach: %w", err)
	}
	t.c, t.state = c, transportAttached
	if c.tls != nil {
		c.tls.raw = l.chunks.add(nil, t.rest)
		t.rest = nil
		c.makeResumed()
	}
	return c, nil
}

// Detach takes the connection off this loop, to attach it to another one. The
// Handler is not called any more. What was written in this event is sent first;
// if bytes remain unsent, or the connection is closing or broken, it stays where
// it is and the error says why. The portable driver also returns ErrUnsent while
// a write is under way.
//
// rest are the bytes that were kept for the Handler; Unread on the new Conn gives
// them back. Within the Data call of c itself rest does not contain what that
// call was given: the Handler knows how much of it was used and keeps the
// remainder itself.
func (c *Conn) Detach() (t *Transport, tc *tls.Conn, rest []byte, err error) {
	switch {
	case c.isGone():
		return nil, nil, nil, ErrDetached
	case c.flags&(flagClosing|flagNoWrite|flagBroken) != 0:
		return nil, nil, nil, errors.New("netloop: detach: connection is closing")
	}
	c.flush()
	if c.isGone() || c.flags&flagBroken != 0 {
		return nil, nil, nil, errors.New("netloop: detach: connection is broken")
	}
	if c.Buffered() > 0 {
		return nil, nil, nil, ErrUnsent
	}
	unread, err := c.loop.driver.detach(c)
	if err != nil {
		return nil, nil, nil, err
	}
	rest = append(rest, c.kept.contents()...)
	t = c.t
	if s := c.tls; s != nil {
		tc = s.conn
		undecrypted := s.in // within pump
		if undecrypted == nil {
			undecrypted = s.raw.contents()
		}
		t.rest = append(append(t.rest, undecrypted...), unread...)
	} else {
		rest = append(rest, unread...)
	}
	t.c, t.state = nil, transportDetached
	c.leave()
	return t, tc, rest, nil
}

// enrol gives c its number.
func (l *Loop) enrol(c *Conn) {
	if n := len(l.freeSlot); n > 0 {
		c.slot = l.freeSlot[n-1]
		l.freeSlot = l.freeSlot[:n-1]
	} else {
		c.slot = int32(len(l.slots)) //nolint:gosec // bounded by the number of descriptors, which are of this type
		l.slots = append(l.slots, slot{})
	}
	s := &l.slots[c.slot]
	s.conn, c.gen = c, s.gen
	l.conns++
}

// release takes the number of c back. Events that name it are stale from now on.
func (l *Loop) release(c *Conn) {
	s := &l.slots[c.slot]
	s.conn = nil
	s.gen++
	l.freeSlot = append(l.freeSlot, c.slot)
	l.conns--
}

// lookup finds the connection that an event names, nil if it is gone.
func (l *Loop) lookup(slot, gen int32) *Conn {
	if int(slot) >= len(l.slots) || l.slots[slot].gen != gen {
		return nil
	}
	return l.slots[slot].conn
}
