// SPDX-License-Identifier: Apache-2.0

package netloop

import (
	"crypto/tls"
	"unsafe"
)

// A Handler is what a connection works for. All methods are called on the loop
// goroutine, never one within another. A panic in one of them closes the Conn
// with a *PanicError and harms nothing else.
type Handler interface {
	// Data gives the bytes that have come, behind those that an earlier call left
	// unconsumed. p belongs to the loop and is valid until Data returns; it may be
	// passed to Write of any Conn of the same loop. Data returns how many bytes it
	// has consumed, 0 to len(p). The rest is kept, and given again with more
	// behind it when more has come, or after ResumeRead.
	Data(c *Conn, p []byte) int
	// Drained tells that the unsent bytes have become fewer than LowWater after
	// having been more than HighWater.
	Drained(c *Conn)
	// Closed is the last call for c, and comes exactly once unless c was
	// detached. err is io.EOF if the peer closed in an orderly way, net.ErrClosed
	// after a local Close, and else what broke the connection. Unsent and
	// unconsumed bytes are gone.
	Closed(c *Conn, err error)
}

// A HangupHandler is a Handler that wants to know early that a peer has gone.
// While reading is paused a close by the peer is not seen, since it comes behind
// bytes that were not read yet. Hangup tells of it, at most once for a Conn, and
// changes nothing: ResumeRead gives the remaining bytes and then Closed. The
// portable driver does not call it.
type HangupHandler interface {
	Hangup(c *Conn)
}

// flags are the states of a Conn that can be on at the same time.
type flags uint16

const (
	flagGone     flags = 1 << iota // closed or detached: nothing may be done with it
	flagPaused                     // by PauseRead
	flagDirty                      // in loop.dirty
	flagResumed                    // in loop.resumed
	flagDrained                    // in loop.drained
	flagOver                       // rose above high water, has not fallen below low water
	flagBlocked                    // the socket takes nothing now; the driver waits for it
	flagNoWrite                    // Write does nothing any more
	flagEndWrite                   // shut the outgoing direction down once all is sent
	flagShutdown                   // that has been done
	flagClosing                    // CloseAfterFlush: input is thrown away
	flagBroken                     // the socket takes no more bytes, ever; err says why
	flagHungUp                     // Hangup was called
)

// A Conn is a connection on a loop. It belongs to the loop goroutine. Methods
// on a Conn that has been closed or detached do nothing.
type Conn struct {
	loop    *Loop
	handler Handler
	t       *Transport
	tls     *tlsState // nil for a plain connection

	// Unsent bytes, in this order: inflight (held by the driver), out (copied),
	// ref (a part of loop.cur, sent or copied before the event ends). With TLS,
	// out is what goes on the wire and ref is still to be encrypted, behind
	// tls.stage.
	inflight int
	out      *chunk
	ref      []byte

	kept    *chunk   // unconsumed bytes
	closing *closing // state of CloseAfterFlush
	err     error    // for Closed; or a read error that waits behind kept bytes

	slot, gen int32
	flags     flags
	readEnded bool // err is what the read side ended with

	// Of the driver.
	interest uint32
	fd       int
	port     *portConn
}

// Loop is the loop that c is attached to, or was attached to.
func (c *Conn) Loop() *Loop { return c.loop }

// Transport is what was given to Attach; for addresses and socket options.
func (c *Conn) Transport() *Transport { return c.t }

// TLS is what was given to Attach, nil for a plain connection. It may be asked
// for its state, but must not be read, written or closed.
func (c *Conn) TLS() *tls.Conn {
	if c.tls == nil {
		return nil
	}
	return c.tls.conn
}

// Handler is the handler set last.
func (c *Conn) Handler() Handler { return c.handler }

// SetHandler gives c, and what is kept for it, to h. The former handler is not
// called again.
func (c *Conn) SetHandler(h Handler) { c.handler = h }

// Do runs f for c: a panic in f closes c as a panic in its Handler does. It is
// meant for functions called by timers and by Post, of which the loop does not
// know for whom they work.
func (c *Conn) Do(f func()) {
	defer c.loop.guard(c)
	f()
}

// Gone tells whether c has been closed or detached.
func (c *Conn) Gone() bool { return c.isGone() }

func (c *Conn) isGone() bool { return c.flags&flagGone != 0 }

// readable tells whether the Handler wants bytes.
func (c *Conn) readable() bool { return c.flags&(flagGone|flagPaused) == 0 }

// inTurn tells whether bytes, or the end of them, may be given to the Handler now:
// it wants them, and is not waiting to be given those that are kept.
func (c *Conn) inTurn() bool { return c.flags&(flagGone|flagPaused|flagResumed) == 0 }

