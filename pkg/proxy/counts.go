// SPDX-License-Identifier: Apache-2.0

package proxy

import (
	"time"

	"github.com/rdsproxy/rdsproxy/pkg/session"
)

// LatencyBounds are the upper bounds of the buckets of a Histogram; one more
// bucket has what is above the last.
var LatencyBounds = [...]time.Duration{
	50 * time.Microsecond, 100 * time.Microsecond, 250 * time.Microsecond, 500 * time.Microsecond,
	time.Millisecond, 2500 * time.Microsecond, 5 * time.Millisecond, 10 * time.Millisecond, 25 * time.Millisecond,
	50 * time.Millisecond, 100 * time.Millisecond, 250 * time.Millisecond, 500 * time.Millisecond,
	time.Second, 2500 * time.Millisecond, 5 * time.Second, 10 * time.Second, 30 * time.Second,
	time.Minute, 2 * time.Minute, 5 * time.Minute,
}

// Histogram is a distribution of times.
type Histogram struct {
	Sum     time.Duration
	Buckets [len(LatencyBounds) + 1]uint64
}

func (h *Histogram) add(d time.Duration) {
	h.Sum += d
	i := 0
	for i < len(LatencyBounds) && d > LatencyBounds[i] {
		i++
	}
	h.Buckets[i]++
}

// Latency sums up times.
type Latency struct {
	Count uint64
	Sum   time.Duration
}

func (l *Latency) add(d time.Duration) {
	l.Count++
	l.Sum += d
}

// Counts by whether the client has TLS: index 0 without, 1 with.
type byTLS [2]uint64

func (n *byTLS) merge(o byTLS) {
	n[0] += o[0]
	n[1] += o[1]
}

// CloseReason is why a logged-in client's connection ended.
type CloseReason uint8

// The reasons. ClosedByClient is what is left when nothing else is known.
const (
	ClosedByClient CloseReason = iota
	ClosedIdle
	ClosedDrain
	ClosedClientProtocol
	ClosedServerProtocol
	ClosedServerLost
	ClosedPanic
	ClosedKilled
	closeReasons
)

var closeReasonNames = [closeReasons]string{
	"client", "idle_timeout", "drain", "client_protocol", "database_protocol", "database_lost", "panic", "killed",
}

func (r CloseReason) String() string { return closeReasonNames[r] }

// endpointCounts are the numbers of one endpoint on one worker. The loop alone
// writes them, without locks; a reader asks the loop for a copy.
type endpointCounts struct {
	open              byTLS
	waiting           uint64 // filled when copied
	closed            [closeReasons]uint64
	borrow            Histogram
	borrowTimeouts    uint64
	interrupted       [interruptions]uint64
	simple, extended  byTLS
	response, servers Latency
}

func (n *endpointCounts) served(tls int, w session.Work) {
	n.simple[tls] += uint64(w.Simple)
	n.extended[tls] += uint64(w.Extended)
	n.borrow.add(w.Waited)
	n.response.add(w.Total)
	n.servers.add(w.Total - w.Waited)
}

func (n *endpointCounts) merge(o *endpointCounts) {
	n.open.merge(o.open)
	n.waiting += o.waiting
	for i := range n.closed {
		n.closed[i] += o.closed[i]
	}
	n.borrow.Sum += o.borrow.Sum
	for i := range n.borrow.Buckets {
		n.borrow.Buckets[i] += o.borrow.Buckets[i]
	}
	n.borrowTimeouts += o.borrowTimeouts
	for i := range n.interrupted {
		n.interrupted[i] += o.interrupted[i]
	}
	n.simple.merge(o.simple)
	n.extended.merge(o.extended)
	n.response.Count += o.response.Count
	n.response.Sum += o.response.Sum
	n.servers.Count += o.servers.Count
	n.servers.Sum += o.servers.Sum
}

// targetCounts are the numbers of one target group on one worker, as
// endpointCounts.
type targetCounts struct {
	pins, pinned  [session.PinReasons]uint64 // pinned: now, by first reason
	unpins        uint64
	inTransaction uint64 // filled when copied
}

func (n *targetCounts) merge(o *targetCounts) {
	for i := range n.pins {
		n.pins[i] += o.pins[i]
		n.pinned[i] += o.pinned[i]
	}
	n.unpins += o.unpins
	n.inTransaction += o.inTransaction
}
