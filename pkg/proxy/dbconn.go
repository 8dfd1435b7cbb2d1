// SPDX-License-Identifier: Apache-2.0

package proxy

import (
	"crypto/tls"
	"errors"
	"io"
	"net"
	"time"

	"go.uber.org/zap"

	"github.com/rdsproxy/rdsproxy/pkg/netloop"
	"github.com/rdsproxy/rdsproxy/pkg/pool"
)

// dbConn is one database connection on its worker: the Handler of its socket
// and the Owner of the pool's entry.
type dbConn struct {
	target *TargetGroup
	// opts are those that it was opened with: they lead to its server.
	opts     *TargetOptions
	era      *era
	born     birth
	worker   *worker // where the socket lives
	conn     *netloop.Conn
	server   server
	shared   *poolShared
	borrower *client // nil while idle or on its way
	// heir is the client on another loop that waits for this connection to leave
	// this one.
	heir  *client
	entry pool.Conn

	pid    uint32
	secret []byte
	tls    bool
	// counted: it is one of the open connections.
	counted bool
	// closing: the pool was told, or has asked, to forget it.
	closing bool
	// unclear: a cancel request for it may be on its way, so nobody else gets it.
	unclear bool
	// serverPaused: not read because the borrower does not take what was read.
	serverPaused bool
}

var _ netloop.Handler = (*dbConn)(nil)

// attach puts the socket on the loop of d.worker, where it runs.
func (d *dbConn) attach(t *netloop.Transport, tc *tls.Conn) error {
	conn, err := d.worker.loop.Attach(t, tc, d)
	if err != nil {
		return err
	}
	d.conn, d.entry.Loop = conn, d.worker.id
	return nil
}

// alive tells whether the connection can be used, on its own loop.
func (d *dbConn) alive() bool { return d.conn != nil && !d.conn.Gone() && !d.outdated() }

// Data implements netloop.Handler. What is left when a borrower has given the
// connection back belongs to the next one, who may have it already.
func (d *dbConn) Data(_ *netloop.Conn, p []byte) int {
	used := 0
	for used < len(p) && !d.over() {
		c := d.borrower
		if c == nil {
			n, ok := d.server.IdleData(p[used:])
			if !ok {
				d.breakOff()
				return len(p)
			}
			return used + n
		}
		used += c.serverData(d, p[used:])
		if d.borrower == c {
			return used
		}
	}
	if d.over() {
		return len(p)
	}
	return used
}

// over tells that nobody will use what the server says from now on.
func (d *dbConn) over() bool { return d.closing || d.conn.Gone() }

// breakOff closes the connection at once; Closed tells whoever has it, or else
// the pool.
func (d *dbConn) breakOff() {
	if d.conn != nil && !d.closing {
		d.conn.Close()
	}
}

// Drained implements netloop.Handler: the server takes bytes again.
func (d *dbConn) Drained(*netloop.Conn) {
	if d.borrower != nil {
		d.borrower.resumeRead(pausedByServer)
	}
}

// Closed implements netloop.Handler.
func (d *dbConn) Closed(_ *netloop.Conn, err error) {
	d.conn = nil
	w := d.worker
	if !d.closing && !d.outdated() && !errors.Is(err, net.ErrClosed) {
		d.opts.suspect("a connection broke")
	}
	switch c := d.borrower; {
	case d.closing:
		w.closed(d)
	case c != nil:
		c.db, d.borrower = nil, nil
		c.hasRead()
		c.do(c.session.ServerGone)
		if !c.crashed && !c.session.Closed() {
			c.outlived()
		}
		w.release(d, false)
	case d.heir != nil:
		d.handOver()
	default:
		if !errors.Is(err, io.EOF) {
			d.target.log.Debug("an idle database connection broke", zap.Error(err))
		}
		d.forgotten()
		acts := d.target.group.Lost(&d.entry, w.now(), w.buffer())
		w.carryOut(d.target, acts)
	}
}

