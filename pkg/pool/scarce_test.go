// SPDX-License-Identifier: Apache-2.0

package pool

import "testing"

// TestScarce asks the holder's question at each step of two pools that share a budget
// of two.
func TestScarce(t *testing.T) {
	g := NewGroup(Options{Budget: 2, MaxIdle: 2})
	a, b := g.Pool(Key{"a", "d"}), g.Pool(Key{"b", "d"})
	var first, second, third Waiter
	var conns [2]Conn
	dial := func(p *Pool, w *Waiter, c *Conn) {
		t.Helper()
		_, out := g.Borrow(p, w, 0, nil)
		if len(out) == 0 || out[0].Kind != Dial {
			t.Fatalf("no dial: %v", out)
		}
		g.Dialed(out[0].Dial, c, nil, TargetFailed, 0, nil)
	}
	check := func(step string, forA, forB bool) {
		t.Helper()
		if gotA, gotB := g.Scarce(a), g.Scarce(b); gotA != forA || gotB != forB {
			t.Errorf("%s: %v for a, %v for b", step, gotA, gotB)
		}
	}
	check("nothing yet", false, false)
	dial(a, &first, &conns[0])
	check("one of two is lent", false, false)
	dial(b, &second, &conns[1])
	check("both are lent: the next one would wait", true, true)
	g.Release(&conns[1], true, 0, nil)
	check("one is idle", false, false)
	if c, _ := g.Borrow(b, &second, 0, nil); c == nil {
		t.Fatal("it was not idle")
	}
	if c, _ := g.Borrow(a, &third, 0, nil); c != nil {
		t.Fatal("there was another one")
	}
	check("somebody waits", true, true)
	g.Cancel(&third, 0, nil)
	g.Release(&conns[0], true, 0, nil)
	check("nobody waits any more", false, false)
}
