// SPDX-License-Identifier: Apache-2.0

package proxy

import (
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"go.uber.org/zap"

	"github.com/rdsproxy/rdsproxy/pkg/netloop"
	"github.com/rdsproxy/rdsproxy/pkg/pool"
)

// sweepEvery is how often a worker looks for clients that were idle for longer
// than limit: nobody minds an eighth more, and there may be very many to look at.
func sweepEvery(limit time.Duration) time.Duration {
	const least, most = 100 * time.Millisecond, 10 * time.Second
	if limit <= 0 {
		return most // there may be a limit by then
	}
	return min(max(limit/8, least), most)
}

// worker is one event loop and what lives on it.
type worker struct {
	proxy *Proxy
	loop  *netloop.Loop
	id    int
	// offset turns the loop's clock into the proxy's.
	offset time.Duration

	clients []*client
	// arrivals are those who log in on the loop.
	arrivals []*arrival
	counts   workerCounts
	copied   atomic.Pointer[workerCounts] // a copy of counts, for others
	sweep    netloop.Timer
	// actions is a buffer for what the pool asks to be done.
	actions []pool.Action
	// cancelled is to be closed when the cancel request that is being carried out
	// has had its effect; nil when there is none, or somebody has taken it on.
	cancelled chan struct{}
	// granting counts the grants that are carried out now, one within another: a
	// session may give its connection back at once, to one that does the same.
	granting int
}

// maxGranting bounds that recursion; further grants wait for the next turn.
const maxGranting = 8

func newWorker(p *Proxy, id int) (*worker, error) {
	w := &worker{proxy: p, id: id}
	loop, err := netloop.New(netloop.Options{
		ID: id, Driver: p.opts.Driver,
		OnPanic: func(_ *netloop.Conn, value any, stack []byte) {
			p.panicked(panicInSession, value, stack)
		},
	})
	if err != nil {
		return nil, err
	}
	w.loop = loop
	w.sweep.Init(w.sweepIdle)
	return w, nil
}

// start runs the loop until stop. wg is done when it has ended.
func (w *worker) start(wg *sync.WaitGroup) {
	w.loop.Post(func() {
		w.offset = w.proxy.now() - w.loop.Now()
		w.sweepIdle()
	})
	wg.Go(func() {
		if err := w.loop.Run(); err != nil {
			w.proxy.log.Error("event loop failed", zap.Int("loop", w.id), zap.Error(err))
		}
	})
}

// now is the proxy's clock, as of the beginning of the loop's turn.
func (w *worker) now() time.Duration { return w.loop.Now() + w.offset }

// buffer lends the action buffer; the caller gives it back with done.
func (w *worker) buffer() []pool.Action {
	b := w.actions[:0]
	w.actions = nil
	return b
}

func (w *worker) done(b []pool.Action) {
	clear(b)
	w.actions = b
}

func (w *worker) add(c *client) {
	c.index = int32(len(w.clients)) //nolint:gosec // bounded by the number of descriptors, which are of this type
	w.clients = append(w.clients, c)
}

func (w *worker) remove(c *client) {
	last := len(w.clients) - 1
	w.clients[c.index] = w.clients[last]
	w.clients[c.index].index = c.index
	w.clients[last] = nil
	w.clients = w.clients[:last]
}

// endLogins ends the logins that are under way on the loop.
func (w *worker) endLogins() {
	for _, a := range slices.Clone(w.arrivals) {
		a.interrupt()
	}
}

// sweepIdle ends sessions that were silent for too long.
func (w *worker) sweepIdle() {
	limit := w.proxy.settings.Load().IdleClientTimeout
	w.loop.Arm(&w.sweep, sweepEvery(limit))
	if limit <= 0 {
		return
	}
	now := w.loop.Now()
	for i, v := range slices.Backward(w.clients) {
		if i >= len(w.clients) {
			continue // several have gone at once
		}
		c := v
		if c.conn == nil || now-c.lastActive < limit || !c.mayTimeOut() {
			continue
		}
		c.do(func() { c.end(ClosedIdle) })
	}
}

// each calls f for every client of the worker.
func (w *worker) each(f func(c *client)) {
	for _, c := range append([]*client(nil), w.clients...) {
		f(c)
	}
}

// on runs f on the worker's loop, now if the caller is there already.
func (w *worker) on(here *worker, f func()) {
	if here == w {
		f()
		return
	}
	w.loop.Post(f)
}
