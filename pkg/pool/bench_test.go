// SPDX-License-Identifier: Apache-2.0

package pool

import (
	"testing"
	"time"
)

// filled is a group with n idle connections in one pool.
func filled(tb testing.TB, n int, settings ...any) (*Group, *Pool) {
	g := NewGroup(Options{Budget: n, MaxIdle: n, IdleTimeout: time.Minute, MaxLifetime: time.Hour})
	p := g.Pool(Key{"u", "d"})
	waiters := make([]Waiter, n)
	var conns []*Conn
	for i := range waiters {
		_, out := g.Borrow(p, &waiters[i], 0, nil)
		for _, a := range out {
			if a.Kind == Dial {
				c := &Conn{Loop: i % 2}
				conns = append(conns, c)
				g.Dialed(a.Dial, c, nil, TargetFailed, 0, nil)
			}
		}
	}
	for i, c := range conns {
		if len(settings) > 0 {
			c.Settings = settings[i%len(settings)]
		}
		g.Release(c, true, 0, nil)
	}
	if got := g.Stats().Idle; got != n {
		tb.Fatalf("%d idle", got)
	}
	return g, p
}

// BenchmarkBorrowRelease is one borrow and one release without waiting.
func BenchmarkBorrowRelease(b *testing.B) {
	type settings struct{ text string }
	red, blue := &settings{"red"}, &settings{"blue"}
	for _, bench := range []struct {
		name string
		want any
		have []any
	}{
		{"clean", nil, nil},
		{"settings", red, []any{red, blue}},
		{"alternating", nil, []any{red, blue}},
	} {
		b.Run(bench.name, func(b *testing.B) {
			g, p := filled(b, 100, bench.have...)
			w := Waiter{Loop: 1, Settings: bench.want}
			out := make([]Action, 0, 8)
			b.ReportAllocs()
			i := 0
			for b.Loop() {
				if bench.name == "alternating" {
					w.Settings = bench.have[i&1]
					i++
				}
				c, _ := g.Borrow(p, &w, time.Duration(i), out[:0])
				c.Loop, c.Settings = w.Loop, w.Settings
				g.Release(c, true, time.Duration(i), out[:0])
			}
		})
	}
}

// BenchmarkReleaseToWaiter is one release that serves one of many waiters, who
// then waits again.
func BenchmarkReleaseToWaiter(b *testing.B) {
	g, p := filled(b, 10)
	waiters := make([]Waiter, 500)
	out := make([]Action, 0, 8)
	var c *Conn
	for i := range waiters {
		waiters[i].Loop = i % 2
		if got, _ := g.Borrow(p, &waiters[i], 0, out[:0]); got != nil {
			c = got
		}
	}
	b.ReportAllocs()
	for b.Loop() {
		out = g.Release(c, true, 0, out[:0])
		w := out[0].Waiter
		c = out[0].Conn
		c.Loop = w.Loop
		g.Borrow(p, w, 0, out[:0])
	}
}

// BenchmarkManyPools is the same with a budget that is used up by many pools
// with waiters.
func BenchmarkManyPools(b *testing.B) {
	const pools = 200
	g := NewGroup(Options{Budget: pools, MaxIdle: pools})
	out := make([]Action, 0, 8)
	var conns []*Conn
	for i := range pools {
		p := g.Pool(Key{"u", string(rune('a' + i))})
		for range 4 {
			_, out = g.Borrow(p, new(Waiter), 0, out[:0])
			for _, a := range out {
				if a.Kind == Dial && len(conns) <= i {
					conns = append(conns, new(Conn))
					g.Dialed(a.Dial, conns[i], nil, TargetFailed, 0, nil)
				}
			}
		}
	}
	b.ReportAllocs()
	i := 0
	for b.Loop() {
		i++
		c := conns[i%len(conns)]
		out = g.Release(c, true, 0, out[:0])
		if len(out) > 0 && out[0].Kind == Grant {
			g.Borrow(c.Pool(), out[0].Waiter, 0, out[:0])
		}
	}
}

// TestNoAllocations: the steady state leaves nothing to the garbage collector.
func TestNoAllocations(t *testing.T) {
	type settings struct{ text string }
	red := &settings{"red"}
	g, p := filled(t, 4, red, nil)
	w, other := Waiter{Loop: 1}, Waiter{Loop: 0, Settings: red}
	waiters := make([]Waiter, 3)
	out := make([]Action, 0, 8)
	if n := testing.AllocsPerRun(1000, func() {
		c, _ := g.Borrow(p, &w, 0, out[:0])
		d, _ := g.Borrow(p, &other, 0, out[:0])
		e, _ := g.Borrow(p, &waiters[0], 0, out[:0])
		f, _ := g.Borrow(p, &waiters[1], 0, out[:0])
		g.Borrow(p, &waiters[2], 0, out[:0])
		if out = g.Release(c, true, 0, out[:0]); len(out) != 1 || out[0].Waiter != &waiters[2] {
			t.Fatal("not granted")
		}
		for _, x := range []*Conn{c, d, e, f} {
			g.Release(x, true, 0, out[:0])
		}
	}); n > 0 {
		t.Errorf("%v allocations", n)
	}
}
