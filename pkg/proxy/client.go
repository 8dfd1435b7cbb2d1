// SPDX-License-Identifier: Apache-2.0

package proxy

import (
	"cmp"
	"crypto/tls"
	"runtime/debug"
	"time"

	"go.uber.org/zap"

	"github.com/rdsproxy/rdsproxy/pkg/netloop"
	"github.com/rdsproxy/rdsproxy/pkg/pool"
	"github.com/rdsproxy/rdsproxy/pkg/session"
)

// flushLimit bounds the time to send the last bytes to a peer, and to wait for
// it to close its side.
const flushLimit = 5 * time.Second

// client is one client connection on its worker: the Handler of its socket and,
// but for what differs between engines, the Host of its session.
type client struct {
	worker   *worker
	endpoint *Endpoint
	readers  *Readers // nil at a read-write endpoint
	target   *TargetGroup
	pool     *pool.Pool
	conn     *netloop.Conn // nil once closed
	db       *dbConn       // nil while none is borrowed
	session  machine
	driver   driver // of session
	shared   *poolShared
	waiter   pool.Waiter
	timer    netloop.Timer

	lastActive time.Duration
	// lastRead is when it last had a connection of a reader; 0: never.
	lastRead time.Duration
	// pid and secret are the client's cancel key, which does not change.
	pid    uint32
	secret []byte
	index  int32 // in worker.clients
	// orphans counts grants on their way here whose wait was given up.
	orphans int32
	// cancelling counts the cancel requests on their way to the database.
	cancelling uint8
	paused     pause
	crashed    bool
	ending     bool // the client is being told goodbye
	// interrupted: its database connection was lost, and it was not told anything since.
	interrupted bool
	tls         uint8 // 1 with TLS
	closing     CloseReason
	// pinned is the reason that pinned the session first, plus one; 0: none.
	pinned uint8
}

// pause says who does not want the client's bytes now. They flow only when
// nobody objects.
type pause uint8

const (
	pausedBySession pause = 1 << iota
	pausedByServer        // which does not take what it was sent
	pausedByClient        // which does not take what the proxy answers itself
)

// mostAnswers is how many bytes a client may leave unread before it is not read
// either. What comes from a database is stopped earlier, at netloop.HighWater, so
// that a client which does not read it can still say goodbye.
const mostAnswers = 4 * netloop.HighWater

var (
	_ netloop.Handler       = (*client)(nil)
	_ netloop.HangupHandler = (*client)(nil)
	_ session.Host          = (*client)(nil)
)

// attach moves a logged-in client to its loop and starts the session, which begin
// makes. It runs on the worker's loop.
func (c *client) attach(t *netloop.Transport, tc *tls.Conn, begin func()) {
	conn, err := c.worker.loop.Attach(t, tc, c)
	if err != nil {
		c.worker.proxy.log.Warn("a client could not be moved to its event loop", zap.Error(err))
		_ = t.Close()
		c.gone()
		return
	}
	c.adopt(conn, tc, begin)
}

// adopt makes conn, which is on the worker's loop, the client's own, and starts the
// session. It runs there.
func (c *client) adopt(conn *netloop.Conn, tc *tls.Conn, begin func()) {
	conn.SetHandler(c)
	c.lastActive = c.worker.loop.Now()
	c.conn = conn
	if tc != nil {
		c.tls = 1
	}
	c.waiter.Owner = c
	c.waiter.Loop = c.worker.id
	c.timer.Init(c.timeUp)
	c.worker.add(c)
	c.counts().open[c.tls]++
	c.worker.proxy.cancels.add(c)
	c.do(func() {
		begin()
		if c.worker.proxy.draining.Load() {
			c.end(ClosedDrain)
			return
		}
		c.session.Start()
	})
}

// gone frees the client's place and its cancel key.
func (c *client) gone() {
	c.worker.proxy.cancels.remove(c.pid)
	c.worker.proxy.admitted.leave(true)
}

// end ends the session, telling the client why.
func (c *client) end(reason CloseReason) {
	c.closing = reason
	c.driver.finish(reason)
}

func (c *client) counts() *endpointCounts { return c.worker.counts.endpoint(c.endpoint.index) }

// Data implements netloop.Handler.
func (c *client) Data(_ *netloop.Conn, p []byte) (n int) {
	defer c.rescue()
	c.lastActive = c.worker.loop.Now()
	n = c.session.ClientData(p)
	if c.db != nil && c.db.conn.OverHighWater() {
		c.pauseRead(pausedByServer)
	}
	if c.conn != nil && c.conn.OverHighWater() && c.conn.Buffered() > mostAnswers {
		c.pauseRead(pausedByClient)
	}
	return n
}

