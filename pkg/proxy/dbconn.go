// SPDX-License-Identifier: Apache-2.0

package proxy

import (
	"crypto/tls"
	"errors"
	"io"

	"go.uber.org/zap"

	"github.com/rdsproxy/rdsproxy/pkg/netloop"
	"github.com/rdsproxy/rdsproxy/pkg/pool"
	"github.com/rdsproxy/rdsproxy/pkg/session/pgsession"
	wire "github.com/rdsproxy/rdsproxy/pkg/wire/postgres"
)

// dbConn is one database connection on its worker: the Handler of its socket
// and the Owner of the pool's entry.
type dbConn struct {
	target   *TargetGroup
	worker   *worker // where the socket lives
	conn     *netloop.Conn
	server   *pgsession.Server
	borrower *client // nil while idle or on its way
	entry    pool.Conn

	pid    uint32
	secret []byte
	tls    bool
	// closing: the pool was told, or has asked, to forget it.
	closing bool
	// serverPaused: not read because the borrower does not take what was read.
	serverPaused bool
}

var _ netloop.Handler = (*dbConn)(nil)

// attach puts the socket on w's loop; it runs there.
func (d *dbConn) attach(w *worker, t *netloop.Transport, tc *tls.Conn) error {
	conn, err := w.loop.Attach(t, tc, d)
	if err != nil {
		return err
	}
	d.worker, d.conn, d.entry.Loop = w, conn, w.id
	return nil
}

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
	if d.closing {
		d.worker.closed(d)
		return
	}
	if c := d.borrower; c != nil {
		c.db, d.borrower = nil, nil
		c.do(c.session.ServerGone)
		d.worker.release(d, false)
		return
	}
	if !errors.Is(err, io.EOF) {
		d.target.log.Debug("an idle database connection broke", zap.Error(err))
	}
	d.forgotten()
	w := d.worker
	acts := d.target.group.Lost(&d.entry, w.now(), w.buffer())
	w.carryOut(d.target, acts)
}

// shutdown says goodbye to the server and closes once it has done so too. It
// runs on the connection's loop.
func (d *dbConn) shutdown() {
	d.closing = true
	if d.conn == nil {
		d.worker.closed(d)
		return
	}
	d.conn.Write(terminateMessage)
	d.conn.ResumeRead()
	d.conn.CloseAfterFlush(flushLimit)
}

var terminateMessage = wire.AppendTerminate(nil)

// move brings the connection, which is borrowed for c, to c's loop. It may be
// called on any goroutine.
func (d *dbConn) move(c *client) {
	from, to := d.worker, c.worker
	from.loop.Post(func() {
		if d.conn == nil {
			to.loop.Post(func() { c.granted(d) })
			return
		}
		t, tc, rest, err := d.conn.Detach()
		if err != nil {
			d.conn.Close()
			d.conn = nil
			to.loop.Post(func() { c.granted(d) })
			return
		}
		d.conn = nil
		rest = append([]byte(nil), rest...)
		to.loop.Post(func() {
			if err := d.attach(to, t, tc); err != nil {
				_ = t.Close()
				d.worker = to
			} else if len(rest) > 0 {
				d.conn.Unread(rest)
			}
			c.granted(d)
		})
	})
}

// release gives a connection that nobody uses any more back to the pool.
func (w *worker) release(d *dbConn, reuse bool) {
	d.entry.Settings = settingsKey(d.server.Applied())
	acts := d.target.group.Release(&d.entry, reuse && d.conn != nil, w.now(), w.buffer())
	w.carryOut(d.target, acts)
}

// forgotten counts a connection off that is gone for good.
func (d *dbConn) forgotten() {
	if d.tls {
		d.tls = false
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
