// SPDX-License-Identifier: Apache-2.0

package proxy

import (
	"context"
	"sync"
	"sync/atomic"
)

// era is the time in which a target group has one writer. Connections and dials of
// an earlier one are of no use any more.
type era struct {
	over atomic.Bool
	ctx  context.Context // ends with it, or when nothing is dialled any more
	end  context.CancelFunc
}

// eras has the present era of a target group, and whether connections may be opened
// in it.
type eras struct {
	mu     sync.Mutex
	now    *era
	closed chan struct{} // closed when the gate opens; nil while it is open
}

func newEras(parent context.Context) *eras {
	e := new(eras)
	e.next(parent)
	return e
}

// next begins a new era.
func (e *eras) next(parent context.Context) {
	ctx, end := context.WithCancel(parent)
	e.mu.Lock()
	old := e.now
	e.now = &era{ctx: ctx, end: end}
	e.mu.Unlock()
	if old != nil {
		old.over.Store(true)
		old.end()
	}
}

// shut lets nothing be opened until open is called.
func (e *eras) shut() {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.closed == nil {
		e.closed = make(chan struct{})
	}
}

func (e *eras) open() {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.closed != nil {
		close(e.closed)
		e.closed = nil
	}
}

func (e *eras) isShut() bool {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.closed != nil
}

// await waits for the gate to be open, and gives the era of that moment.
func (e *eras) await(ctx context.Context) (*era, error) {
	for {
		e.mu.Lock()
		now, closed := e.now, e.closed
		e.mu.Unlock()
		if closed == nil {
			return now, nil
		}
		select {
		case <-closed:
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
}

// SwitchWriter gives the target group options with a dialer for another writer, or
// for the same that has come back as another server. Connections to the old one are
// closed at once, with whatever runs on them; waiting clients get new ones.
func (t *TargetGroup) SwitchWriter(o TargetOptions) {
	t.opts.Store(&o)
	t.eras.next(t.proxy.mayDial)
	t.setLimits()
	t.retire()
	t.severed.Add(1)
	t.proxy.forEachClient(func(c *client) {
		if c.target == t && c.db != nil && c.db.outdated() {
			c.db.breakOff()
		}
	})
	t.eras.open()
}

// Pause lets no client borrow a connection until Resume, or SwitchWriter. Clients
// that have one keep it until their transaction ends; idle connections are closed.
// Clients that want one wait, up to the borrow timeout.
func (t *TargetGroup) Pause() {
	t.eras.shut()
	t.carryOutAll(t.group.Retire(t.proxy.now(), nil))
}

// Resume ends a Pause.
func (t *TargetGroup) Resume() { t.eras.open() }

// Paused tells whether no connection may be opened at present.
func (t *TargetGroup) Paused() bool { return t.eras.isShut() }

// outdated tells whether the connection leads to a writer of the past.
func (d *dbConn) outdated() bool { return d.era.over.Load() }
