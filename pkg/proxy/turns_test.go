// SPDX-License-Identifier: Apache-2.0

package proxy

import (
	"context"
	"testing"
	"testing/synctest"
)

// TestTurns: few at first, more with each success, few again after a failure, in order,
// and nobody is lost when one gives up.
func TestTurns(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var turns turns
		began := make(chan int, 1000)
		begin := func(ctx context.Context, i int) {
			go func() {
				if turns.take(ctx) == nil {
					began <- i
				}
			}()
			synctest.Wait()
		}
		want := func(from, to int) {
			t.Helper()
			synctest.Wait()
			if len(began) != to-from {
				t.Fatalf("%d have begun, want %d", len(began), to-from)
			}
			seen := make(map[int]bool)
			for range to - from {
				seen[<-began] = true
			}
			for i := from; i < to; i++ {
				if !seen[i] {
					t.Fatalf("%d has not begun", i)
				}
			}
		}
		ctx, giveUp := context.WithCancel(t.Context())
		for i := range 200 {
			if i == 150 {
				begin(ctx, i)
			} else {
				begin(t.Context(), i)
			}
		}
		want(0, fewestDials)
		turns.done(true)
		want(4, 6)
		for range 5 {
			turns.done(true)
		}
		want(6, 16)
		giveUp()
		for range 10 {
			turns.done(false)
		}
		want(16, 20)
		turns.done(true)
		turns.startOver()
		want(20, 22)
		for range 5 { // of five, two are too many now
			turns.done(false)
		}
		want(22, 26)
		for i := 26; i < 150; i++ {
			turns.done(false)
			want(i, i+1)
		}
		turns.done(false)
		want(151, 152) // who was 150 has given up
		if turns.busy != fewestDials {
			t.Errorf("%d are busy", turns.busy)
		}
		for range 200 - 152 + fewestDials {
			turns.done(true)
			synctest.Wait()
		}
		if turns.busy != 0 || len(turns.waiting) != 0 {
			t.Errorf("%d are busy, %d wait", turns.busy, len(turns.waiting))
		}
	})
}