// Write sends p. It never blocks and never fails: an error of the connection
// comes by Closed. What is written during an event is sent at its end, in one
// system call for each Conn; what the socket does not take is kept and sent when
// it does. There is no limit to that, so ask OverHighWater.
//
// p is copied unless it is part of what a Data call of this loop was given and
// that call still runs: then it is sent from where it is, together with other
// such parts next to it.
func (c *Conn) Write(p []byte) {
	if len(p) == 0 || c.flags&(flagGone|flagNoWrite|flagBroken) != 0 {
		return
	}
	c.makeDirty()
	l := c.loop
	if at := within(l.cur, p); at >= 0 && (c.tls != nil || c.flags&flagBlocked == 0) {
		if len(c.ref) == 0 {
			c.ref = l.cur[at : at+len(p)]
			return
		}
		if from := within(l.cur, c.ref); from >= 0 && from+len(c.ref) == at {
			c.ref = l.cur[from : at+len(p)]
			return
		}
	}
	if c.tls != nil {
		c.spillPlain()
		c.tls.stage = l.chunks.add(c.tls.stage, p)
		if c.tls.stage.size() > HighWater {
			c.flush()
		}
		return
	}
	c.spill()
	c.out = l.chunks.add(c.out, p)
	if c.out.size() > HighWater && c.flags&flagBlocked == 0 {
		c.flush()
	}
}

// within returns where p lies in whole, or -1 if it is not a part of whole.
func within(whole, p []byte) int {
	base := uintptr(unsafe.Pointer(unsafe.SliceData(whole)))
	at := uintptr(unsafe.Pointer(unsafe.SliceData(p)))
	if at < base || at+uintptr(len(p)) > base+uintptr(len(whole)) {
		return -1
	}
	return int(at - base)
}

// spill copies what is referred to behind the copied bytes.
func (c *Conn) spill() {
	if len(c.ref) > 0 {
		c.out = c.loop.chunks.add(c.out, c.ref)
		c.ref = nil
	}
}

// took notes that the socket has taken n bytes of out and then of ref.
func (c *Conn) took(n int) {
	if k := c.out.size(); k > 0 {
		if n < k {
			c.out.consume(n)
			return
		}
		c.loop.chunks.put(c.out)
		c.out = nil
		n -= k
	}
	c.ref = c.ref[n:]
	if len(c.ref) == 0 {
		c.ref = nil
	}
}

func (c *Conn) makeDirty() {
	if c.flags&flagDirty == 0 {
		c.flags |= flagDirty
		c.loop.dirty = append(c.loop.dirty, c)
	}
}

// Buffered is the number of bytes written that the socket has not taken yet. It
// includes those written during the current event, which are sent at its end.
// With TLS the overhead of records is counted once they are encrypted.
func (c *Conn) Buffered() int {
	n := c.inflight + c.out.size() + len(c.ref)
	if c.tls != nil {
		n += c.tls.stage.size()
	}
	return n
}

// OverHighWater tells that the peer is slow: more than HighWater bytes were
// unsent at the end of some event, or are now and the socket is known to be full,
// and they have not fallen below LowWater since. Drained tells when they have.
func (c *Conn) OverHighWater() bool {
	if c.flags&(flagBlocked|flagOver) == flagBlocked && c.Buffered() > HighWater {
		c.flags |= flagOver
	}
	return c.flags&flagOver != 0
}

// PauseRead stops Data until ResumeRead. It costs no system call; only if bytes
// come while reading is paused the loop stops to watch for them.
func (c *Conn) PauseRead() { c.flags |= flagPaused }

// ReadPaused tells whether reading is paused.
func (c *Conn) ReadPaused() bool { return c.flags&flagPaused != 0 }

// ResumeRead ends a pause. Bytes that are kept are given to the Handler later in
// the same turn or in the next one, also when nothing new has come and also when
// reading was not paused.
func (c *Conn) ResumeRead() {
	if c.flags&(flagGone|flagClosing) != 0 {
		return
	}
	paused := c.flags&flagPaused != 0
	c.flags &^= flagPaused
	if c.kept != nil || c.readEnded || c.loop.inData == c || (c.tls != nil && c.tls.more) {
		c.makeResumed()
	}
	if paused {
		c.loop.driver.resume(c)
	}
}

func (c *Conn) makeResumed() {
	if c.flags&flagResumed == 0 {
		c.flags |= flagResumed
		c.loop.resumed = append(c.loop.resumed, c)
	}
}

// Unread puts a copy of p in front of what the Handler is given next. It is for
// bytes that a login has read too far, and for those that Detach returned; it
// is called after Attach and before other bytes have come.
func (c *Conn) Unread(p []byte) {
	if c.flags&(flagGone|flagClosing) != 0 || len(p) == 0 {
		return
	}
	c.keepInFront(p)
	c.makeResumed()
}

// keepInFront puts p in front of the kept bytes.
func (c *Conn) keepInFront(p []byte) {
	old := c.kept
	c.kept = c.loop.chunks.add(nil, p)
	if old != nil {
		c.kept = c.loop.chunks.add(c.kept, old.bytes())
		c.loop.chunks.put(old)
	}
}
