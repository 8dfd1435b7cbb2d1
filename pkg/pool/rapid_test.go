// SPDX-License-Identifier: Apache-2.0

package pool

import (
	"errors"
	"fmt"
	"testing"
	"time"

	"pgregory.net/rapid"
)

// TestModel plays random calls against the model, then lets everything end well
// and sees that nobody is left waiting.
func TestModel(t *testing.T) { rapid.Check(t, play) }

// FuzzModel is the same, steered by the fuzzer.
func FuzzModel(f *testing.F) { f.Fuzz(rapid.MakeFuzz(play)) }

func play(t *rapid.T) {
	p := player{T: t, m: newModel(options(t))}
	for i, n := 0, rapid.SampledFrom([]int{10, 30, 100, 300, 1000}).Draw(t, "steps"); i < n; i++ {
		name := rapid.SampledFrom(moves).Draw(t, "move")
		p.m.grown = false
		if err := playMoves[name](p); err != nil {
			t.Fatalf("step %d, %s at %v: %v", i, name, p.m.now, err)
		}
	}
	if err := p.end(); err != nil {
		t.Fatalf("at the end: %v", err)
	}
}

func options(t *rapid.T) Options {
	return Options{
		Budget:         rapid.IntRange(0, 6).Draw(t, "budget"),
		MaxIdle:        rapid.IntRange(0, 4).Draw(t, "max idle"),
		IdleTimeout:    time.Duration(rapid.IntRange(0, 3).Draw(t, "idle timeout")) * 100 * time.Millisecond,
		MaxLifetime:    time.Duration(rapid.IntRange(0, 3).Draw(t, "lifetime")) * 500 * time.Millisecond,
		LifetimeJitter: rapid.SampledFrom([]float64{0, 0.3, 1}).Draw(t, "jitter"),
		StealAfter:     time.Duration(rapid.IntRange(-1, 2).Draw(t, "steal")) * 50 * time.Millisecond,
		MaxOvertakes:   rapid.IntRange(-1, 4).Draw(t, "overtakes"),
		NoWait:         rapid.IntRange(0, 9).Draw(t, "no wait") == 0,
		Rand:           func() float64 { return 0.25 },
	}
}

type player struct {
	*rapid.T
	m *model
}

// moves are the names in playMoves, the frequent ones several times.
var moves = []string{
	"borrow", "borrow", "borrow", "borrow", "release", "release", "release", "dialed", "dialed", "dialed",
	"closed", "closed", "pass", "pass", "tick", "cancel", "again", "fail", "lost", "retire", "options",
}

