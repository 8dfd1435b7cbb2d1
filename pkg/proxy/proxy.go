// SPDX-License-Identifier: Apache-2.0

package proxy

import (
	"context"
	"fmt"
	"net/netip"
	"runtime"
	"sync"
	"sync/atomic"
	"time"

	"go.uber.org/zap"
)

// Options are what a Proxy is made with, for its whole life.
type Options struct {
	// Loops is the number of event loops; 0 takes one per core.
	Loops int
	// Driver names the loops' driver; empty takes the platform's best.
	Driver string
	Log    *zap.Logger
}

// Settings may change while the proxy runs.
type Settings struct {
	IdleClientTimeout  time.Duration // 0: never
	LoginTimeout       time.Duration
	CleanupTimeout     time.Duration
	MaxClients         int
	MaxUnauthenticated int
	RequireTLS         bool
	// Admits tells whether a client may come from an address.
	Admits func(netip.Addr) bool
}

// Proxy is the running proxy: endpoints, workers and target groups.
type Proxy struct {
	opts     Options
	log      *zap.Logger
	started  time.Time
	settings atomic.Pointer[Settings]
	draining atomic.Bool
	panics   atomic.Uint64

	// Of these contexts, the first ends when logins have to, at the beginning of a
	// drain; the second with the service, when nothing is dialled any more; the
	// last when even cancel requests have no time left.
	mayLogIn, mayDial, ctx        context.Context
	stopLogins, stopDialing, stop context.CancelFunc
	// background has the goroutines of dials and cancel requests, logins those
	// of clients that log in, loops those of the workers.
	background    jobs
	logins, loops sync.WaitGroup

	workers  []*worker
	next     atomic.Uint32 // round robin over workers
	cancels  cancelKeys
	admitted admission
	// databases counts database connections, until their servers have let go.
	databases tally

	mu        sync.Mutex
	targets   []*TargetGroup
	endpoints []*Endpoint
}

// New makes a proxy and starts its loops.
func New(o Options, s Settings) (*Proxy, error) {
	if o.Loops <= 0 {
		o.Loops = runtime.NumCPU()
	}
	p := &Proxy{opts: o, log: o.Log, started: time.Now()}
	p.ctx, p.stop = context.WithCancel(context.Background()) // the proxy's own life, ended by Close
	p.mayDial, p.stopDialing = context.WithCancel(p.ctx)
	p.mayLogIn, p.stopLogins = context.WithCancel(p.mayDial)
	p.settings.Store(&s)
	for i := range o.Loops {
		w, err := newWorker(p, i)
		if err != nil {
			for _, made := range p.workers {
				made.loop.Stop()
			}
			return nil, fmt.Errorf("event loop %d: %w", i, err)
		}
		p.workers = append(p.workers, w)
	}
	for _, w := range p.workers {
		w.start(&p.loops)
	}
	context.AfterFunc(p.mayLogIn, func() {
		for _, w := range p.workers {
			w.loop.Post(w.endLogins)
		}
	})
	return p, nil
}

// now is the proxy's monotonic clock.
func (p *Proxy) now() time.Duration { return time.Since(p.started) }

const panicInSession = "panic in a session; the session is ended, others go on"

// panicked reports a defect, and what it has cost.
func (p *Proxy) panicked(what string, value any, stack []byte) {
	p.panics.Add(1)
	p.log.Error(what, zap.Any("panic", value), zap.ByteString("stack", stack))
}

// panickedWithSecrets reports a defect where passwords are at hand. Whatever has
// panicked may have put one into what it panicked with, so that is shown only if it
// comes from the runtime; the stack, which shows no texts, tells the rest.
func (p *Proxy) panickedWithSecrets(what string, value any, stack []byte) {
	if _, harmless := value.(runtime.Error); !harmless {
		value = fmt.Sprintf("a %T, not shown because there are secrets here", value)
	}
	p.panicked(what, value, stack)
}

// SetSettings replaces the settings; clients that are there keep what was
// decided at their login.
func (p *Proxy) SetSettings(s Settings) { p.settings.Store(&s) }

// workerFor gives the worker of a loop, or any one.
func (p *Proxy) workerFor(loop int) *worker {
	if loop >= 0 && loop < len(p.workers) {
		return p.workers[loop]
	}
	return p.workers[int(p.next.Add(1))%len(p.workers)]
}

// AddTargetGroup makes a target group; nothing is connected before a client
// needs it.
func (p *Proxy) AddTargetGroup(o TargetOptions) *TargetGroup {
	p.mu.Lock()
	defer p.mu.Unlock()
	t := newTargetGroup(p, o, len(p.targets))
	p.targets = append(p.targets, t)
	return t
}

// Drain ends the service in order: no new clients; idle ones are told 57P01;
// transactions may end until ctx does, and are cut off then.
func (p *Proxy) Drain(ctx context.Context) {
	p.refuseClients()
	p.forEachClient(func(c *client) {
		c.closing = ClosedDrain
		c.do(c.session.Drain)
	})
	if !before(ctx, p.admitted.all.empty()) {
		p.endClients()
		late, stop := context.WithTimeout(p.ctx, flushLimit)
		defer stop()
		before(late, p.admitted.all.empty())
	}
}

// refuseClients lets nobody in any more, those included who log in now.
func (p *Proxy) refuseClients() {
	p.draining.Store(true)
	p.stopLogins()
	p.mu.Lock()
	endpoints := p.endpoints
	p.mu.Unlock()
	for _, e := range endpoints {
		e.stopListening()
	}
}

// before tells whether done was closed before ctx ended.
func before(ctx context.Context, done <-chan struct{}) bool {
	select {
	case <-done:
		return true
	case <-ctx.Done():
		return false
	}
}

func (p *Proxy) forEachClient(f func(*client)) {
	for _, w := range p.workers {
		w.loop.Post(func() { w.each(f) })
	}
}

// endClients tells all clients to go, now.
func (p *Proxy) endClients() {
	p.forEachClient(func(c *client) { c.do(func() { c.end(ClosedDrain) }) })
}

// closeLimit is how long Close waits for sessions to clean up, and for the
// database to say goodbye too.
const closeLimit = 2 * time.Second

// Close ends everything at once: clients are told to go, what they have running
// is cancelled, and database connections are closed with a goodbye. The database
// has a moment to act on that. Close may be called more than once, but nothing
// else afterwards.
func (p *Proxy) Close() {
	p.refuseClients()
	p.stopDialing()
	p.mu.Lock()
	targets := p.targets
	p.mu.Unlock()
	p.endClients()
	for _, t := range targets {
		t.shutdown()
	}
	moment, stop := context.WithTimeout(p.ctx, closeLimit)
	defer stop()
	before(moment, p.databases.empty())
	p.stop()
	for _, w := range p.workers {
		w.loop.Stop()
	}
	p.loops.Wait()
	p.background.close()
	p.logins.Wait()
}
