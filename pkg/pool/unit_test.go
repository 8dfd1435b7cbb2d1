// SPDX-License-Identifier: Apache-2.0

package pool

import (
	"errors"
	"math"
	"slices"
	"testing"
	"time"

	"pgregory.net/rapid"
)

// A lifetime must keep its jitter whatever its size; a Duration that is squeezed
// through 32 bits loses it from 4.3 seconds on.
func TestExpiry(t *testing.T) {
	const day = 24 * time.Hour
	for _, test := range []struct {
		name                string
		life                time.Duration
		spread, random      float64
		born, least, utmost time.Duration
	}{
		{"no limit", 0, 0.5, 0.5, 0, Never, Never},
		{"negative", -time.Second, 0.5, 0.5, 0, Never, Never},
		{"no jitter", time.Hour, 0, 0.9, time.Minute, time.Hour + time.Minute, time.Hour + time.Minute},
		{"half of a tenth", time.Hour, 0.1, 0.5, 0, 57 * time.Minute, 57 * time.Minute},
		{"a multiple of 32 bits", 1 << 32, 0.5, 0.5, 0, 3 << 30, 3 << 30},
		{"a day", day, 1, 0.75, 0, day / 4, day / 4},
		{"next to nothing", 1, 1, 0.999, 0, 0, 1},
		{"for ever", Never, 0, 0, time.Second, Never, Never},
		{"centuries", Never, 0.5, 0.5, time.Hour, Never / 2, Never},
	} {
		t.Run(test.name, func(t *testing.T) {
			o := Options{MaxLifetime: test.life, LifetimeJitter: test.spread}.withDefaults()
			c := Conn{born: test.born, jitter: test.random}
			if got := c.expiry(&o); got < test.least || got > test.utmost {
				t.Errorf("expires at %v, want %v to %v", got, test.least, test.utmost)
			}
		})
	}
}

func TestLifetimesAreSpread(t *testing.T) {
	g := NewGroup(Options{Budget: 100, MaxIdle: 100, MaxLifetime: time.Hour, LifetimeJitter: 0.2})
	p := g.Pool(Key{"u", "d"})
	var conns []*Conn
	for range 100 {
		_, out := g.Borrow(p, new(Waiter), 0, nil)
		c := new(Conn)
		g.Dialed(out[0].Dial, c, nil, TargetFailed, 0, nil)
		conns = append(conns, c)
	}
	first := slices.MinFunc(conns, func(a, b *Conn) int { return int(a.expires - b.expires) }).expires
	last := slices.MaxFunc(conns, func(a, b *Conn) int { return int(a.expires - b.expires) }).expires
	if first < 48*time.Minute || last > time.Hour || last-first < 8*time.Minute {
		t.Errorf("lifetimes from %v to %v", first, last)
	}
}

func TestOptionDefaults(t *testing.T) {
	o := Options{Budget: -3, MaxIdle: -1, LifetimeJitter: 7, DialBackoffMin: 5 * time.Second}.withDefaults()
	if o.Budget != 0 || o.MaxIdle != 0 || o.LifetimeJitter != 1 || o.StealAfter != DefaultStealAfter ||
		o.MaxOvertakes != DefaultMaxOvertakes || o.DialBackoffMax != 5*time.Second {
		t.Errorf("%+v", o)
	}
	if r := o.Rand(); r < 0 || r >= 1 {
		t.Errorf("random number %v", r)
	}
	o = Options{StealAfter: -1, MaxOvertakes: -1, LifetimeJitter: math.Inf(-1)}.withDefaults()
	if o.StealAfter != 0 || o.MaxOvertakes != 0 || o.LifetimeJitter != 0 || o.DialBackoffMin != DefaultDialBackoffMin {
		t.Errorf("%+v", o)
	}
}

func TestBackoffGrowsWithinLimits(t *testing.T) {
	refused := errors.New("refused")
	for _, random := range []float64{0, 0.5, 0.999999} {
		o := Options{Rand: func() float64 { return random }}.withDefaults()
		var b backoff
		now := time.Duration(0)
		for n := range uint64(200) {
			b.fail(n, refused, now, &o)
			pause := b.retryAt - now
			full := time.Second
			if n < 5 {
				full = 50 * time.Millisecond << n
			}
			if pause > full || pause < full/2 {
				t.Fatalf("pause %d is %v", n, pause)
			}
			now = b.retryAt
		}
		if b.fail(0, refused, now, &o); b.failures != 200 {
			t.Error("an attempt that began before counts")
		}
	}
}

