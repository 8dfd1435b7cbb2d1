// SPDX-License-Identifier: Apache-2.0

package proxy

import (
	"context"
	"iter"
	"net"
	"net/netip"
	"os"
	"slices"
	"time"

	"go.uber.org/zap"

	"github.com/rdsproxy/rdsproxy/pkg/netloop"
	"github.com/rdsproxy/rdsproxy/pkg/proxy/login"
)

// arrival is a client that logs in: the net.Conn that its dialogue goes over.
//
// Where the loops can accept, the dialogue begins on the loop where the client is
// to live: a coroutine, which a read leaves until bytes have come. That spares a
// login the moves of its socket from poller to poller, a goroutine's wake-up for
// each message, and timers. What computes or waits for long has to leave the loop
// first (Leave): TLS, a token, a cancel request. Then the coroutine goes on as
// a goroutine, and the socket is in blocking mode. Elsewhere it is from the start.
type arrival struct {
	endpoint  *Endpoint
	worker    *worker // of the loop; nil in blocking mode from the start
	transport *netloop.Transport
	// conn is the connection on the loop; nil before, in blocking mode, and once it
	// is closed.
	conn *netloop.Conn
	// next runs the dialogue until it waits. It tells whether the dialogue wants to
	// leave the loop, and whether it goes on.
	next func() (leave, more bool)
	wait func(leave bool) bool // the other side of next
	// blocking: the socket belongs to the runtime, and the dialogue to a goroutine.
	blocking bool
	left     error // why Leave has failed
	// in is what came and used how much of it was read, within Data.
	in   []byte
	used int
	// ended is why nothing more will come.
	ended error
	// late: the deadline has passed.
	late  bool
	timer netloop.Timer
	index int // in worker.arrivals
	// over: the dialogue has ended. become makes the connection the client's, if it
	// has ended well on the loop; gone is called when the connection is closed.
	over   bool
	become func()
	gone   func()
}

var (
	_ netloop.Handler = (*arrival)(nil)
	_ login.OnLoop    = (*arrival)(nil)
)

// loginContext is the context of a login: it ends with the time for logins, but
// without a timer. Whoever waits for anything but the client has to take the
// deadline into account: see limited.
type loginContext struct {
	context.Context
	deadline time.Time
}

func (c *loginContext) Deadline() (time.Time, bool) { return c.deadline, true }

func (c *loginContext) Err() error {
	if err := c.Context.Err(); err != nil {
		return err
	}
	if time.Now().After(c.deadline) {
		return context.DeadlineExceeded
	}
	return nil
}

// limited is a context that ends at the deadline of the given one by itself.
func limited(ctx context.Context) (context.Context, context.CancelFunc) {
	if at, ok := ctx.Deadline(); ok {
		return context.WithDeadline(ctx, at)
	}
	return context.WithCancel(ctx)
}

// start begins the dialogue on the loop. It runs there.
func (a *arrival) start(s *Settings) {
	conn, err := a.worker.loop.Attach(a.transport, nil, a)
	if err != nil {
		a.endpoint.log.Warn("A client could not be moved to its event loop.", zap.Error(err))
		a.abandon()
		return
	}
	a.conn = conn
	a.timer.Init(a.interrupt)
	w := a.worker
	a.index = len(w.arrivals)
	w.arrivals = append(w.arrivals, a)
	a.next, _ = iter.Pull(func(wait func(bool) bool) {
		defer a.endpoint.proxy.logins.Done()
		a.wait = wait
		a.endpoint.login(a, s)
		a.over = true
	})
	a.run()
	if a.endpoint.proxy.mayLogIn.Err() != nil {
		a.interrupt()
	}
}

// abandon closes the socket of a client whose login was not begun.
func (a *arrival) abandon() {
	_ = a.transport.Close()
	a.endpoint.proxy.admitted.leave(false)
	a.endpoint.proxy.logins.Done()
}

// enter makes v a client: here, or on a loop; false if that has ended.
func (a *arrival) enter(v visitor, o *EndpointOptions, s *Settings) bool {
	w := a.worker
	if w == nil {
		w = a.endpoint.proxy.workerFor(-1)
	}
	c, tc, begin := v.client(a, w, o, s)
	if !a.blocking {
		a.become = func() { c.adopt(a.conn, tc, begin) }
		return true
	}
	if !w.loop.Post(func() { c.attach(a.transport, tc, begin) }) {
		a.endpoint.proxy.cancels.remove(c.pid)
		return false
	}
	return true
}

// run has the dialogue go on. It runs on the loop.
func (a *arrival) run() {
	leave, more := a.next()
	switch {
	case leave:
		a.depart()
	case more:
	default:
		a.forget()
		if a.become != nil {
			a.become()
		}
	}
}

// forget takes a off the worker's list.
func (a *arrival) forget() {
	a.timer.Stop()
	w := a.worker
	last := len(w.arrivals) - 1
	w.arrivals[a.index] = w.arrivals[last]
	w.arrivals[a.index].index = a.index
	w.arrivals[last] = nil
	w.arrivals = w.arrivals[:last]
}

