// SPDX-License-Identifier: Apache-2.0

package iam

import (
	"container/list"
	"net/netip"
	"sync"
	"time"

	"golang.org/x/time/rate"
)

// failures slows down addresses from which tokens fail. The table is bounded: the address that was seen longest ago makes
// room for a new one.
type failures struct {
	limit rate.Limit
	burst int
	most  int

	mu struct { // nothing slow is done under it
		sync.Mutex
		entries map[netip.Prefix]*list.Element
		order   list.List // of *source, the latest first
	}
}

type source struct {
	prefix  netip.Prefix
	limiter *rate.Limiter
}

func newFailures(limit rate.Limit, burst, most int) *failures {
	f := &failures{limit: limit, burst: burst, most: most}
	f.mu.entries = map[netip.Prefix]*list.Element{}
	return f
}

// Whoever has one IPv6 address usually has 2^64 of them.
const (
	bits4 = 32
	bits6 = 64
)

func prefixOf(a netip.Addr) netip.Prefix {
	a = a.Unmap().WithZone("")
	bits := bits4
	if a.Is6() {
		bits = bits6
	}
	p, err := a.Prefix(bits)
	if err != nil {
		return netip.Prefix{} // no address, as for a Unix socket: one entry for all of them
	}
	return p
}

// exceeded says whether too many failures came from an address.
func (f *failures) exceeded(a netip.Addr, now time.Time) bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	e := f.mu.entries[prefixOf(a)]
	if e == nil {
		return false
	}
	return e.Value.(*source).limiter.TokensAt(now) < 1
}

// note counts a failure. Failures that were under way at once may exceed the burst; they are paid for afterwards.
func (f *failures) note(a netip.Addr, now time.Time) {
	f.mu.Lock()
	defer f.mu.Unlock()
	p := prefixOf(a)
	e := f.mu.entries[p]
	if e == nil {
		if f.mu.order.Len() >= f.most {
			oldest := f.mu.order.Back()
			delete(f.mu.entries, oldest.Value.(*source).prefix)
			f.mu.order.Remove(oldest)
		}
		e = f.mu.order.PushFront(&source{p, rate.NewLimiter(f.limit, f.burst)})
		f.mu.entries[p] = e
	}
	f.mu.order.MoveToFront(e)
	e.Value.(*source).limiter.ReserveN(now, 1)
}