// Settings that come and go leave nothing behind.
func TestShelvesAreSwept(t *testing.T) {
	g, p := filled(t, 3)
	w := new(Waiter)
	for i := range 10_000 {
		w.Settings = i
		c, _ := g.Borrow(p, w, 0, nil)
		c.Settings = i
		g.Release(c, true, 0, nil)
	}
	if n := len(p.shelves.dirty); n > emptyShelves+2*3 {
		t.Errorf("%d shelves for 3 connections", n)
	}
	if err := verify(g); err != nil {
		t.Error(err)
	}
}

// A session keeps its *Pool for days; the group forgets pools that are not used.
func TestForgottenPools(t *testing.T) {
	g := NewGroup(Options{Budget: 1, MaxIdle: 1})
	k := Key{"u", "d"}
	kept := g.Pool(k)
	if n := len(g.Stats().Pools); n != 0 {
		t.Errorf("%d pools before the first borrow", n)
	}
	lend := func(p *Pool) *Conn {
		_, out := g.Borrow(p, new(Waiter), 0, nil)
		c := new(Conn)
		g.Dialed(out[0].Dial, c, nil, TargetFailed, 0, nil)
		return c
	}
	drop := func(c *Conn) {
		g.Release(c, false, 0, nil)
		g.Closed(c, 0, nil)
	}
	drop(lend(kept))
	if n := len(g.Stats().Pools); n != 0 {
		t.Errorf("%d pools after the last connection", n)
	}
	c := lend(g.Pool(k))
	g.Release(c, true, 0, nil)
	if c.Pool() == kept {
		t.Fatal("the pool was remembered")
	}
	// The old pointer leads to the pool that is in use now.
	again, _ := g.Borrow(kept, new(Waiter), 0, nil)
	if again != c || again.Pool().Key() != k {
		t.Errorf("got %p instead of %p", again, c)
	}
	drop(c)
	if c = lend(kept); c.Pool() != kept {
		t.Error("the pool is not in use again")
	}
}

func TestDialedTwice(t *testing.T) {
	g := NewGroup(Options{Budget: 2})
	w := new(Waiter)
	_, out := g.Borrow(g.Pool(Key{"u", "d"}), w, time.Second, nil)
	if w.Since() != time.Second {
		t.Errorf("waits since %v", w.Since())
	}
	d := out[0].Dial
	g.Dialed(d, new(Conn), nil, TargetFailed, 0, nil)
	defer func() {
		if recover() == nil {
			t.Error("no panic")
		}
		// The lock is free again.
		if err := verify(g); err != nil {
			t.Error(err)
		}
	}()
	g.Dialed(d, new(Conn), nil, TargetFailed, 0, nil)
}

func TestReasonTexts(t *testing.T) {
	seen := map[string]bool{}
	for _, r := range CloseReasons() {
		if seen[r.String()] || r.String() == "unknown" || r.String() == "" {
			t.Errorf("reason %d is %q", r, r)
		}
		seen[r.String()] = true
	}
	if CloseReason(200).String() != "unknown" || ActionKind(200).String() != "none" || Wake.String() != "wake" {
		t.Error("texts of unknown values")
	}
}

type numbered struct{ n, slot int }

func (a *numbered) heapBefore(b *numbered) bool { return a.n < b.n }
func (a *numbered) heapSlot() *int              { return &a.slot }

func TestHeap(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var h heap[*numbered]
		var all []*numbered
		for range rapid.IntRange(1, 60).Draw(t, "steps") {
			switch move := rapid.IntRange(0, 2).Draw(t, "move"); {
			case move == 0 || len(all) == 0:
				e := &numbered{n: rapid.IntRange(0, 20).Draw(t, "n")}
				all = append(all, e)
				h.fix(e)
			case move == 1:
				e := all[rapid.IntRange(0, len(all)-1).Draw(t, "which")]
				e.n = rapid.IntRange(0, 20).Draw(t, "n")
				h.fix(e)
			default:
				i := rapid.IntRange(0, len(all)-1).Draw(t, "which")
				h.remove(all[i])
				h.remove(all[i]) // harmless
				all = slices.Delete(all, i, i+1)
			}
			if len(h.entries) != len(all) {
				t.Fatalf("%d entries of %d", len(h.entries), len(all))
			}
			if len(all) == 0 {
				if h.top() != nil {
					t.Fatal("top of an empty heap")
				}
				continue
			}
			least := slices.MinFunc(all, func(a, b *numbered) int { return a.n - b.n })
			if h.top().n != least.n {
				t.Fatalf("top %d, least %d", h.top().n, least.n)
			}
		}
	})
}
