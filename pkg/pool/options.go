// SPDX-License-Identifier: Apache-2.0

package pool

import (
	"math/rand/v2"
	"time"
)

// Defaults of Options.
const (
	DefaultDialBackoffMin = 50 * time.Millisecond
	DefaultDialBackoffMax = time.Second
	DefaultStealAfter     = 100 * time.Millisecond
	DefaultMaxOvertakes   = 16
)

// Options are the limits of a Group. All of them may be changed while it is in
// use (Group.SetOptions).
type Options struct {
	// Budget is the largest number of connections to the target over all pools,
	// including those being dialled or closed. 0 or less: none; waiters wait.
	Budget int
	// MaxIdle is how many connections over all pools may stay idle for longer
	// than IdleTimeout.
	MaxIdle int
	// IdleTimeout is how long connections beyond MaxIdle are kept unused.
	// 0 or less: for ever.
	IdleTimeout time.Duration
	// MaxLifetime is the age at which a connection is closed as soon as nobody
	// uses it. 0 or less: no limit.
	MaxLifetime time.Duration
	// LifetimeJitter shortens the lifetime of each connection by a random
	// fraction between 0 and this one (0 to 1), so that connections opened
	// together are not closed together.
	LifetimeJitter float64
	// DialBackoffMin and DialBackoffMax limit the pause after a failed dial. It
	// doubles with each failure, and a random part of up to a half is taken off.
	// 0: the defaults.
	DialBackoffMin, DialBackoffMax time.Duration
	// StealAfter damps the competition of pools for a budget that is used up: it
	// is how long a pool keeps what it has just got, and how long a pool that has
	// connections waits before it takes more from others (see demand.go).
	// 0: DefaultStealAfter; negative: at once.
	StealAfter time.Duration
	// MaxOvertakes is how many later waiters may be served before a waiter, for
	// being on the loop where a connection became free.
	// 0: DefaultMaxOvertakes; negative: none (strict order).
	MaxOvertakes int
	// NoWait makes Borrow fail with ErrNoneReady when no idle connection is
	// there, even if the pool may still grow. A connection for later borrowers
	// is dialled all the same. Dedicated connections are not affected as long as
	// the budget has a free slot.
	NoWait bool
	// Rand gives random numbers in [0, 1). nil: math/rand/v2. It is called with
	// the group locked.
	Rand func() float64
}

func (o Options) withDefaults() Options {
	if o.DialBackoffMin <= 0 {
		o.DialBackoffMin = DefaultDialBackoffMin
	}
	if o.DialBackoffMax <= 0 {
		o.DialBackoffMax = DefaultDialBackoffMax
	}
	o.DialBackoffMax = max(o.DialBackoffMax, o.DialBackoffMin)
	o.StealAfter = orDefault(o.StealAfter, DefaultStealAfter)
	o.MaxOvertakes = orDefault(o.MaxOvertakes, DefaultMaxOvertakes)
	o.Budget = max(o.Budget, 0)
	o.MaxIdle = max(o.MaxIdle, 0)
	o.LifetimeJitter = min(max(o.LifetimeJitter, 0), 1)
	if o.Rand == nil {
		o.Rand = rand.Float64
	}
	return o
}

// orDefault gives def for 0, and 0 for what is negative.
func orDefault[T int | time.Duration](v, def T) T {
	if v == 0 {
		return def
	}
	return max(v, 0)
}
