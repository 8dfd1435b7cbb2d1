// SPDX-License-Identifier: Apache-2.0

package netloop

import "time"

// A driver moves bytes between the sockets and the loop. It is written in terms
// of what has happened (bytes came, bytes were taken) rather than of readiness,
// so that drivers of both kinds fit: those that are told that a socket is
// readable and then read (epoll), and those that are handed what was read
// (portable; io_uring with provided buffers).
//
// Only the loop goroutine calls it, except wake. While it works it tells the
// loop what happened by
//
//	l.received(c, p)     bytes came; p is the driver's again afterwards
//	l.readFailed(c, err) no more will come; io.EOF for an orderly end
//	l.sent(c)            unsent bytes have become fewer, outside of send
//	l.writeFailed(c, e)  the socket takes no more bytes
//	l.hungUp(c)          the peer has gone while reading is paused
//
// Bytes that arrive while reading is paused may be reported all the same; the
// loop keeps them. After each report the Conn may be closed.
type driver interface {
	// attach takes over the socket of t on behalf of c and starts to read. On
	// error t is as it was before.
	attach(c *Conn, t *Transport) error
	// detach gives the socket back to its Transport, for another loop. What was
	// read but not reported yet is returned, valid until the next call. It is
	// not called while unsent bytes exist.
	detach(c *Conn) ([]byte, error)
	// close closes the socket at once and reports nothing any more about c.
	close(c *Conn)

	// send offers c.out and behind it c.ref to the socket. When it returns, c.ref
	// is nil: what was not taken is in c.out or counted in c.inflight.
	send(c *Conn)
	// shutdown ends the outgoing direction. Everything has been sent.
	shutdown(c *Conn) error
	// resume is called when reading is wanted again after a pause.
	resume(c *Conn)
	// lastRead reports what can still be read of a socket that takes no more
	// bytes, and in the end, now or later, readFailed.
	lastRead(c *Conn)

	// wait reports what has happened, after waiting for it until d is over, for
	// ever if d < 0. It calls l.awake as soon as the waiting is over.
	wait(d time.Duration) error
	// wake makes wait return. It may be called from any goroutine, also too early,
	// but not after free.
	wake()
	// free releases what the driver itself holds. No Conn is left by then.
	free()
}