// shutdown says goodbye to the server and closes once it has done so too. It
// runs on the connection's loop.
func (d *dbConn) shutdown() {
	d.closing = true
	if d.conn == nil {
		d.worker.closed(d)
		return
	}
	if d.outdated() || d.era.silent.Load() {
		// Its server may be gone without a word, and the slot is wanted now.
		d.conn.Close()
		return
	}
	d.conn.Write(d.target.engine.goodbye())
	d.conn.ResumeRead()
	d.conn.CloseAfterFlush(flushLimit)
}

// unsentRetry is how long a connection waits that cannot move because the kernel
// has not taken all of its bytes, and unsentTries how often.
const (
	unsentRetry = time.Millisecond
	unsentTries = int(flushLimit / unsentRetry)
)

// move brings the connection, which is borrowed for c, to c's loop. It may be
// called on any goroutine. Should the connection end on the way, c is granted a
// dead one.
func (d *dbConn) move(c *client) {
	d.worker.loop.Post(func() {
		d.heir = c
		d.leave(unsentTries)
	})
}

// leave takes the connection off its loop, where it runs.
func (d *dbConn) leave(tries int) {
	if d.conn == nil {
		d.handOver()
		return
	}
	t, tc, rest, err := d.conn.Detach()
	switch {
	case err == nil:
		d.conn = nil
		d.travel(t, tc, rest)
	case errors.Is(err, netloop.ErrUnsent) && tries > 0:
		c, timer := d.heir, new(netloop.Timer)
		timer.Init(func() {
			if d.heir == c {
				d.leave(tries - 1)
			}
		})
		d.worker.loop.Arm(timer, unsentRetry)
	default:
		d.conn.Close() // Closed hands over what is left
	}
}

// travel puts the socket on the loop of the heir.
func (d *dbConn) travel(t *netloop.Transport, tc *tls.Conn, rest []byte) {
	c := d.heir
	d.heir = nil
	there := c.worker.loop.Post(func() {
		d.worker = c.worker
		if err := d.attach(t, tc); err != nil {
			d.target.log.Warn("a database connection could not be moved to another event loop", zap.Error(err))
			_ = t.Close()
		} else if len(rest) > 0 {
			d.conn.Unread(rest)
		}
		c.granted(d)
	})
	if !there {
		_ = t.Close()
	}
}

// handOver gives the heir a connection that has ended. It stays the business of
// the loop that it was on.
func (d *dbConn) handOver() {
	c := d.heir
	d.heir = nil
	c.worker.loop.Post(func() { c.granted(d) })
}

// release gives a connection that nobody uses any more back to the pool.
func (w *worker) release(d *dbConn, reuse bool) {
	d.entry.Settings = d.server.Key()
	acts := d.target.group.Release(&d.entry, reuse && !d.unclear, w.now(), w.buffer())
	w.carryOut(d.target, acts)
}

// opened counts a connection whose server is to be told goodbye.
func (d *dbConn) opened() {
	d.counted = true
	d.target.proxy.databases.enter()
	if d.tls {
		d.target.openTLS.Add(1)
	}
}

// forgotten counts it off when it is gone for good.
func (d *dbConn) forgotten() {
	if !d.counted {
		return
	}
	d.counted = false
	d.target.proxy.databases.leave()
	if d.tls {
		d.target.openTLS.Add(-1)
	}
}

// closed tells the pool that the server has let go of a connection.
func (w *worker) closed(d *dbConn) {
	d.forgotten()
	acts := d.target.group.Closed(&d.entry, w.now(), w.buffer())
	w.carryOut(d.target, acts)
}

// carryOut does what the pool asks for. The buffer that acts are in goes back
// to the worker.
func (w *worker) carryOut(t *TargetGroup, acts []pool.Action) {
	for i := range acts {
		t.carryOut(&acts[i], w)
	}
	w.done(acts)
}