var playMoves = map[string]func(player) error{
	"borrow": func(p player) error {
		w := &modelWaiter{Waiter: &Waiter{}, key: p.key()}
		w.Loop = rapid.IntRange(-1, 2).Draw(p.T, "loop")
		w.Settings = rapid.SampledFrom([]any{nil, "x", "y"}).Draw(p.T, "settings")
		w.Dedicated = rapid.IntRange(0, 9).Draw(p.T, "dedicated") == 0
		return p.m.borrow(w)
	},
	"release": func(p player) error {
		c := one(p, p.m.in(Key{}, "borrowed"))
		if c == nil {
			return nil
		}
		p.use(c)
		return p.m.release(c, rapid.IntRange(0, 5).Draw(p.T, "reuse") > 0)
	},
	// again: what was granted is dead; the session borrows once more.
	"again": func(p player) error {
		c := one(p, p.m.in(Key{}, "borrowed"))
		if c == nil || c.holder == nil || c.holder.Dedicated {
			return nil
		}
		w := c.holder
		if err := p.m.release(c, false); err != nil {
			return err
		}
		w.Again = true
		return p.m.borrow(w)
	},
	"dialed": func(p player) error {
		if d := one(p, p.m.dials); d != nil {
			return p.m.dialed(d, rapid.IntRange(-1, 2).Draw(p.T, "loop"), nil, TargetFailed)
		}
		return nil
	},
	"fail": func(p player) error {
		if d := one(p, p.m.dials); d != nil {
			return p.m.dialed(d, 0, errModel, Failure(rapid.IntRange(0, int(PoolBarred)).Draw(p.T, "failure")))
		}
		return nil
	},
	"closed": func(p player) error {
		c := one(p, p.m.in(Key{}, "closing"))
		if c == nil {
			return nil
		}
		p.m.gone(c)
		return p.m.step(p.m.g.Closed(c.Conn, p.m.now, nil))
	},
	"lost": func(p player) error {
		c := one(p, p.m.conns)
		if c == nil {
			return nil
		}
		if c.state == "idle" {
			p.m.gone(c)
		}
		return p.m.step(p.m.g.Lost(c.Conn, p.m.now, nil))
	},
	"cancel": func(p player) error {
		if w := one(p, p.m.waiters); w != nil {
			i := p.m.find(w.Waiter)
			still, out := p.m.g.Cancel(w.Waiter, p.m.now, nil)
			if !still {
				return errors.New("was not waiting")
			}
			p.m.waiters = append(p.m.waiters[:i:i], p.m.waiters[i+1:]...)
			return p.m.step(out)
		}
		return nil
	},
	"pass": func(p player) error {
		p.m.now += time.Duration(rapid.IntRange(0, 80).Draw(p.T, "ms")) * time.Millisecond
		if p.m.now >= p.m.armed {
			return p.m.tick()
		}
		return nil
	},
	"tick": func(p player) error { return p.m.tick() },
	"retire": func(p player) error {
		if rapid.IntRange(0, 3).Draw(p.T, "all") == 0 {
			return p.m.retire(Key{})
		}
		return p.m.retire(p.key())
	},
	"options": func(p player) error {
		if rapid.IntRange(0, 3).Draw(p.T, "change") > 0 {
			return nil
		}
		return p.m.setOptions(options(p.T))
	},
}

func (p player) key() Key {
	return Key{User: "u", Database: rapid.SampledFrom([]string{"a", "b", "c"}).Draw(p.T, "database")}
}

// use does what a session does with a connection.
func (p player) use(c *modelConn) {
	c.Settings = rapid.SampledFrom([]any{nil, "x", "y"}).Draw(p.T, "settings")
	c.Loop = rapid.IntRange(-1, 2).Draw(p.T, "loop")
}

func one[T any](p player, all []*T) *T {
	if len(all) == 0 {
		return nil
	}
	return all[rapid.IntRange(0, len(all)-1).Draw(p.T, "which")]
}

// end lets the database work and the sessions finish, until nobody waits.
func (p player) end() error {
	m := p.m
	o := m.given
	o.Budget, o.NoWait, o.MaxLifetime = max(o.Budget, 1), false, 0
	if err := m.setOptions(o); err != nil {
		return err
	}
	least, idleRounds := len(m.waiters), 0
	for len(m.waiters)+len(m.dials)+len(m.in(Key{}, "borrowed")) > 0 {
		if idleRounds++; len(m.waiters) < least {
			least, idleRounds = len(m.waiters), 0
		}
		if idleRounds > 50 {
			return fmt.Errorf("%d still wait, with %d dials", len(m.waiters), len(m.dials))
		}
		for len(m.dials) > 0 {
			if err := m.dialed(m.dials[0], 0, nil, TargetFailed); err != nil {
				return err
			}
		}
		for _, c := range m.in(Key{}, "borrowed") {
			if err := m.release(c, true); err != nil {
				return err
			}
		}
		for _, c := range m.in(Key{}, "closing") {
			m.gone(c)
			if err := m.step(m.g.Closed(c.Conn, m.now, nil)); err != nil {
				return err
			}
		}
		m.now += 20 * time.Millisecond
		if m.now >= m.armed {
			if err := m.tick(); err != nil {
				return err
			}
		}
	}
	return nil
}
