// SPDX-License-Identifier: Apache-2.0

package netloop

import (
	"errors"
	"io"
	"net"
	"time"
)

// closing is the state of CloseAfterFlush.
type closing struct {
	limit Timer
	half  bool // the peer has ended its direction; close when everything is sent
}

// flush encrypts what is to be encrypted and offers everything to the socket.
func (c *Conn) flush() {
	if c.flags&(flagGone|flagBroken) != 0 {
		c.ref = nil
		return
	}
	if c.tls != nil {
		if err := c.encrypt(); err != nil {
			c.loop.writeFailed(c, err)
			return
		}
	}
	if c.out != nil || c.ref != nil {
		c.loop.driver.send(c)
	}
	c.afterSend()
}

// sent is called by the driver when the socket has taken bytes later on.
func (l *Loop) sent(c *Conn) {
	c.afterSend()
	l.settle()
}

// afterSend draws the conclusions from the number of bytes that are unsent.
func (c *Conn) afterSend() {
	if c.flags&(flagGone|flagBroken) != 0 {
		return
	}
	n := c.Buffered()
	switch {
	case n > HighWater:
		c.flags |= flagOver
	case n < LowWater && c.flags&flagOver != 0:
		c.endOver()
	}
	if n == 0 && c.flags&(flagEndWrite|flagShutdown) == flagEndWrite {
		c.flags |= flagShutdown
		if err := c.loop.driver.shutdown(c); err != nil {
			if c.closing != nil { // nothing to wait for
				err = net.ErrClosed
			}
			c.failWith(err)
			return
		}
	}
	if c.flags&flagShutdown != 0 && c.closing != nil && c.closing.half {
		c.fail(net.ErrClosed)
	}
}

// endOver has Drained called.
func (c *Conn) endOver() {
	c.flags &^= flagOver
	if c.flags&flagDrained == 0 {
		c.flags |= flagDrained
		c.loop.drained = append(c.loop.drained, c)
	}
}

// writeFailed notes that the socket takes no more bytes. The peer may have said
// why before it closed - a database says that it is being shut down - so the
// rest of its bytes is read first, unless nobody wants them.
func (l *Loop) writeFailed(c *Conn, err error) {
	if c.flags&(flagGone|flagBroken) != 0 {
		return
	}
	c.dropUnsent()
	c.flags |= flagBroken
	c.flags &^= flagBlocked | flagOver
	if !c.readEnded {
		c.err = err
	}
	if c.flags&(flagPaused|flagClosing) != 0 {
		c.fail(err)
		return
	}
	l.failed = append(l.failed, c)
}

// dropUnsent forgets what is unsent.
func (c *Conn) dropUnsent() {
	c.loop.chunks.put(c.out)
	c.out, c.ref = nil, nil
	if c.tls != nil {
		c.loop.chunks.put(c.tls.stage)
		c.tls.stage = nil
	}
}

// Close closes the connection at once. Unsent bytes, those of the current event
// included, are dropped. Closed follows with net.ErrClosed, after the callback
// that calls Close has returned.
func (c *Conn) Close() { c.failWith(net.ErrClosed) }

// failWith closes c with the given reason.
func (c *Conn) failWith(err error) {
	if !c.isGone() {
		c.err = err
		c.fail(err)
	}
}

// fail closes c with the given reason, or the one that it had already.
func (c *Conn) fail(err error) {
	if c.isGone() {
		return
	}
	if c.err == nil {
		c.err = err
	}
	c.leave()
	c.loop.driver.close(c)
	c.t.state = transportClosed
	c.loop.gone = append(c.loop.gone, c)
}

// leave takes c off the loop, without closing the socket.
func (c *Conn) leave() {
	l := c.loop
	c.flags |= flagGone
	c.dropUnsent()
	l.chunks.put(c.kept)
	c.kept = nil
	if c.tls != nil {
		l.chunks.put(c.tls.raw)
		c.tls.raw = nil
	}
	if c.closing != nil {
		c.closing.limit.Stop()
		c.closing = nil
	}
	l.release(c)
}

// CloseWrite sends what is unsent and then ends the outgoing direction (with
// TLS: close_notify first). Write does nothing any more; reading goes on. There
// is no limit of time: the owner sets a Timer, or calls CloseAfterFlush or
// Close later on.
func (c *Conn) CloseWrite() {
	if c.flags&(flagGone|flagNoWrite) != 0 {
		return
	}
	c.flags |= flagNoWrite | flagEndWrite
	c.makeDirty()
}

// CloseAfterFlush sends what is unsent, ends the outgoing direction as
// CloseWrite does, waits for the peer to close its own, and closes. Input is
// thrown away from now on, Data and Drained are not called any more. Waiting for
// the peer matters: closing a socket that has unread input resets it, and the
// peer may lose the last message, which says what went wrong.
//
// After limit it closes in any case. Closed gives net.ErrClosed if everything
// was sent, ErrFlushTimeout if not, or the error that ended the connection
// before. A limit of 0 or less tries to send once.
func (c *Conn) CloseAfterFlush(limit time.Duration) {
	if c.flags&(flagGone|flagClosing) != 0 {
		return
	}
	if c.flags&flagBroken != 0 {
		c.Close()
		return
	}
	c.flags |= flagClosing | flagNoWrite | flagEndWrite
	c.loop.chunks.put(c.kept)
	c.kept = nil
	c.makeDirty()
	c.closing = &closing{half: c.readEnded}
	c.closing.limit.Init(c.giveUp)
	c.loop.Arm(&c.closing.limit, limit)
	if c.flags&flagPaused != 0 {
		c.flags &^= flagPaused
		c.loop.driver.resume(c)
	}
}

// giveUp ends CloseAfterFlush when its limit is over.
func (c *Conn) giveUp() {
	if c.Buffered() > 0 {
		c.failWith(ErrFlushTimeout)
		return
	}
	c.failWith(net.ErrClosed)
}

// endLinger ends CloseAfterFlush when the read side has ended. If that was in an
// orderly way the peer may still want what is unsent.
func (c *Conn) endLinger(err error) {
	switch {
	case c.flags&flagShutdown != 0:
		c.failWith(net.ErrClosed)
	case errors.Is(err, io.EOF):
		c.closing.half = true
	default:
		c.failWith(err)
	}
}
