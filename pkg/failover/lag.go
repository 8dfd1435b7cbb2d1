// SPDX-License-Identifier: Apache-2.0

package failover

import "time"

// history is where the writer was at which time (a moment before, rather), for the lag of readers that tell
// how far they are.
type history struct {
	cluster string
	samples [64]sample // a ring; at is the next to be overwritten
	at, n   int
}

type sample struct {
	when     time.Time
	position uint64
}

func (h *history) add(now time.Time, cluster string, position uint64) {
	if position == 0 {
		return
	}
	if cluster != h.cluster {
		*h = history{cluster: cluster}
	}
	if h.n > 0 {
		if last := &h.samples[(h.at+len(h.samples)-1)%len(h.samples)]; last.position == position {
			last.when = now // still there
			return
		}
	}
	h.samples[h.at] = sample{now, position}
	h.at = (h.at + 1) % len(h.samples)
	h.n = min(h.n+1, len(h.samples))
}

// behind is for how long the writer has been further than position; 0 if it was not
// when it was asked last. It is at most the length of the history.
func (h *history) behind(now time.Time, cluster string, position uint64) (time.Duration, bool) {
	if h.n == 0 || cluster != h.cluster || position == 0 {
		return UnknownLag, false
	}
	lag := time.Duration(0)
	for i := range h.n {
		s := h.samples[(h.at+2*len(h.samples)-1-i)%len(h.samples)]
		if s.position <= position {
			break
		}
		lag = now.Sub(s.when)
	}
	return lag, true
}

// reached is when the writer was where position is, at the latest known; false if that
// is not known.
func (h *history) reached(cluster string, position uint64) (time.Time, bool) {
	if cluster != h.cluster || position == 0 {
		return time.Time{}, false
	}
	for i := range h.n {
		if s := h.samples[(h.at+2*len(h.samples)-1-i)%len(h.samples)]; s.position <= position {
			return s.when, true
		}
	}
	return time.Time{}, false
}

// lagGrain is how exact lags are that servers tell: MySQL's are in seconds.
const lagGrain = time.Second

// asOf is Member.AsOf of a reader that has just answered.
func (c *core) asOf(m *member) time.Time {
	if at, ok := c.history.reached(m.answer.Cluster, m.answer.Position); ok {
		return at
	}
	if m.Lag == UnknownLag || m.answer.Position != 0 {
		return time.Time{}
	}
	return m.answer.Asked.Add(-m.Lag - lagGrain)
}

// lag is the larger of what the reader says and what comparing positions shows: a
// standby that lost its connection to the writer takes itself for up to date.
func (c *core) lag(now time.Time, m *member) time.Duration {
	lag := m.answer.Lag
	if listed, ok := c.listed.lags[m.Address]; ok && lag == UnknownLag {
		lag = listed
	}
	if seen, ok := c.history.behind(now, m.answer.Cluster, m.answer.Position); ok {
		lag = max(lag, seen)
	}
	return lag
}