// depart takes the dialogue off the loop. If that cannot be it goes on there, to
// its end.
func (a *arrival) depart() {
	if a.left = a.detach(); a.left != nil {
		a.run()
		return
	}
	a.blocking = true
	a.forget()
	go a.next()
}

// detach gives the socket back to the runtime, with what was not read in front.
func (a *arrival) detach() error {
	if a.conn == nil {
		return a.ended
	}
	unread := slices.Clone(a.in[a.used:])
	_, _, rest, err := a.conn.Detach()
	if err != nil {
		return err
	}
	a.conn = nil
	if a.ended = a.transport.Block(); a.ended != nil {
		_ = a.transport.Close()
		return a.ended
	}
	if unread = append(unread, rest...); len(unread) > 0 {
		a.transport.Unread(unread)
	}
	a.endpoint.setKeepAlive(a.transport)
	return nil
}

// Leave implements login.OnLoop.
func (a *arrival) Leave() (net.Conn, error) {
	if !a.blocking {
		a.wait(true)
	}
	return a.transport, a.left
}

// stream is what a dialogue goes over.
func (a *arrival) stream() net.Conn {
	if a.blocking {
		return a.transport
	}
	return a
}

// Data implements netloop.Handler.
func (a *arrival) Data(conn *netloop.Conn, p []byte) int {
	if a.over {
		return len(p)
	}
	a.in, a.used = p, 0
	a.run()
	n := a.used
	a.in, a.used = nil, 0
	if a.become != nil && n < len(p) && !conn.ReadPaused() {
		conn.ResumeRead() // the rest is the client's
	}
	return n
}

// Drained implements netloop.Handler.
func (*arrival) Drained(*netloop.Conn) {}

// Closed implements netloop.Handler.
func (a *arrival) Closed(_ *netloop.Conn, err error) {
	a.conn, a.ended = nil, err
	if !a.over {
		a.run()
	}
	if a.gone != nil {
		a.gone()
	}
}

// interrupt ends the dialogue's wait for the client, as a deadline in the past does.
func (a *arrival) interrupt() {
	if !a.over && !a.blocking {
		a.late = true
		a.run()
	}
}

// Read implements net.Conn.
func (a *arrival) Read(p []byte) (int, error) {
	for {
		switch {
		case a.blocking:
			return a.transport.Read(p)
		case a.late:
			return 0, os.ErrDeadlineExceeded
		case a.used < len(a.in):
			n := copy(p, a.in[a.used:])
			a.used += n
			return n, nil
		case a.ended != nil:
			return 0, a.ended
		}
		a.wait(false)
	}
}

// Write implements net.Conn. On the loop it never waits: a dialogue is short.
func (a *arrival) Write(p []byte) (int, error) {
	switch {
	case a.blocking:
		return a.transport.Write(p)
	case a.ended != nil:
		return 0, a.ended
	}
	a.conn.Write(p)
	return len(p), nil
}

// SetDeadline implements net.Conn. On the loop it is for reads.
func (a *arrival) SetDeadline(at time.Time) error {
	if a.blocking {
		return a.transport.SetDeadline(at)
	}
	a.late = false
	if at.IsZero() {
		a.timer.Stop()
		return nil
	}
	left := time.Until(at)
	if a.late = left <= 0; !a.late {
		a.worker.loop.Arm(&a.timer, left)
	}
	return nil
}

// SetReadDeadline implements net.Conn.
func (a *arrival) SetReadDeadline(at time.Time) error { return a.SetDeadline(at) }

// SetWriteDeadline implements net.Conn.
func (a *arrival) SetWriteDeadline(at time.Time) error {
	if a.blocking {
		return a.transport.SetWriteDeadline(at)
	}
	return nil
}

// LocalAddr implements net.Conn.
func (a *arrival) LocalAddr() net.Addr { return a.transport.LocalAddr() }

// RemoteAddr implements net.Conn.
func (a *arrival) RemoteAddr() net.Addr { return a.transport.RemoteAddr() }

// Close implements net.Conn. On the loop, what was written is sent first.
func (a *arrival) Close() error {
	switch {
	case a.blocking:
		return a.transport.Close()
	case a.conn == nil:
	case a.conn.Buffered() > 0:
		a.conn.CloseAfterFlush(farewellLimit)
	default:
		a.conn.Close()
	}
	return nil
}

// farewellLimit is how long a client whose login was refused may take to read why.
const farewellLimit = time.Second

// end closes the connection of a login that has come to nothing, and calls f when
// it is closed.
func (a *arrival) end(f func()) {
	_ = a.Close()
	if a.conn == nil {
		f()
		return
	}
	a.gone = f
}

// addrOf is where a client comes from.
func addrOf(a net.Addr) netip.Addr {
	if tcp, ok := a.(*net.TCPAddr); ok {
		return tcp.AddrPort().Addr().Unmap()
	}
	return netip.IPv6Loopback() // a Unix socket
}
