// SPDX-License-Identifier: Apache-2.0

package netloop_test

import (
	"math"
	"math/rand/v2"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/rdsproxy/rdsproxy/pkg/netloop"
)

// inBubble runs a test over a loop whose time is that of the bubble.
func inBubble(t *testing.T, f func(t *testing.T, l *loop)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		l := startLoop(t, netloop.Options{Driver: netloop.DriverPortable})
		f(t, l)
		l.stop()
	})
}

func TestTimer(t *testing.T) {
	eachDriver(t, func(t *testing.T, l *loop) {
		fired := make(chan time.Duration, 8)
		var tm netloop.Timer
		tm.Init(func() { fired <- l.Now() })
		var armed time.Duration
		for _, after := range []time.Duration{0, time.Microsecond, 3 * time.Millisecond, 15 * time.Millisecond} {
			l.do(func() {
				armed = l.Now()
				l.Arm(&tm, after)
				if !tm.Armed() {
					t.Error("not armed")
				}
			})
			if at := wait(t, fired, "timer"); at < armed+after {
				t.Errorf("armed for %v, fired after %v", after, at-armed)
			}
			l.do(func() {
				if tm.Armed() {
					t.Error("armed after it has fired")
				}
			})
		}
		l.do(func() {
			l.Arm(&tm, 0)
			tm.Stop()
			tm.Stop()
		})
		l.turns()
		none(t, fired, "stopped timer")
	})
}

func TestTimerOrder(t *testing.T) {
	inBubble(t, func(t *testing.T, l *loop) {
		const n = 5000
		rng := rand.New(rand.NewPCG(1, 2))
		timers := make([]netloop.Timer, n)
		due := make([]time.Duration, n) // negative: stopped
		var fired []time.Duration
		l.do(func() {
			for i := range timers {
				timers[i].Init(func() {
					if l.Now() != due[i] {
						t.Errorf("timer %d fired at %v, want %v", i, l.Now(), due[i])
					}
					fired = append(fired, due[i])
				})
			}
			for range 5 * n {
				i := rng.IntN(n)
				switch rng.IntN(4) {
				case 0:
					timers[i].Stop()
					due[i] = -1
				default:
					after := time.Duration(1 + rng.IntN(1000)*int(time.Millisecond))
					l.Arm(&timers[i], after)
					due[i] = l.Now() + after
				}
			}
		})
		<-time.After(2 * time.Second)
		want := slices.DeleteFunc(slices.Clone(due), func(d time.Duration) bool { return d <= 0 })
		slices.Sort(want)
		l.do(func() {
			if !slices.Equal(fired, want) {
				t.Errorf("%d fired, want %d", len(fired), len(want))
			}
		})
	})
}

// TestTimerMoved moves a timer to a later time again and again.
func TestTimerMoved(t *testing.T) {
	inBubble(t, func(t *testing.T, l *loop) {
		var tm netloop.Timer
		fired := []time.Duration{}
		tm.Init(func() { fired = append(fired, l.Now()) })
		for range 10 {
			l.do(func() { l.Arm(&tm, time.Second) })
			<-time.After(600 * time.Millisecond)
		}
		l.do(func() {
			if len(fired) != 0 {
				t.Errorf("fired at %v", fired)
			}
		})
		<-time.After(time.Minute)
		l.do(func() {
			if len(fired) != 1 || fired[0] != 9*600*time.Millisecond+time.Second {
				t.Errorf("fired at %v", fired)
			}
		})
		// And to an earlier one.
		l.do(func() {
			l.Arm(&tm, time.Hour)
			l.Arm(&tm, time.Second)
			l.Arm(&tm, math.MaxInt64) // never
		})
		<-time.After(1000 * time.Hour)
		l.do(func() {
			if len(fired) != 1 || !tm.Armed() {
				t.Errorf("fired at %v", fired)
			}
			tm.Stop()
		})
	})
}

// TestTimerFromTimer arms and stops timers from within timers.
func TestTimerFromTimer(t *testing.T) {
	inBubble(t, func(t *testing.T, l *loop) {
		var tick, victim, killer netloop.Timer
		n := 0
		tick.Init(func() {
			if n++; n < 100 {
				l.Arm(&tick, 0) // must not keep the loop from going on
			}
		})
		victim.Init(func() { t.Error("stopped timer has fired") })
		killer.Init(victim.Stop)
		l.do(func() {
			l.Arm(&tick, 0)
			l.Arm(&killer, time.Second)
			l.Arm(&victim, time.Second+1)
		})
		<-time.After(2 * time.Second)
		l.do(func() {
			if n != 100 {
				t.Errorf("%d ticks", n)
			}
		})
	})
}

func TestTimerOnAnotherLoop(t *testing.T) {
	eachTwoLoops(t, func(t *testing.T, a, b *loop) {
		fired := make(chan int, 8)
		var tm netloop.Timer
		at := 0
		tm.Init(func() { fired <- at })
		a.do(func() {
			l := a
			l.Arm(&tm, 0)
		})
		wait(t, fired, "timer")
		at = 1
		b.do(func() { b.Arm(&tm, 0) })
		if got := wait(t, fired, "timer"); got != 1 {
			t.Errorf("fired on loop %d", got)
		}
	})
}

func BenchmarkTimers(b *testing.B) {
	l, err := netloop.New(netloop.Options{Driver: netloop.DriverPortable})
	if err != nil {
		b.Fatal(err)
	}
	defer l.Stop()
	const n = 100_000
	timers := make([]netloop.Timer, n)
	rng := rand.New(rand.NewPCG(1, 2))
	for i := range timers {
		timers[i].Init(func() {})
		l.Arm(&timers[i], time.Duration(1+rng.IntN(1e9)))
	}
	b.Run("arm-later", func(b *testing.B) {
		for i := range b.N {
			l.Arm(&timers[i%n], 2*time.Second+time.Duration(i))
		}
	})
	b.Run("stop-and-arm", func(b *testing.B) {
		for i := range b.N {
			t := &timers[i%n]
			t.Stop()
			l.Arm(t, time.Duration(1+rng.IntN(1e9)))
		}
	})
}
