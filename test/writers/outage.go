// SPDX-License-Identifier: Apache-2.0

package writers

import (
	"maps"
	"slices"
	"time"
)

// FirstAfter is how long after t the first operation was acknowledged, to whichever
// client. It is negative if none was.
func (r Result) FirstAfter(t time.Time) time.Duration {
	first := time.Duration(-1)
	for _, a := range r.Acks {
		if d := a.End.Sub(t); d >= 0 && (first < 0 || d < first) {
			first = d
		}
	}
	return first
}

// Recoveries gives for each client how long after t its first operation was
// acknowledged, in order. Clients without one are left out.
func (r Result) Recoveries(t time.Time) []time.Duration {
	first := make(map[int]time.Duration)
	for _, a := range r.Acks {
		d := a.End.Sub(t)
		if old, ok := first[a.Client]; d >= 0 && (!ok || d < old) {
			first[a.Client] = d
		}
	}
	return slices.Sorted(maps.Values(first))
}

// Outages gives for each client the longest time from one acknowledged operation to
// the next around t: from the last that was acknowledged before t to the first after it that
// began after it or was under way. Clients without both are left out. In order of
// length.
func (r Result) Outages(t time.Time) []time.Duration {
	type span struct{ before, after time.Time }
	spans := make(map[int]*span)
	for _, a := range r.Acks {
		s := spans[a.Client]
		if s == nil {
			s = &span{}
			spans[a.Client] = s
		}
		switch {
		case a.End.Before(t):
			if a.End.After(s.before) {
				s.before = a.End
			}
		case s.after.IsZero() || a.End.Before(s.after):
			s.after = a.End
		}
	}
	var all []time.Duration
	for _, s := range spans {
		if !s.before.IsZero() && !s.after.IsZero() {
			all = append(all, s.after.Sub(s.before))
		}
	}
	slices.Sort(all)
	return all
}

// Median is the middle of values in order; 0 of none.
func Median(sorted []time.Duration) time.Duration {
	if len(sorted) == 0 {
		return 0
	}
	return sorted[len(sorted)/2]
}

// Throughput counts the operations acknowledged in each interval from start to end.
func (r Result) Throughput(start, end time.Time, interval time.Duration) []int {
	counts := make([]int, max(0, int(end.Sub(start)/interval)))
	for _, a := range r.Acks {
		if i := int(a.End.Sub(start) / interval); !a.End.Before(start) && i < len(counts) {
			counts[i]++
		}
	}
	return counts
}
