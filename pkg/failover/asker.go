// SPDX-License-Identifier: Apache-2.0

package failover

import (
	"context"
	"fmt"
	"sync"
	"time"
)

// asker has the prober of one member, and the goroutine that it is called on. Its
// methods are for the goroutine of the core.
type asker struct {
	w       *Watcher
	address string
	orders  chan order
	ctx     context.Context
	end     context.CancelFunc

	mu    sync.Mutex
	round uint64      // the latest
	timer *time.Timer // ends that round
}

// order is a round, and its context.
type order struct {
	round uint64
	ctx   context.Context
	end   context.CancelFunc
}

func (w *Watcher) newAsker(a action) *asker {
	p := &asker{w: w, address: a.address, orders: make(chan order, 1)}
	p.ctx, p.end = context.WithCancel(w.ctx)
	prober := w.o.NewProber(Member{Address: a.address, Name: a.name})
	w.running.Go(func() { p.run(prober) })
	return p
}

// ask begins a round. The core begins one only after the one before has ended, or is
// long overdue: then its context has ended too, and the order waits for the prober
// to come back, or its place is taken by the next.
func (p *asker) ask(a action) {
	ctx, end := context.WithCancelCause(p.ctx)
	o := order{a.round, ctx, func() { end(nil) }}
	p.mu.Lock()
	if p.timer != nil {
		p.timer.Stop()
	}
	p.round = a.round
	p.timer = time.AfterFunc(a.timeout, func() { end(context.DeadlineExceeded) })
	p.mu.Unlock()
	for {
		select {
		case p.orders <- o:
			return
		default:
		}
		select {
		case old := <-p.orders:
			old.end()
		default:
		}
	}
}

// hurry gives the round less time.
func (p *asker) hurry(a action) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.round == a.round && p.timer != nil && p.timer.Stop() {
		p.timer.Reset(a.timeout)
	}
}

func (p *asker) run(prober Prober) {
	defer prober.Close()
	for {
		select {
		case <-p.ctx.Done():
			return
		case o := <-p.orders:
			answer, err := probe(o.ctx, prober)
			if err != nil && context.Cause(o.ctx) == context.DeadlineExceeded { //nolint:errorlint // as ask gives it
				err = &ProbeError{Unreachable, fmt.Errorf("no answer in time (%w)", err)}
			}
			o.end()
			p.w.report(answered{address: p.address, round: o.round, answer: answer, err: err})
		}
	}
}

// probe survives a prober that panics: one member is not worth the others.
func probe(ctx context.Context, prober Prober) (a Answer, err error) {
	defer func() {
		if r := recover(); r != nil {
			err = &ProbeError{Unanswered, fmt.Errorf("the prober panics: %v", r)}
		}
	}()
	return prober.Probe(ctx)
}
