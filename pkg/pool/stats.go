// SPDX-License-Identifier: Apache-2.0

package pool

import (
	"cmp"
	"slices"
)

// Counters only ever grow.
type Counters struct {
	Borrows      uint64 // connections lent
	Waited       uint64 // those lent after a wait
	Moves        uint64 // those lent to another loop than the one they lived on
	Replays      uint64 // those lent with other settings than the borrower's
	Overtakes    uint64 // those lent to a later waiter for being on the right loop
	Cancelled    uint64 // waits ended by Cancel
	Failed       uint64 // waits ended by a Fail action
	Dials        uint64
	DialFailures uint64
	Lost         uint64 // idle connections closed by the server
	// Closed counts Close actions by reason.
	Closed [closeReasons]uint64
}

// Gauges are numbers of the moment.
type Gauges struct {
	Idle, Borrowed, Dedicated, Closing int
	Dialing                            int // dials under way
	Waiting                            int // waiters
}

// PoolStats is the state of one pool.
type PoolStats struct {
	Key
	Gauges
	// DialError is why the last dial failed, if none has succeeded since.
	DialError error
}

// Stats is the state of a group.
type Stats struct {
	Counters
	Gauges
	Budget int
	// DialError is why the target cannot be reached, if it cannot.
	DialError error
	// Pools are those in use, by user and database.
	Pools []PoolStats
}

// CloseReasons are all reasons, for the makers of metrics.
func CloseReasons() []CloseReason {
	all := make([]CloseReason, 0, closeReasons-1)
	for r := CloseDiscarded; r < closeReasons; r++ {
		all = append(all, r)
	}
	return all
}

// Stats takes a snapshot. It costs time in proportion to the number of pools.
func (g *Group) Stats() Stats {
	g.mu.Lock()
	defer g.mu.Unlock()
	s := Stats{Counters: g.stats, Budget: g.opts.Budget, DialError: g.backoff.err}
	s.Pools = make([]PoolStats, 0, len(g.pools))
	for _, p := range g.pools {
		t := PoolStats{Key: p.key, Gauges: p.gauges(), DialError: p.err}
		s.Waiting += t.Waiting
		s.Pools = append(s.Pools, t)
	}
	s.Idle, s.Borrowed = g.count[connIdle], g.count[connBorrowed]
	s.Dedicated, s.Closing = g.count[connDedicated], g.count[connClosing]
	s.Dialing = g.dialing
	slices.SortFunc(s.Pools, func(a, b PoolStats) int {
		return cmp.Or(cmp.Compare(a.User, b.User), cmp.Compare(a.Database, b.Database))
	})
	return s
}

func (p *Pool) gauges() Gauges {
	return Gauges{
		Idle: p.conns[connIdle].n, Borrowed: p.conns[connBorrowed].n,
		Dedicated: p.conns[connDedicated].n, Closing: p.conns[connClosing].n,
		Dialing: p.dials,
		Waiting: p.shared.waiting.n + p.dedicated.waiting.n + p.dedicated.dialled.n,
	}
}
