// SPDX-License-Identifier: Apache-2.0

package proxy

import (
	"maps"
	"sync"
)

// reasonCounts counts rare events by a reason with a stable name.
type reasonCounts struct {
	mu sync.Mutex
	n  map[string]uint64
}

// newReasonCounts knows the reasons from the start, so that a rate can be taken
// of the first event of each.
func newReasonCounts(known ...string) *reasonCounts {
	r := &reasonCounts{n: make(map[string]uint64, len(known))}
	for _, name := range known {
		r.n[name] = 0
	}
	return r
}

func (r *reasonCounts) add(reason string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.n[reason]++
}

func (r *reasonCounts) snapshot() map[string]uint64 {
	r.mu.Lock()
	defer r.mu.Unlock()
	return maps.Clone(r.n)
}
