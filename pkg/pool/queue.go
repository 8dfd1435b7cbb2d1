// SPDX-License-Identifier: Apache-2.0

package pool

// queue is one line of waiters of a pool. Each pool has two: shared, whose
// waiters take any connection of the pool, and dedicated, whose waiters each get
// the one that was dialled for them.
type queue struct {
	pool      *Pool
	dedicated bool
	// waiting is in order of arrival.
	waiting waiterList
	// loops has those of waiting that have a loop, by loop, in the same order.
	// Shared only.
	loops []waiterList
	// dialled are waiters whose own dial is under way. Dedicated only.
	dialled waiterList
	// dialing counts the dials under way for whoever waits here. Shared only.
	dialing int

	// overtaken is how many later waiters were served before the head of waiting.
	// Nobody behind the head can have been overtaken more often, since whoever
	// was served before him was served before the head too.
	//
	// To know the number for whoever becomes head, each overtaking leaves a mark
	// at the waiter in front of the one who was served; it counts for that waiter
	// and for all before. So overtaken is the sum of all marks, and they move
	// forward when their waiter leaves.
	overtaken int

	// rank is the place in Group.demand; only Group.update changes it.
	rank rank
}

// enter puts w into the line, at its end or in front.
func (q *queue) enter(w *Waiter, front bool) {
	w.state = waiterQueued
	w.queue = q
	w.loop = w.Loop
	byLoop := q.byLoop(w.loop)
	if front {
		q.waiting.pushFront(w)
		if byLoop != nil {
			byLoop.pushFront(w)
		}
		return
	}
	q.waiting.pushBack(w)
	if byLoop != nil {
		byLoop.pushBack(w)
	}
}

// leave takes w out of waiting.
func (q *queue) leave(w *Waiter) {
	if ahead := w.links[linkQueue].prev; ahead != nil {
		ahead.marks += w.marks
	} else {
		q.overtaken -= w.marks
	}
	w.marks = 0
	q.waiting.remove(w)
	if byLoop := q.byLoop(w.loop); byLoop != nil {
		byLoop.remove(w)
	}
	w.state = waiterFree
	w.queue = nil
}

func (q *queue) byLoop(loop int) *waiterList {
	if q.dedicated || loop < 0 {
		return nil
	}
	for len(q.loops) <= loop {
		q.loops = append(q.loops, waiterList{which: linkLoop})
	}
	return &q.loops[loop]
}

// next takes out the waiter who gets a connection that lives on the given loop:
// the oldest one, or the oldest one of that loop unless the oldest of all has
// been overtaken often enough. It returns nil if nobody waits.
func (q *queue) next(loop, maxOvertakes int) (w *Waiter, overtaking bool) {
	w = q.waiting.head
	if w == nil {
		return nil, false
	}
	if w.loop != loop && loop >= 0 && loop < len(q.loops) && q.overtaken < maxOvertakes {
		if local := q.loops[loop].head; local != nil {
			local.links[linkQueue].prev.marks++
			q.overtaken++
			w, overtaking = local, true
		}
	}
	q.leave(w)
	return w, overtaking
}

// want is how many more dials the waiters could use.
func (q *queue) want() int {
	if q.dedicated {
		return q.waiting.n
	}
	return q.waiting.n - q.dialing
}

// isStarving tells whether nothing that the pool has, or is about to have, can
// ever serve this queue.
func (q *queue) isStarving() bool {
	return q.dedicated || q.dialing == 0 && q.pool.held() == 0
}

// rank orders the queues that want a dial. It is a copy, so that the heap stays
// in order while several things change one after the other.
type rank struct {
	heapIndex int
	starving  bool
	failures  uint64 // of the pool, in a row
	seq       uint64 // of the oldest waiter
}

func (q *queue) heapBefore(o *queue) bool {
	a, b := &q.rank, &o.rank
	if a.starving != b.starving {
		return a.starving
	}
	if a.failures != b.failures {
		return a.failures < b.failures
	}
	return a.seq < b.seq
}

func (q *queue) heapSlot() *int { return &q.rank.heapIndex }
