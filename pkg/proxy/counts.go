// SPDX-License-Identifier: Apache-2.0

package proxy

import (
	"time"

	"github.com/rdsproxy/rdsproxy/pkg/session"
	"github.com/rdsproxy/rdsproxy/pkg/session/pgsession"
)

// LatencyBounds are the upper bounds of the histogram buckets of Counts; one
// more bucket has what is above the last.
var LatencyBounds = [...]time.Duration{
	100 * time.Microsecond, 250 * time.Microsecond, 500 * time.Microsecond,
	time.Millisecond, 2500 * time.Microsecond, 5 * time.Millisecond, 10 * time.Millisecond, 25 * time.Millisecond,
	50 * time.Millisecond, 100 * time.Millisecond, 250 * time.Millisecond, 500 * time.Millisecond,
	time.Second, 2500 * time.Millisecond, 5 * time.Second, 10 * time.Second, 30 * time.Second, time.Minute, 2 * time.Minute,
}

// Histogram is a distribution of times.
type Histogram struct {
	Count   uint64
	Sum     time.Duration
	Buckets [len(LatencyBounds) + 1]uint64
}

func (h *Histogram) add(d time.Duration) {
	h.Count++
	h.Sum += d
	i := 0
	for i < len(LatencyBounds) && d > LatencyBounds[i] {
		i++
	}
	h.Buckets[i]++
}

func (h *Histogram) merge(o *Histogram) {
	h.Count += o.Count
	h.Sum += o.Sum
	for i := range h.Buckets {
		h.Buckets[i] += o.Buckets[i]
	}
}

// Counts are the numbers of one endpoint on one worker. The loop alone writes
// them, without locks; a reader asks the loop for a copy.
type Counts struct {
	// Open and OpenTLS are the clients that are logged in now.
	Open, OpenTLS int
	Closed        uint64
	// Queries counts requests that the database has answered; QueriesTLS those
	// of clients with TLS.
	Queries, QueriesTLS uint64
	// Borrow is the time from a request to its database connection; Response the
	// time from a request until the connection was given back; Database the part
	// of it in which the session had the connection.
	Borrow, Response, Database Histogram
	// Pins counts by reason how often sessions were pinned; PinnedNow are those
	// that are.
	Pins      [session.PinReasons]uint64
	PinnedNow int
	// Events counts by pgsession.Event.
	Events [pgsession.EventCount]uint64
	Panics uint64
}

func (n *Counts) clientOpened(tls bool) {
	n.Open++
	if tls {
		n.OpenTLS++
	}
}

func (n *Counts) clientClosed(tls bool) {
	n.Open--
	n.Closed++
	if tls {
		n.OpenTLS--
	}
}

func (n *Counts) served(tls bool, queries int, waited, total time.Duration) {
	n.Queries += uint64(queries)
	if tls {
		n.QueriesTLS += uint64(queries)
	}
	n.Borrow.add(waited)
	n.Response.add(total)
	n.Database.add(total - waited)
}

// Merge adds o to n.
func (n *Counts) Merge(o *Counts) {
	n.Open += o.Open
	n.OpenTLS += o.OpenTLS
	n.Closed += o.Closed
	n.Queries += o.Queries
	n.QueriesTLS += o.QueriesTLS
	n.Borrow.merge(&o.Borrow)
	n.Response.merge(&o.Response)
	n.Database.merge(&o.Database)
	for i := range n.Pins {
		n.Pins[i] += o.Pins[i]
	}
	n.PinnedNow += o.PinnedNow
	for i := range n.Events {
		n.Events[i] += o.Events[i]
	}
	n.Panics += o.Panics
}
