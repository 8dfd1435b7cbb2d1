// SPDX-License-Identifier: Apache-2.0

package proxy

import (
	"cmp"
	"time"

	"github.com/rdsproxy/rdsproxy/pkg/pool"
	"github.com/rdsproxy/rdsproxy/pkg/session"
)

// Stats is the state of the proxy in figures.
type Stats struct {
	Started   time.Time
	Draining  bool
	Loops     int
	Panics    uint64
	Endpoints []EndpointStats
	Targets   []TargetStats
}

// EndpointStats are the figures of one endpoint. Pairs are without and with TLS.
type EndpointStats struct {
	Name, Listen, TargetGroup string
	Open                      [2]uint64 // logged in
	Unauthenticated, Waiting  uint64
	Received, Succeeded       uint64
	Failed, Closed            map[string]uint64
	// Interrupted counts losses of a database connection under a client, by the
	// SQLSTATE that the client got for it.
	Interrupted                      map[string]uint64
	Borrow                           Histogram
	BorrowTimeouts                   uint64
	Simple, Extended                 [2]uint64
	Response, Database               Latency
	CancelsDelivered, CancelsUnknown uint64
}

// TargetStats are the figures of one target group.
type TargetStats struct {
	Name           string
	Group          *TargetGroup
	MaxConnections int // 0 while unknown
	Available      bool
	LastError      error
	NoWriter       bool // LastError tells why
	Pool           pool.Stats
	OpenTLS        uint64
	Requests       [2]uint64
	Opened         uint64
	Failed         map[string]uint64
	Pins, Pinned   map[string]uint64
	Unpins         uint64
	InTransaction  uint64
	Response       Latency
}

// Stats takes a snapshot. Each loop is asked for its numbers; of one that does
// not answer within wait the last ones known are used, so that no counter falls.
func (p *Proxy) Stats(wait time.Duration) Stats {
	p.mu.Lock()
	endpoints, targets := p.endpoints, p.targets
	p.mu.Unlock()
	ep := make([]endpointCounts, len(endpoints))
	tg := make([]targetCounts, len(targets))
	s := Stats{Started: p.started, Draining: p.draining.Load(), Loops: len(p.workers), Panics: p.panics.Load()}
	p.refreshCounts(wait)
	for _, w := range p.workers {
		c := w.copied.Load()
		if c == nil {
			continue
		}
		for i := range min(len(ep), len(c.endpoints)) {
			ep[i].merge(&c.endpoints[i])
		}
		for i := range min(len(tg), len(c.targets)) {
			tg[i].merge(&c.targets[i])
		}
	}
	for i, e := range endpoints {
		s.Endpoints = append(s.Endpoints, e.stats(&ep[i]))
	}
	for i, t := range targets {
		ts := t.stats(&tg[i])
		for j, e := range endpoints {
			if e.opts.Load().Target == t {
				ts.Response.Count += ep[j].servers.Count
				ts.Response.Sum += ep[j].servers.Sum
			}
		}
		s.Targets = append(s.Targets, ts)
	}
	return s
}

// refreshCounts has each worker copy its counts, and waits for that.
func (p *Proxy) refreshCounts(wait time.Duration) {
	pending := new(tally)
	for _, w := range p.workers {
		pending.enter()
		if !w.loop.Post(func() { defer pending.leave(); w.copied.Store(w.copyCounts()) }) {
			pending.leave()
		}
	}
	late := time.NewTimer(wait)
	defer late.Stop()
	select {
	case <-pending.empty():
	case <-late.C:
	}
}

// workerCounts are all numbers of one worker.
type workerCounts struct {
	endpoints []endpointCounts
	targets   []targetCounts
}

func (n *workerCounts) endpoint(i int) *endpointCounts {
	for len(n.endpoints) <= i {
		n.endpoints = append(n.endpoints, endpointCounts{})
	}
	return &n.endpoints[i]
}

func (n *workerCounts) target(i int) *targetCounts {
	for len(n.targets) <= i {
		n.targets = append(n.targets, targetCounts{})
	}
	return &n.targets[i]
}

// copyCounts runs on the loop.
func (w *worker) copyCounts() *workerCounts {
	c := &workerCounts{
		endpoints: append([]endpointCounts(nil), w.counts.endpoints...),
		targets:   append([]targetCounts(nil), w.counts.targets...),
	}
	for _, cl := range w.clients {
		if cl.session.Waiting() {
			c.endpoint(cl.endpoint.index).waiting++
		}
		if cl.session.InTransaction() {
			c.target(cl.target.index).inTransaction++
		}
	}
	return c
}

func (e *Endpoint) stats(n *endpointCounts) EndpointStats {
	s := EndpointStats{
		Name: e.name, Listen: e.listener.Addr().String(), TargetGroup: e.opts.Load().Target.name,
		Open: n.open, Unauthenticated: uint64(max(0, e.unauthenticated.Load())), Waiting: n.waiting,
		Received: e.received.Load(), Succeeded: e.succeeded.Load(),
		Failed: e.failed.snapshot(), Closed: make(map[string]uint64, len(n.closed)),
		Borrow: n.borrow, BorrowTimeouts: n.borrowTimeouts,
		Simple: n.simple, Extended: n.extended, Response: n.response, Database: n.servers,
		CancelsDelivered: e.cancelsDelivered.Load(), CancelsUnknown: e.cancelsUnknown.Load(),
	}
	for i, v := range n.closed {
		s.Closed[CloseReason(i).String()] = v
	}
	s.Interrupted = make(map[string]uint64, interruptions)
	for i, v := range n.interrupted {
		s.Interrupted[interruptionNames[i]] = v
	}
	return s
}

func (t *TargetGroup) stats(n *targetCounts) TargetStats {
	s := TargetStats{
		Name: t.name, Group: t, Pool: t.group.Stats(), OpenTLS: uint64(max(0, t.openTLS.Load())),
		Requests: [2]uint64{t.requests[0].Load(), t.requests[1].Load()}, Opened: t.opened.Load(),
		Failed: t.failed.snapshot(), Unpins: n.unpins, InTransaction: n.inTransaction,
		Pins: make(map[string]uint64, session.PinReasons), Pinned: make(map[string]uint64, session.PinReasons),
	}
	for i := range session.PinReasons {
		s.Pins[session.PinName(i)] = n.pins[i]
		s.Pinned[session.PinName(i)] = n.pinned[i]
	}
	why := t.NoWriter()
	s.NoWriter, s.LastError = why != nil, cmp.Or(why, s.Pool.DialError)
	if facts := t.knownFacts(); facts != nil {
		s.MaxConnections = facts.maxConnections
	}
	s.Available = s.LastError == nil
	return s
}
