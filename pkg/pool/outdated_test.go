// SPDX-License-Identifier: Apache-2.0

package pool

import "testing"

// TestOutdated: a dial of before Retire is known to be in vain, and another takes its
// place as soon as it has ended.
func TestOutdated(t *testing.T) {
	g := NewGroup(Options{Budget: 1})
	p := g.Pool(Key{"u", "d"})
	_, out := g.Borrow(p, new(Waiter), 0, nil)
	old := out[0].Dial
	if g.Outdated(old) {
		t.Error("outdated from the start")
	}
	g.Retire(0, nil)
	if !g.Outdated(old) {
		t.Error("not outdated by Retire")
	}
	out = g.Dialed(old, nil, ErrNoneReady, TargetFailed, 0, nil)
	if len(out) == 0 || out[0].Kind != Dial || g.Outdated(out[0].Dial) {
		t.Errorf("%+v", out)
	}
}
