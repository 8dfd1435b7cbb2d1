// SPDX-License-Identifier: Apache-2.0

//go:build linux

package myload

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/rdsproxy/rdsproxy/pkg/netloop"
	"github.com/rdsproxy/rdsproxy/pkg/wire/mysql"
	"github.com/rdsproxy/rdsproxy/test/bench/measure"
)

// endLimit is how long replies may take that are under way when the load ends.
const endLimit = 20 * time.Second

// Run lets every client work, without a pause, for a time or until ctx ends, then finish what it has begun, and log out. The clients are Run's
// from the call on. An error packet, a connection that breaks, or a reply that does not come is an error.
//
// All clients share one thread, which takes less CPU than two would, and is far from being the bottleneck.
func Run(ctx context.Context, clients []*Conn, w Work, t Table, flow time.Duration) (measure.Trace, error) {
	loop, err := netloop.New(netloop.Options{HoldProcessor: time.Millisecond})
	if err != nil {
		closeAll(clients)
		return measure.Trace{}, err
	}
	c := &crew{loop: loop, ended: make(chan struct{}), failed: make(chan struct{})}
	for k, conn := range clients {
		s := newScript(w, t, k)
		s.statement = conn.statement
		if err := c.take(conn, s); err != nil {
			closeAll(clients)
			return measure.Trace{}, err
		}
	}
	var g errgroup.Group
	g.Go(loop.Run)
	g.Go(func() error { return c.conduct(ctx, flow) })
	err = g.Wait()
	return c.trace, err
}

func closeAll(clients []*Conn) {
	for _, c := range clients {
		_ = c.Close() // the load has failed already
	}
}

// crew is the clients on their loop. All fields but the channels belong to the loop's goroutine, and after its end to Run.
type crew struct {
	loop    *netloop.Loop
	clients []*worker
	active  int // clients that have not gone
	ending  bool
	trace   measure.Trace
	ended   chan struct{} // closed when all clients have gone
	once    sync.Once     // closes failed
	failed  chan struct{} // closed at the first failure
	err     error         // what it was; valid once failed is closed
}

// worker is one client.
type worker struct {
	crew   *crew
	conn   *netloop.Conn
	script *script
	reply  reply
	packet []byte
	began  time.Time
}

// take puts a client on the loop, which does not run yet.
func (c *crew) take(conn *Conn, s *script) (err error) {
	w := &worker{crew: c, script: s}
	if w.conn, err = c.loop.Attach(conn.transport, conn.tls, w); err != nil {
		return err
	}
	c.clients = append(c.clients, w)
	c.active++
	return nil
}

// conduct starts the clients, and ends them when the time is over.
func (c *crew) conduct(ctx context.Context, flow time.Duration) error {
	defer c.loop.Stop()
	c.loop.Post(func() {
		for _, w := range c.clients {
			w.query()
		}
	})
	select {
	case <-time.After(flow):
	case <-ctx.Done():
	case <-c.failed:
		return c.err
	}
	c.loop.Post(func() { c.ending = true })
	select {
	case <-c.ended:
		return nil
	case <-c.failed:
		return c.err
	case <-time.After(endLimit):
		return fmt.Errorf("queries without an answer for %v", endLimit)
	}
}

func (c *crew) fail(err error) {
	c.once.Do(func() {
		c.err = err
		close(c.failed)
	})
}

// query sends the next query, or says goodbye.
func (w *worker) query() {
	if w.crew.ending && w.script.rests() {
		w.packet = mysql.AppendCommand(w.packet[:0], mysql.ComQuit, "")
		w.conn.Write(w.packet)
		w.conn.CloseAfterFlush(time.Second)
		return
	}
	w.packet = w.script.next(w.packet)
	w.began = time.Now()
	w.conn.Write(w.packet)
}

// Data implements netloop.Handler.
func (w *worker) Data(_ *netloop.Conn, p []byte) int {
	n, ended, err := w.reply.read(p)
	if err == nil && ended && n < len(p) {
		err = errors.New("a reply goes on behind its end")
	}
	if err != nil {
		w.crew.fail(err)
		w.conn.Close()
		return len(p)
	}
	if ended {
		now := time.Now()
		w.crew.trace.EndMicros = append(w.crew.trace.EndMicros, now.UnixMicro())
		w.crew.trace.LatencyMicros = append(w.crew.trace.LatencyMicros, now.Sub(w.began).Microseconds())
		w.query()
	}
	return n
}

// Drained implements netloop.Handler. No query is long enough for it.
func (w *worker) Drained(*netloop.Conn) {}

// Closed implements netloop.Handler.
func (w *worker) Closed(_ *netloop.Conn, err error) {
	if !w.crew.ending {
		w.crew.fail(fmt.Errorf("a client was cut off: %w", err))
	}
	if w.crew.active--; w.crew.active == 0 {
		close(w.crew.ended)
	}
}
