// SPDX-License-Identifier: Apache-2.0

package pool

import (
	"errors"
	"time"
)

// ErrNoneReady is why a borrow fails when Options.NoWait is set and no idle
// connection is there.
var ErrNoneReady = errors.New("no database connection is ready, and waiting for one is not allowed")

// ActionKind says what the caller has to do.
type ActionKind uint8

// The kinds of Action, with the fields that are set.
const (
	_ ActionKind = iota
	// Grant hands Conn to Waiter, which has left the queue. Conn counts as
	// borrowed from now on; whoever carries this out sees to it that it is
	// released, also when the session has gone meanwhile.
	Grant
	// Fail ends the wait of Waiter with Err.
	Fail
	// Dial asks for a connection for Pool. Group.Dialed must follow, once.
	// The dial must have a time limit of its own.
	Dial
	// Close asks for the end of Conn because of Reason. Group.Closed must follow
	// when the server has let go of it, or is certain never to answer again.
	Close
	// Wake asks for a call of Tick at At. It replaces the time that the last Tick
	// returned, or an earlier Wake asked for; At is always before that. Actions of
	// calls on several goroutines may be carried out in any order: whoever has one
	// timer sets it to NextTick, under a lock of its own, rather than to At.
	Wake
)

// Action is one thing to do, in answer to a call. Actions are to be carried out
// in order, outside of the group's lock; doing so may call the group again.
type Action struct {
	Kind   ActionKind
	Reason CloseReason
	Conn   *Conn
	Waiter *Waiter
	Pool   *Pool
	Dial   *DialAttempt
	Err    error
	At     time.Duration
}

// CloseReason says why a connection is closed. The texts are stable: they are
// used in logs and metrics.
type CloseReason uint8

// The reasons.
const (
	_               CloseReason = iota
	CloseDiscarded              // released as not fit for reuse
	CloseDedicated              // released, and was opened for one session only
	CloseUnwanted               // dialled for one session only, which is gone
	CloseLifetime               // older than MaxLifetime
	CloseIdle                   // idle beyond MaxIdle for IdleTimeout
	CloseEvicted                // its slot is needed by another pool
	CloseRetired                // opened before Retire
	CloseOverBudget             // the budget has shrunk
	closeReasons                // how many there are
)

var closeReasonTexts = [closeReasons]string{
	"unknown", "discarded", "dedicated", "unwanted", "lifetime", "idle", "evicted", "retired", "over_budget",
}

func (r CloseReason) String() string {
	if r >= closeReasons {
		return closeReasonTexts[0]
	}
	return closeReasonTexts[r]
}

var actionTexts = [...]string{"none", "grant", "fail", "dial", "close", "wake"}

func (k ActionKind) String() string {
	if int(k) >= len(actionTexts) {
		return actionTexts[0]
	}
	return actionTexts[k]
}
