// SPDX-License-Identifier: Apache-2.0

package failover

import (
	"context"
	"sync"
	"sync/atomic"
	"time"

	"go.uber.org/zap"
)

// Watcher watches one target group. Its methods may be called from any goroutine.
type Watcher struct {
	o    Options
	s    settings
	topo atomic.Pointer[Topology]

	events chan any
	hints  chan suspected
	news   chan struct{} // there is a topology to tell of

	subs struct {
		sync.Mutex
		channels map[chan struct{}]bool
	}

	stop    context.CancelFunc
	ctx     context.Context
	running sync.WaitGroup // goroutines
}

// New checks the options and starts to watch. Close ends it.
func New(o Options) (*Watcher, error) {
	s, err := o.check()
	if err != nil {
		return nil, err
	}
	if o.Resolver == nil {
		o.Resolver = System{}
	}
	if o.Log == nil {
		o.Log = zap.NewNop()
	}
	w := &Watcher{o: o, s: s, events: make(chan any), hints: make(chan suspected, 16), news: make(chan struct{}, 1)}
	w.subs.channels = make(map[chan struct{}]bool)
	w.ctx, w.stop = context.WithCancel(context.Background())
	w.topo.Store(&Topology{})
	w.running.Go(w.run)
	if o.OnChange != nil {
		w.running.Go(w.tell)
	}
	return w, nil
}

// Close ends the watching, and returns when all goroutines have ended and all
// probers are closed. The last topology stays. It must not be called from OnChange.
func (w *Watcher) Close() {
	w.stop()
	w.running.Wait()
}

// Topology returns what is known at present; never nil. It takes no lock.
func (w *Watcher) Topology() *Topology { return w.topo.Load() }

// Subscribe returns a channel that has an element whenever a topology was published
// since it was read from last that differs in more than lags, and a function that ends
// the subscription.
func (w *Watcher) Subscribe() (changed <-chan struct{}, cancel func()) {
	ch := make(chan struct{}, 1)
	w.subs.Lock()
	defer w.subs.Unlock()
	w.subs.channels[ch] = true
	return ch, func() {
		w.subs.Lock()
		defer w.subs.Unlock()
		delete(w.subs.channels, ch)
	}
}

// Suspect tells that something is odd with the server at address: a connection to it
// broke or timed out, or it refused to write. It returns at once, and may be called
// as often as one likes.
func (w *Watcher) Suspect(address, why string) {
	select {
	case w.hints <- suspected{address, why}:
	default: // there is plenty of suspicion already
	}
}

// run owns the core.
func (w *Watcher) run() {
	now := time.Now()
	c := newCore(w.s, now)
	probes := make(map[string]*asker)
	timer := time.NewTimer(0)
	defer timer.Stop()
	for {
		select {
		case <-w.ctx.Done():
			return // the askers end by the same context
		case ev := <-w.events:
			now = time.Now()
			switch ev := ev.(type) {
			case answered:
				c.answered(now, ev)
			case lookedUp:
				c.lookedUp(now, ev)
			}
		case h := <-w.hints:
			now = time.Now()
			c.suspected(now, h)
		case <-timer.C:
			now = time.Now()
		}
		c.advance(now)
		actions, notes := c.take()
		w.publish(c.topo)
		w.log(notes)
		for _, a := range actions {
			w.perform(probes, a)
		}
		timer.Reset(c.next(now).Sub(now))
	}
}

// publish makes the topology visible and wakes those who wait for that.
func (w *Watcher) publish(t *Topology) {
	before := w.topo.Swap(t)
	if before == t || before.equal(t) {
		return
	}
	signal(w.news)
	w.subs.Lock()
	defer w.subs.Unlock()
	for ch := range w.subs.channels {
		signal(ch)
	}
}

func signal(ch chan struct{}) {
	select {
	case ch <- struct{}{}:
	default:
	}
}

// tell calls OnChange.
func (w *Watcher) tell() {
	last := &Topology{}
	for {
		select {
		case <-w.ctx.Done():
			return
		case <-w.news:
		}
		if now := w.topo.Load(); !now.equal(last) {
			w.o.OnChange(last, now)
			last = now
		}
	}
}

// perform carries an action out. Nothing in it waits.
func (w *Watcher) perform(probes map[string]*asker, a action) {
	switch p := probes[a.address]; a.kind {
	case actProbe:
		if p == nil {
			p = w.newAsker(a)
			probes[a.address] = p
		}
		p.ask(a)
	case actHurry:
		if p != nil {
			p.hurry(a)
		}
	case actForget:
		if p != nil {
			p.end()
			delete(probes, a.address)
		}
	case actResolve:
		w.running.Go(func() { w.lookUp(a) })
	}
}

func (w *Watcher) lookUp(a action) {
	ctx, cancel := context.WithTimeout(w.ctx, a.timeout)
	defer cancel()
	found, err := w.o.Resolver.Resolve(ctx, a.name)
	w.report(lookedUp{round: a.round, found: found, err: err})
}

// report gives an event to run, unless that has ended.
func (w *Watcher) report(ev any) {
	select {
	case w.events <- ev:
	case <-w.ctx.Done():
	}
}

func (w *Watcher) log(notes []note) {
	for _, n := range notes {
		fields := make([]zap.Field, 0, 3)
		if n.address != "" {
			fields = append(fields, zap.String("member", n.address))
		}
		if n.count > 0 {
			fields = append(fields, zap.Int("count", n.count))
		}
		if n.err != nil {
			fields = append(fields, zap.Error(n.err))
		}
		if n.warn {
			w.o.Log.Warn(n.text, fields...)
		} else {
			w.o.Log.Info(n.text, fields...)
		}
	}
}