// serverData gives the session what db has read. After a panic nobody knows how
// much of it was used, so whoever has db by now must lose it too.
func (c *client) serverData(db *dbConn, p []byte) (n int) {
	defer func() {
		if v := recover(); v != nil {
			c.crash(v)
			db.breakOff()
		}
	}()
	return c.session.ServerData(p)
}

// Drained implements netloop.Handler: the client takes bytes again.
func (c *client) Drained(*netloop.Conn) {
	c.resumeServer()
	c.resumeRead(pausedByClient)
}

// resumeServer lets the database's bytes flow again after the client was too
// slow for them.
func (c *client) resumeServer() {
	if c.db != nil && c.db.serverPaused {
		c.db.serverPaused = false
		c.db.conn.ResumeRead()
	}
}

// Hangup implements netloop.HangupHandler: the client has gone while it was
// paused. One that waits for a connection does not need it any more.
func (c *client) Hangup(*netloop.Conn) {
	if c.session.Waiting() {
		c.conn.Close()
	}
}

// Closed implements netloop.Handler.
func (c *client) Closed(*netloop.Conn, error) {
	c.conn = nil
	c.resumeServer()
	c.worker.remove(c)
	c.counts().open[c.tls]--
	c.counts().closed[c.closing]++
	c.settleLoss(cutOff)
	c.leaveReader()
	c.unpinned()
	c.gone()
	c.do(c.session.ClientGone)
}

// ToClient implements session.Host.
func (c *client) ToClient(p []byte) {
	if c.conn == nil || c.ending {
		return
	}
	c.lastActive = c.worker.loop.Now() // a client that is being served is not idle
	if c.interrupted {
		c.settleLoss(interruptionBy(c.target.engine.errorState(p)))
	}
	c.conn.Write(p)
	if c.db != nil && !c.db.serverPaused && c.conn.OverHighWater() {
		c.db.serverPaused = true
		c.db.conn.PauseRead()
	}
}

// ToServer implements session.Host.
func (c *client) ToServer(p []byte) { c.db.conn.Write(p) }

// borrow asks for a connection where these settings are in force, best of all.
// nil means later.
func (c *client) borrow(settings any) server {
	w := c.worker
	c.waiter.Settings = settings
	if c.readers != nil {
		c.aim()
	}
	for {
		pc, acts := c.target.group.Borrow(c.pool, &c.waiter, w.now(), w.buffer())
		w.carryOut(c.target, acts)
		if pc == nil {
			return nil
		}
		db := pc.Owner.(*dbConn)
		switch {
		case db.worker != w:
			db.move(c)
			return nil
		case db.alive():
			c.take(db)
			return db.server
		}
		// It has ended, and the pool does not know yet.
		w.release(db, false)
		c.waiter.Again = true
	}
}

// take makes db the client's own.
func (c *client) take(db *dbConn) {
	c.db = db
	db.borrower = c
	c.outlived()
}

// outlived notes that the client has not been closed though its database connection
// has ended.
func (c *client) outlived() {
	if c.closing == ClosedServerLost {
		c.closing = ClosedByClient
	}
}

// granted hands the client the connection that it waited for. The connection
// lives on the client's loop, or has ended.
func (c *client) granted(db *dbConn) {
	alive := db.worker == c.worker && db.alive()
	if c.orphans > 0 || c.crashed || !c.session.Waiting() {
		c.orphans = max(0, c.orphans-1)
		c.worker.release(db, alive)
		return
	}
	if !alive {
		// It has ended on its way. The session goes on waiting, in front.
		c.worker.release(db, false)
		c.borrowAgain()
		return
	}
	c.take(db)
	c.do(func() { c.driver.grant(db.server) })
}

// borrowAgain asks once more for a session whose connection died before use.
func (c *client) borrowAgain() {
	c.waiter.Again = true
	if srv := c.borrow(c.driver.wants()); srv != nil {
		c.do(func() { c.driver.grant(srv) })
	}
}

// do runs f, which calls the session, so that a panic costs this client only.
func (c *client) do(f func()) {
	if c.crashed {
		return
	}
	defer c.rescue()
	f()
}

// rescue is deferred around calls of the session.
func (c *client) rescue() {
	if v := recover(); v != nil {
		c.crash(v)
	}
}

// crash throws away what a session with a defect holds. The session may be in
// any state, so nothing of it is used again.
func (c *client) crash(v any) {
	c.worker.proxy.panicked(panicInSession, v, debug.Stack())
	c.crashed = true
	c.closing = ClosedPanic
	c.timer.Stop()
	if c.db != nil {
		c.Release(false)
	} else {
		c.CancelBorrow()
	}
	if c.conn != nil {
		c.conn.Close()
	}
}

// refused tells the session that it gets no connection.
func (c *client) refused(err error) {
	if c.orphans > 0 || c.crashed || !c.session.Waiting() {
		c.orphans = max(0, c.orphans-1)
		return
	}
	c.do(func() { c.driver.deny(err) })
}

