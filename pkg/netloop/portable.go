// SPDX-License-Identifier: Apache-2.0

package netloop

import (
	"errors"
	"io"
	"net"
	"os"
	"sync"
	"time"
)

// portableReadSize is the size of the read buffer of a connection.
const portableReadSize = 32 << 10

// lastReadLimit is how long a connection that takes no more bytes is read.
const lastReadLimit = 100 * time.Millisecond

// portable is the driver for every platform and any net.Conn. A goroutine per
// connection reads, and posts what it has read; it reads again when that has
// been dealt with, unless reading is paused. Another goroutine writes while there
// is something to write.
type portable struct {
	loop  *Loop
	woken chan struct{}
	timer *time.Timer
	wg    sync.WaitGroup // readers and writers
}

// portConn is the portable driver's side of a Conn.
type portConn struct {
	nc      net.Conn
	want    chan struct{} // a token lets the reader read once
	quit    chan struct{} // closed to end the reader
	done    chan struct{} // closed when the reader has ended
	reading bool          // the reader has its token; loop goroutine
	writing bool          // a writer is under way; loop goroutine

	// Handed from the reader to the loop with the post, and back with the token.
	buf  []byte
	n    int
	err  error
	full bool // n and err have not been dealt with
}

func newPortable(l *Loop) driver {
	return &portable{loop: l, woken: make(chan struct{}, 1), timer: time.NewTimer(time.Hour)}
}

func (d *portable) free() {
	d.timer.Stop()
	d.wg.Wait()
}

func (d *portable) wake() {
	select {
	case d.woken <- struct{}{}:
	default:
	}
}

func (d *portable) wait(limit time.Duration) error {
	defer d.loop.awake()
	if limit < 0 {
		<-d.woken
		return nil
	}
	d.timer.Reset(limit)
	select {
	case <-d.woken:
	case <-d.timer.C:
	}
	return nil
}

func (d *portable) attach(c *Conn, t *Transport) error {
	if t.nc == nil {
		return errors.New("the transport comes from a loop with another driver")
	}
	if err := t.nc.SetDeadline(time.Time{}); err != nil {
		return err
	}
	p := &portConn{
		nc:   t.nc,
		want: make(chan struct{}, 1),
		quit: make(chan struct{}),
		done: make(chan struct{}),
		buf:  make([]byte, portableReadSize),
	}
	c.port = p
	d.wg.Go(func() { d.reader(c, p) })
	d.next(c)
	return nil
}

// next lets the reader read once more, unless it does already or nobody wants it.
func (d *portable) next(c *Conn) {
	if !c.readable() {
		return
	}
	if p := c.port; !p.reading && p.err == nil {
		p.reading = true
		p.want <- struct{}{}
	}
}

func (d *portable) reader(c *Conn, p *portConn) {
	defer close(p.done)
	came := func() { d.came(c, p) }
	for {
		select {
		case <-p.want:
		case <-p.quit:
			return
		}
		p.n, p.err = p.nc.Read(p.buf)
		p.full = true
		if !d.loop.Post(came) {
			return
		}
	}
}

// came reports what the reader has read.
func (d *portable) came(c *Conn, p *portConn) {
	if c.isGone() || c.port != p {
		return // p belongs to whoever closed or detached it
	}
	p.reading, p.full = false, false
	err := p.err
	if p.n > 0 {
		d.loop.received(c, p.buf[:p.n])
	}
	if err != nil {
		if c.flags&flagBroken != 0 && errors.Is(err, os.ErrDeadlineExceeded) {
			err = io.EOF
		}
		d.loop.readFailed(c, err)
		return
	}
	d.next(c)
}

func (d *portable) resume(c *Conn) { d.next(c) }

func (d *portable) send(c *Conn) {
	c.spill()
	p := c.port
	if p.writing || c.out == nil {
		return
	}
	k := c.out
	c.out, c.inflight = nil, k.size()
	p.writing = true
	d.wg.Go(func() {
		_, err := p.nc.Write(k.bytes())
		d.loop.Post(func() { d.wrote(c, p, k, err) })
	})
}

// wrote notes that a write is over.
func (d *portable) wrote(c *Conn, p *portConn, k *chunk, err error) {
	d.loop.chunks.put(k)
	p.writing = false
	if c.isGone() {
		return
	}
	c.inflight = 0
	if err != nil {
		d.loop.writeFailed(c, err)
		d.loop.settle()
		return
	}
	if c.out != nil {
		d.send(c)
	}
	d.loop.sent(c)
}

func (d *portable) shutdown(c *Conn) error {
	if h, ok := c.port.nc.(interface{ CloseWrite() error }); ok {
		return h.CloseWrite()
	}
	return errors.ErrUnsupported // as with net.Pipe
}

func (d *portable) lastRead(c *Conn) {
	// The reader goes on until the peer's bytes end or the time is over.
	if err := c.port.nc.SetReadDeadline(time.Now().Add(lastReadLimit)); err != nil {
		d.loop.readFailed(c, err)
	}
}

func (d *portable) close(c *Conn) {
	close(c.port.quit)
	_ = c.port.nc.Close()
}

func (d *portable) detach(c *Conn) ([]byte, error) {
	p := c.port
	if p.writing {
		return nil, ErrUnsent
	}
	if err := p.nc.SetReadDeadline(time.Unix(1, 0)); err != nil {
		return nil, err
	}
	close(p.quit)
	<-p.done
	if err := p.nc.SetReadDeadline(time.Time{}); err != nil {
		return nil, err
	}
	c.port = nil
	if !p.full {
		return nil, nil
	}
	return p.buf[:p.n], nil
}
