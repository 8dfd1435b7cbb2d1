// SPDX-License-Identifier: Apache-2.0

package netloop

import (
	"math"
	"time"
)

// A Timer calls a function on the loop goroutine once its time has come. It is
// meant to be embedded in the object that it serves. The zero value, after
// Init, is ready. A Timer must not be copied while it is armed, and belongs to
// the loop on which it was armed until it has fired or was stopped. A panic in the
// function is not caught; see [Conn.Do].
type Timer struct {
	f    func()
	loop *Loop         // the loop whose heap holds the timer; nil = not armed
	when time.Duration // when it fires, on the loop's clock
	key  time.Duration // what the heap is ordered by; key <= when
	pos  int           // index in the heap
}

// Init sets the function to call. It is set apart from Arm so that arming,
// which happens per request, allocates nothing.
func (t *Timer) Init(f func()) { t.f = f }

// Armed tells whether the timer is going to fire.
func (t *Timer) Armed() bool { return t.loop != nil }

// Arm lets t fire once, after the given time from the beginning of the current
// turn (0 or less: in the next turn). An armed timer is set anew. Moving a
// timer to a later time costs next to nothing, so a timer that watches for
// silence is better armed again than stopped and armed.
func (l *Loop) Arm(t *Timer, after time.Duration) {
	when := l.now + max(after, 1)
	if when < l.now { // overflow
		when = math.MaxInt64
	}
	if t.loop != nil && t.loop != l {
		t.Stop()
	}
	t.when = when
	switch {
	case t.loop == nil:
		t.loop, t.key, t.pos = l, when, len(l.timers)
		l.timers = append(l.timers, t)
		l.timers.up(t.pos)
	case when < t.key:
		t.key = when
		l.timers.up(t.pos)
	}
	// A later time needs no move: the heap finds out when the key is due.
}

// Stop keeps t from firing. Stopping a timer that is not armed does nothing.
func (t *Timer) Stop() {
	if t.loop != nil {
		t.loop.timers.remove(t.pos)
	}
}

// runTimers fires what is due. The clock stands still meanwhile and Arm never
// sets a time that is due already, so this ends.
func (l *Loop) runTimers() {
	if len(l.timers) == 0 || l.timers[0].key > l.now {
		return
	}
	for len(l.timers) > 0 && l.timers[0].key <= l.now {
		t := l.timers[0]
		if t.when > l.now { // was moved to a later time
			t.key = t.when
			l.timers.down(0)
			continue
		}
		l.timers.remove(0)
		if t.f != nil {
			t.f()
		}
	}
	l.settle()
}

// timerWait is the time until the next timer has to be looked at, or -1.
func (l *Loop) timerWait() time.Duration {
	if len(l.timers) == 0 {
		return -1
	}
	return max(l.timers[0].key-l.now, 0)
}

// timerHeap is a heap with four children per node: flatter than a binary one,
// and the children share a cache line.
type timerHeap []*Timer

func (h timerHeap) up(i int) {
	t := h[i]
	for i > 0 {
		parent := (i - 1) / 4
		if h[parent].key <= t.key {
			break
		}
		h[i] = h[parent]
		h[i].pos = i
		i = parent
	}
	h[i] = t
	t.pos = i
}

func (h timerHeap) down(i int) {
	t := h[i]
	for {
		first := 4*i + 1
		if first >= len(h) {
			break
		}
		least := first
		for j := first + 1; j < min(first+4, len(h)); j++ {
			if h[j].key < h[least].key {
				least = j
			}
		}
		if t.key <= h[least].key {
			break
		}
		h[i] = h[least]
		h[i].pos = i
		i = least
	}
	h[i] = t
	t.pos = i
}

// remove takes the timer at i out of the heap.
func (h *timerHeap) remove(i int) {
	old := *h
	t, last := old[i], len(old)-1
	if i != last {
		old[i] = old[last]
		old[i].pos = i
	}
	old[last] = nil
	*h = old[:last]
	if i != last {
		h.down(i)
		h.up(i)
	}
	t.loop, t.pos = nil, 0
}
