// SPDX-License-Identifier: Apache-2.0

package netloop

import (
	"crypto/tls"
	"errors"
)

// maxRecord is the most plain bytes that go into one TLS record. libpq in its
// asynchronous mode reads 8 KiB at a time and then waits for the socket although
// the rest of a larger record is already decrypted.
const maxRecord = 8 << 10

// maxControl bounds the bytes that TLS itself sends in answer to what it reads
// (key updates, alerts) while the peer takes nothing.
const maxControl = 16 << 10

// plainSize is the size of the loop's buffer for decrypted bytes. It takes what
// one read of the socket can hold.
const plainSize = readSize

var errControlFlood = errors.New("netloop: peer makes TLS answer and does not read")

// tlsState is the TLS side of a Conn. crypto/tls reads and writes through the
// Transport, which in loop mode ends here: it reads the bytes in `in` and is told
// to come back later when there are none; what it writes goes to Conn.out.
type tlsState struct {
	conn  *tls.Conn
	stage *chunk // plain bytes to be encrypted at the end of the event
	in    []byte // received bytes that TLS has not read, during pump
	raw   *chunk // the same between two pumps
	inErr error  // what follows behind in: io.EOF or an error

	control int  // bytes written while reading since out was last empty
	reading bool // within pump
	more    bool // TLS may have more to give although nothing new is received
	ended   bool // close_notify has been written
}

// wouldBlock is how a Transport in loop mode says that there are no bytes now.
// crypto/tls takes a temporary error as an invitation to try again later and
// keeps its place even within a record.
type wouldBlock struct{}

func (wouldBlock) Error() string   { return "netloop: no bytes now" }
func (wouldBlock) Timeout() bool   { return true }
func (wouldBlock) Temporary() bool { return true }

// read is Transport.Read in loop mode.
func (s *tlsState) read(p []byte) (int, error) {
	if len(s.in) == 0 {
		if s.inErr != nil {
			return 0, s.inErr
		}
		return 0, wouldBlock{}
	}
	n := copy(p, s.in)
	s.in = s.in[n:]
	return n, nil
}

// write is Transport.Write in loop mode.
func (c *Conn) writeRecord(p []byte) (int, error) {
	if s := c.tls; s.reading {
		s.control += len(p)
		if s.control > maxControl {
			return 0, errControlFlood
		}
		c.makeDirty()
	}
	c.out = c.loop.chunks.add(c.out, p)
	return len(p), nil
}

// pump decrypts what has come, p being behind what is left from before, and
// gives it to the Handler until there is nothing more or the Handler pauses.
func (l *Loop) pump(c *Conn, p []byte) {
	s := c.tls
	if s.raw != nil {
		s.raw = l.chunks.add(s.raw, p)
		p = s.raw.bytes()
	}
	s.in = p
	s.more = true
	var end error
	for s.more && c.inTurn() {
		if l.plain == nil {
			l.plain = make([]byte, plainSize)
		}
		n, err := c.decrypt(l.plain)
		s.more = err == nil
		if n > 0 {
			l.deliver(c, l.plain[:n])
		}
		if err != nil && !errors.Is(err, wouldBlock{}) {
			end = err
		}
	}
	if c.isGone() {
		return
	}
	c.keepRaw()
	switch {
	case s.raw.size() > l.opts.MaxUnconsumed:
		c.fail(ErrUnconsumed)
	case end == nil:
	case c.inTurn():
		c.flush() // an alert may have been written
		c.fail(end)
	default:
		s.more = true // crypto/tls gives the error again
	}
	l.settle()
}

// decrypt fills p as far as possible. It returns an error if that is not in
// whole: wouldBlock or the end of the connection.
func (c *Conn) decrypt(p []byte) (n int, err error) {
	s := c.tls
	if c.out == nil {
		s.control = 0
	}
	s.reading = true
	for n < len(p) && err == nil {
		var m int
		m, err = s.conn.Read(p[n:])
		n += m
	}
	s.reading = false
	return n, err
}

// keepRaw keeps the received bytes that TLS has not read.
func (c *Conn) keepRaw() {
	s, pool := c.tls, &c.loop.chunks
	switch {
	case s.raw == nil:
		s.raw = pool.add(nil, s.in)
	case len(s.in) == 0:
		pool.put(s.raw)
		s.raw = nil
	default:
		s.raw.consume(s.raw.size() - len(s.in))
	}
	s.in = nil
}

// spillPlain copies what is referred to behind the bytes to be encrypted.
func (c *Conn) spillPlain() {
	if len(c.ref) > 0 {
		c.tls.stage = c.loop.chunks.add(c.tls.stage, c.ref)
		c.ref = nil
	}
}

// encrypt moves the plain bytes that were written to c.out.
func (c *Conn) encrypt() error {
	s := c.tls
	if s.stage != nil {
		err := c.encryptBytes(s.stage.bytes())
		c.loop.chunks.put(s.stage)
		s.stage = nil
		if err != nil {
			return err
		}
	}
	if c.ref != nil {
		err := c.encryptBytes(c.ref)
		c.ref = nil
		if err != nil {
			return err
		}
	}
	if c.flags&flagEndWrite != 0 && !s.ended {
		s.ended = true
		return s.conn.CloseWrite()
	}
	return nil
}

func (c *Conn) encryptBytes(p []byte) error {
	for len(p) > 0 {
		n := min(len(p), maxRecord)
		if _, err := c.tls.conn.Write(p[:n]); err != nil {
			return err
		}
		p = p[n:]
	}
	return nil
}
