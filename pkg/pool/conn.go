// SPDX-License-Identifier: Apache-2.0

package pool

import "time"

// Conn is the entry of one database connection. The caller creates it when a
// dial has succeeded, usually as a part of its own structure, and hands it in by
// Group.Dialed. It must not be copied or used for a second connection.
type Conn struct {
	// Owner is for the caller; the pool never touches it.
	Owner any

	// Loop and Settings belong to the holder: the dialler until Dialed, then
	// whoever has borrowed the connection, until Release. The pool reads them
	// while the connection is idle.

	// Loop is the event loop where the socket lives; negative: none.
	Loop int
	// Settings is what was applied to the session there, in any comparable form;
	// nil: nothing, as after login. Values that are equal under == are the same
	// settings. A nil pointer inside of the interface is not nil.
	Settings any

	pool   *Pool
	state  connState
	reason CloseReason
	gen    uint64
	// since is when the current state was entered.
	since time.Duration
	born  time.Duration
	// jitter is this connection's random number in [0, 1) for its lifetime.
	jitter    float64
	expires   time.Duration
	heapIndex int // in Group.expiry, plus one; 0: not there

	shelf   *shelf
	shelfAt int // index of shelf.loops
	links   [connLists]connLink
}

// connState is where a connection is in its life. Only Group.setState changes
// it, and with it the list that the connection is in.
type connState uint8

const (
	connNew       connState = iota // not yet handed in
	connIdle                       // for anybody of its pool
	connBorrowed                   // with a session, to be released
	connDedicated                  // with the one session it was opened for
	connClosing                    // to be closed, its slot not yet free
	connGone                       // forgotten
	connStates
)

var connStateTexts = [connStates]string{"new", "idle", "borrowed", "dedicated", "closing", "gone"}

func (s connState) String() string { return connStateTexts[s] }

// Pool is the pool that the connection belongs to; nil before Dialed.
func (c *Conn) Pool() *Pool { return c.pool }

// expiry is when the connection is too old. The product is computed in floating
// point: a Duration must never pass through 32 bits.
func (c *Conn) expiry(o *Options) time.Duration {
	if o.MaxLifetime <= 0 {
		return Never
	}
	life := float64(o.MaxLifetime) * (1 - o.LifetimeJitter*c.jitter)
	if float64(c.born)+life >= float64(Never) {
		return Never
	}
	return c.born + time.Duration(life)
}
