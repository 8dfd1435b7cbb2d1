// SPDX-License-Identifier: Apache-2.0

package netloop

import (
	"fmt"
	"runtime/debug"
)

// A PanicError is what a Conn is closed with when its Handler panicked.
type PanicError struct {
	Value any
	Stack []byte
}

func (e *PanicError) Error() string { return fmt.Sprintf("netloop: handler panicked: %v", e.Value) }

// guard is deferred around every call of a Handler.
func (l *Loop) guard(c *Conn) {
	v := recover()
	if v == nil {
		return
	}
	e := &PanicError{Value: v, Stack: debug.Stack()}
	c.failWith(e)
	if l.opts.OnPanic != nil {
		l.opts.OnPanic(c, e.Value, e.Stack)
	}
}

func (l *Loop) callData(c *Conn, p []byte) (n int) {
	defer l.guard(c)
	n = c.handler.Data(c, p)
	if n < 0 || n > len(p) {
		bad := n
		n = 0
		panic(fmt.Sprintf("netloop: Data consumed %d of %d bytes", bad, len(p)))
	}
	return n
}

func (l *Loop) callDrained(c *Conn) {
	defer l.guard(c)
	c.handler.Drained(c)
}

func (l *Loop) callClosed(c *Conn) {
	defer l.guard(c)
	c.handler.Closed(c, c.err)
}

func (l *Loop) callHangup(c *Conn) {
	if h, ok := c.handler.(HangupHandler); ok {
		defer l.guard(c)
		h.Hangup(c)
	}
}

// received is called by the driver when bytes have come from the socket.
func (l *Loop) received(c *Conn, p []byte) {
	switch {
	case c.flags&(flagGone|flagClosing) != 0:
	case c.tls != nil:
		l.pump(c, p)
	case c.inTurn():
		l.deliver(c, p)
	default:
		c.kept = l.chunks.add(c.kept, p)
	}
}

// deliver gives the kept bytes and p to the Handler, settles the event, and
// keeps what was not consumed.
func (l *Loop) deliver(c *Conn, p []byte) {
	k := c.kept
	if k != nil {
		k = l.chunks.add(k, p)
		c.kept = nil
		p = k.bytes()
	}
	l.cur, l.inData = p, c
	n := l.callData(c, p)
	l.cur, l.inData = nil, nil
	l.flushDirty() // nothing refers to p any more
	switch {
	case c.isGone() || n == len(p):
		l.chunks.put(k)
	case k == nil:
		c.keepInFront(p[n:])
	case c.kept == nil:
		k.consume(n)
		c.kept = k
	default: // Unread was called meanwhile
		c.keepInFront(p[n:])
		l.chunks.put(k)
	}
	if !c.isGone() && c.kept.size() > l.opts.MaxUnconsumed {
		c.fail(ErrUnconsumed)
	}
	l.settle()
}

// redeliver gives what is kept to the Handler, and then what TLS and the driver
// have left behind it.
func (l *Loop) redeliver(c *Conn) {
	if !c.readable() || c.flags&flagClosing != 0 {
		return
	}
	if c.kept != nil {
		l.deliver(c, nil)
	}
	if c.readEnded || c.tls != nil {
		l.endDelivery(c)
	}
}

// readFailed is called by the driver when no more bytes will come. If the
// Handler does not want to read now, or has not been given what is kept for it,
// it is told later.
func (l *Loop) readFailed(c *Conn, err error) {
	if c.isGone() {
		return
	}
	if c.flags&flagClosing != 0 {
		c.endLinger(err)
		l.settle()
		return
	}
	if c.tls != nil {
		c.tls.inErr, c.tls.more = err, true
	} else if c.err == nil {
		c.err = err
	}
	c.readEnded = true
	l.endDelivery(c)
}

// endDelivery closes c after the last byte, if the Handler wants to know.
func (l *Loop) endDelivery(c *Conn) {
	switch {
	case !c.inTurn():
	case c.tls != nil:
		l.pump(c, nil)
	default:
		c.fail(c.err)
		l.settle()
	}
}

// hungUp is called by the driver when the peer has gone while reading is paused.
func (l *Loop) hungUp(c *Conn) {
	if c.flags&(flagGone|flagClosing|flagHungUp) == 0 {
		c.flags |= flagHungUp
		l.callHangup(c)
		l.settle()
	}
}
