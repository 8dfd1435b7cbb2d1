// SPDX-License-Identifier: Apache-2.0

package proxy

import (
	"context"
	"errors"
	"sync"
	"sync/atomic"
)

// era is the time in which a target group has one writer. Connections and dials of
// an earlier one are of no use any more.
type era struct {
	over atomic.Bool
	// silent: the writer does not answer, so nobody says goodbye to it.
	silent atomic.Bool
}

// shutter says who lets no connection be opened.
type shutter uint8

const (
	byOperator shutter = 1 << iota // Pause
	byWatcher                      // there is no writer
)

// errOutdated ends a dial that has waited for so long that nobody wants its connection.
var errOutdated = errors.New("the connections of the target were replaced meanwhile")

// eras has the present era of a target group, and whether connections may be opened
// in it.
type eras struct {
	mu     sync.Mutex
	parent context.Context // of dials
	now    *era
	dials  context.Context // ends when those that are under way have become useless
	end    context.CancelFunc
	shutBy shutter
	why    error         // of byWatcher
	opened chan struct{} // closed when the gate opens; nil while it is open
}

func newEras(parent context.Context) *eras {
	e := &eras{parent: parent, now: new(era)}
	e.dials, e.end = context.WithCancel(parent)
	return e
}

// next begins a new era, and cuts off the dials of the one before.
func (e *eras) next() {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.now.over.Store(true)
	e.now = new(era)
	e.cutOff()
}

// cutOff ends the dials that are under way, with the lock held.
func (e *eras) cutOff() {
	e.end()
	e.dials, e.end = context.WithCancel(e.parent)
}

// shut lets nothing be opened until open is called for the same shutter.
func (e *eras) shut(by shutter, why error) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.shutBy |= by
	if by == byWatcher {
		e.why = why
	}
	if e.opened == nil {
		e.opened = make(chan struct{})
	}
}

// explain replaces the reason why there is no writer.
func (e *eras) explain(why error) {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.shutBy&byWatcher != 0 {
		e.why = why
	}
}

// silence tells whether the present writer answers. If it does not, the dials to it
// are cut off.
func (e *eras) silence(silent bool) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.now.silent.Store(silent)
	if silent {
		e.cutOff()
	}
}

func (e *eras) open(by shutter) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.shutBy &^= by
	if by == byWatcher {
		e.why = nil
	}
	if e.shutBy == 0 && e.opened != nil {
		close(e.opened)
		e.opened = nil
	}
}

// isShut tells whether one of them lets nothing be opened.
func (e *eras) isShut(by shutter) bool {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.shutBy&by != 0
}

// reason is why there is no writer; nil while there is one.
func (e *eras) reason() error {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.why
}

// await waits for the gate to be open, and gives the era of that moment and the context
// for a dial.
func (e *eras) await() (*era, context.Context, error) {
	for {
		e.mu.Lock()
		now, dials, opened := e.now, e.dials, e.opened
		e.mu.Unlock()
		if opened == nil {
			return now, dials, nil
		}
		select {
		case <-opened:
		case <-e.parent.Done():
			return nil, nil, e.parent.Err()
		}
	}
}
