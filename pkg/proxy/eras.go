// SPDX-License-Identifier: Apache-2.0

package proxy

import (
	"context"
	"errors"
	"sync"
	"sync/atomic"
	"time"
)

// era is the time in which a target group has one writer.
type era struct {
	// silent: the writer does not answer, so nobody says goodbye to it.
	silent atomic.Bool
}

// birth is when a connection began to be opened: the time since the target group came
// to be.
type birth int64

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
	began time.Time // birth 0
	// outdated: connections of that time and earlier lead to a writer of the past.
	outdated atomic.Int64

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
	e := &eras{began: time.Now(), parent: parent, now: new(era)}
	e.dials, e.end = context.WithCancel(parent)
	return e
}

// next begins a new era, and cuts off the dials of the one before. Connections that were
// opened since survivors stay of use; zero: none does.
func (e *eras) next(survivors time.Time) {
	e.mu.Lock()
	defer e.mu.Unlock()
	until := e.age()
	if !survivors.IsZero() {
		until = birth(survivors.Sub(e.began)) - 1
	}
	e.outdated.Store(max(e.outdated.Load(), int64(until)))
	e.now = new(era)
	e.cutOff()
}

// age is the birth of what is opened at present.
func (e *eras) age() birth { return birth(time.Since(e.began)) }

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

// await waits for the gate to be open, and gives the era of that moment, the birth of a
// connection that is opened in it, and the context for its dial.
func (e *eras) await() (*era, birth, context.Context, error) {
	for {
		e.mu.Lock()
		now, dials, opened := e.now, e.dials, e.opened
		born := max(e.age(), birth(e.outdated.Load()+1)) // a clock may stand still for a moment
		e.mu.Unlock()
		if opened == nil {
			return now, born, dials, nil
		}
		select {
		case <-opened:
		case <-e.parent.Done():
			return nil, 0, nil, e.parent.Err()
		}
	}
}
