// SPDX-License-Identifier: Apache-2.0

package pool

import (
	"errors"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// arena carries out actions concurrently, as the proxy does: dials and closes on
// goroutines of their own, grants by a channel per session.
type arena struct {
	g     *Group
	clock atomic.Int64
	work  sync.WaitGroup
}

type visitor struct {
	Waiter
	answers chan Action
}

// now is a clock that moves on whenever somebody looks at it.
func (a *arena) now() time.Duration { return time.Duration(a.clock.Add(int64(time.Microsecond))) }

func (a *arena) perform(out []Action) {
	for _, action := range out {
		switch action.Kind {
		case Grant, Fail:
			action.Waiter.Owner.(*visitor).answers <- action
		case Dial:
			a.work.Go(func() {
				var c *Conn
				var err error
				if rand.IntN(10) == 0 {
					err = errors.New("refused")
				} else {
					c = &Conn{Loop: action.Dial.Loop}
				}
				a.perform(a.g.Dialed(action.Dial, c, err, TargetFailed, a.now(), nil))
			})
		case Close:
			a.work.Go(func() { a.perform(a.g.Closed(action.Conn, a.now(), nil)) })
		case Wake:
			a.work.Go(func() {
				next, out := a.g.Tick(a.now(), nil)
				a.perform(out)
				if next != Never {
					a.perform([]Action{{Kind: Wake, At: next}})
				}
			})
		}
	}
}

// visit borrows and releases. Some sessions give up waiting, with the race
// between the grant and the cancellation.
func (a *arena) visit(v *visitor, p *Pool) {
	v.Settings = rand.IntN(2)
	c, out := a.g.Borrow(p, &v.Waiter, a.now(), nil)
	a.perform(out)
	if c == nil {
		if rand.IntN(3) == 0 {
			still, out := a.g.Cancel(&v.Waiter, a.now(), nil)
			a.perform(out)
			if still {
				return
			}
		}
		answer := <-v.answers
		if answer.Kind == Fail {
			return
		}
		c = answer.Conn
	}
	// The holder may write here without a lock.
	c.Loop, c.Settings = v.Loop, v.Settings
	a.perform(a.g.Release(c, rand.IntN(20) > 0, a.now(), nil))
}

// TestConcurrentUse is for the race detector. All pauses are so short that Tick
// may be called at once when it is asked for.
func TestConcurrentUse(t *testing.T) {
	a := &arena{}
	a.g = NewGroup(Options{
		Budget: 5, MaxIdle: 2, IdleTimeout: time.Microsecond, StealAfter: time.Microsecond,
		DialBackoffMin: time.Nanosecond, DialBackoffMax: time.Nanosecond, MaxLifetime: time.Millisecond,
	})
	var sessions sync.WaitGroup
	for i := range 16 {
		sessions.Go(func() {
			v := &visitor{answers: make(chan Action, 1)}
			v.Owner, v.Loop = v, i%3
			p := a.g.Pool(Key{User: "u", Database: string(rune('a' + i%3))})
			for n := range 300 {
				v.Dedicated = n%50 == 0
				a.visit(v, p)
			}
		})
	}
	sessions.Go(func() {
		for range 50 {
			a.perform(a.g.Retire(a.now(), nil))
			_ = a.g.Stats()
			_ = a.g.LastDialError(a.g.Pool(Key{User: "u"}))
		}
	})
	sessions.Wait()
	a.work.Wait()
	if err := verify(a.g); err != nil {
		t.Error(err)
	}
	if s := a.g.Stats(); s.Waiting+s.Borrowed+s.Dedicated > 0 {
		t.Errorf("left over: %+v", s.Gauges)
	}
}
