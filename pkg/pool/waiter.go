// SPDX-License-Identifier: Apache-2.0

package pool

import "time"

// Waiter is a session's place in the queue of a pool. It is meant to be embedded
// in the session; it serves one borrow at a time and can be used again as soon
// as that one was granted, failed or cancelled. It must not be copied.
type Waiter struct {
	// Owner is for the caller; the pool never touches it.
	Owner any

	// The fields below are set before Borrow, and not changed while waiting.

	// Loop is the event loop of the session; negative: none.
	Loop int
	// Settings is what the session needs, as in Conn.
	Settings any
	// Dedicated asks for a new connection for this session only, with start-up
	// parameters of its own perhaps (replication). It is closed when released.
	Dedicated bool
	// Params goes into the DialAttempt of a dedicated connection as it is; it is
	// read there after the session may be gone.
	Params any
	// Again puts the waiter in front of the queue: what it was granted turned
	// out to be dead before it was used. Borrow clears it.
	Again bool

	state waiterState
	loop  int // Loop when it was queued
	queue *queue
	dial  *DialAttempt // own dial, in state waiterDialing
	seq   uint64
	since time.Duration
	// marks is this waiter's share of queue.overtaken; see there.
	marks int
	links [waiterLists]waiterLink
}

type waiterState uint8

const (
	waiterFree    waiterState = iota // in no queue
	waiterQueued                     // in queue.waiting
	waiterDialing                    // dedicated, in queue.dialled, its own dial is under way
)

// Since is when the current wait, or the last one, began.
func (w *Waiter) Since() time.Duration { return w.since }