// CancelBorrow implements session.Host.
func (c *client) CancelBorrow() {
	w := c.worker
	still, acts := c.target.group.Cancel(&c.waiter, w.now(), w.buffer())
	w.carryOut(c.target, acts)
	if !still {
		c.orphans++
	}
}

// Release implements session.Host.
func (c *client) Release(reuse bool) {
	db := c.db
	c.resumeServer()
	c.db = nil
	c.hasRead()
	db.borrower = nil
	c.resumeRead(pausedByServer)
	c.worker.release(db, reuse)
}

// PauseClient implements session.Host.
func (c *client) PauseClient() { c.pauseRead(pausedBySession) }

func (c *client) pauseRead(why pause) {
	c.paused |= why
	if c.conn != nil {
		c.conn.PauseRead()
	}
}

// ResumeClient implements session.Host.
func (c *client) ResumeClient() { c.resumeRead(pausedBySession) }

func (c *client) resumeRead(why pause) {
	c.paused &^= why
	if c.conn != nil && c.paused == 0 {
		c.conn.ResumeRead()
	}
}

// CloseClient implements session.Host. What the database still says is for
// nobody, but it has to be read for the connection to become free.
func (c *client) CloseClient() {
	c.ending = true
	switch {
	case c.conn == nil:
	case c.closing == ClosedByClient && c.tls == 0 && c.conn.Buffered() == 0:
		c.conn.Close() // it has said goodbye, and been told everything
	default:
		c.conn.CloseAfterFlush(flushLimit)
	}
	c.resumeServer()
}

// SetTimer implements session.Host. A wait for a connection ends by what is
// configured now rather than at the client's login.
func (c *client) SetTimer(d time.Duration) {
	if d <= 0 {
		c.timer.Stop()
		return
	}
	if c.session.Waiting() {
		d = c.target.borrowTimeout()
	}
	c.worker.loop.Arm(&c.timer, d)
}

func (c *client) timeUp() { c.do(c.session.TimeUp) }

// Now implements session.Host.
func (c *client) Now() time.Duration { return c.worker.loop.Now() }

// Pinned implements session.Host.
func (c *client) Pinned(reasons session.Pins) {
	counts := c.worker.counts.target(c.target.index)
	reasons.Each(func(i int) {
		counts.pins[i]++
		if c.pinned == 0 && c.conn != nil { // else nobody would count it off
			c.pinned = uint8(i + 1) //nolint:gosec // one of some twenty reasons
			counts.pinned[i]++
		}
	})
	c.worker.proxy.log.Info("The client session was pinned to the database connection.",
		zap.Uint32("client_connection", c.pid), zap.Stringer("reason", reasons))
}

// Unpinned implements session.Host.
func (c *client) Unpinned() {
	c.worker.counts.target(c.target.index).unpins++
	c.unpinned()
}

func (c *client) unpinned() {
	if c.pinned != 0 {
		c.worker.counts.target(c.target.index).pinned[c.pinned-1]--
		c.pinned = 0
	}
}

// Served implements session.Host.
func (c *client) Served(w session.Work) { c.counts().served(int(c.tls), w) }

// Note implements session.Host.
func (c *client) Note(e session.Event, detail string) {
	log := c.worker.proxy.log
	fields := []zap.Field{zap.Uint32("client_connection", c.pid), zap.String("detail", detail)}
	switch e {
	case session.EventClientProtocol:
		c.closing = ClosedClientProtocol
		log.Warn("The client connection closed. Reason: the client broke the protocol.", fields...)
	case session.EventServerProtocol:
		c.closing = ClosedServerProtocol
		log.Error("The client connection closed. Reason: the database's replies do not fit what was asked.", fields...)
	case session.EventServerLost:
		c.closing = ClosedServerLost
		c.lostServer()
		log.Warn("The database connection ended while a client was using it.", fields...)
	case session.EventReplayFailed:
		log.Warn("The session's settings could not be applied to a database connection.", fields...)
	case session.EventBorrowTimeout:
		c.counts().borrowTimeouts++
		err := cmp.Or(c.target.NoWriter(), c.target.group.LastDialError(c.pool))
		log.Warn("Timed-out waiting to acquire database connection.", append(fields, zap.NamedError("last_dial_error", err))...)
	case session.EventCleanupFailed:
		log.Warn("A database connection could not be cleaned after its client, and is closed.", fields...)
	case session.EventWriteHeld:
		c.lostServer()
		log.Info("The database refused a write because it is read-only. It is sent again when there is a writer.", fields...)
	case session.EventReadOnly:
		if c.db != nil && c.readers == nil {
			c.db.opts.suspect("it refuses to write")
		}
	}
}

// mayTimeOut tells whether silence ends the session: not while the client waits
// for the proxy or for the database.
func (c *client) mayTimeOut() bool { return c.session.AwaitsClient() }
