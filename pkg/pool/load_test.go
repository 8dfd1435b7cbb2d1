// SPDX-License-Identifier: Apache-2.0

package pool

import (
	"cmp"
	"fmt"
	"slices"
	"testing"
	"time"
)

// load runs sessions against a group in virtual time: each borrows, works,
// releases, thinks, and borrows again. Dials and closes take their time too.
type load struct {
	t      *testing.T
	g      *Group
	now    time.Duration
	events []event
	order  int
	dial   time.Duration // how long a dial takes
	shut   time.Duration // how long a close takes
	users  []*user
	top    int // most slots in use
}

type event struct {
	at    time.Duration
	order int
	do    func()
}

type user struct {
	Waiter
	pool        *Pool
	work, think time.Duration
	asked       time.Duration
	served      int
	longest     time.Duration // wait
}

func (l *load) after(d time.Duration, do func()) {
	l.order++
	e := event{l.now + d, l.order, do}
	i, _ := slices.BinarySearchFunc(l.events, e, func(a, b event) int {
		return cmp.Or(cmp.Compare(a.at, b.at), cmp.Compare(a.order, b.order))
	})
	l.events = slices.Insert(l.events, i, e)
}

func (l *load) add(n int, database string, work, think time.Duration) []*user {
	first := len(l.users)
	for i := range n {
		u := &user{pool: l.g.Pool(Key{"u", database}), work: work, think: think}
		u.Loop = i % 2
		u.Owner = u
		l.users = append(l.users, u)
		l.after(time.Duration(len(l.users))*time.Microsecond, func() { l.borrow(u) })
	}
	return l.users[first:]
}

func (l *load) borrow(u *user) {
	u.asked = l.now
	c, out := l.g.Borrow(u.pool, &u.Waiter, l.now, nil)
	l.perform(out)
	if c != nil {
		l.hold(c, u)
	}
}

func (l *load) hold(c *Conn, u *user) {
	u.served++
	u.longest = max(u.longest, l.now-u.asked)
	c.Loop = u.Loop
	l.after(u.work, func() {
		l.perform(l.g.Release(c, true, l.now, nil))
		l.after(u.think, func() { l.borrow(u) })
	})
}

func (l *load) perform(out []Action) {
	for _, a := range out {
		switch a.Kind {
		case Grant:
			l.hold(a.Conn, a.Waiter.Owner.(*user))
		case Dial:
			l.after(l.dial, func() { l.perform(l.g.Dialed(a.Dial, &Conn{Loop: a.Dial.Loop}, nil, TargetFailed, l.now, nil)) })
		case Close:
			l.after(l.shut, func() { l.perform(l.g.Closed(a.Conn, l.now, nil)) })
		case Wake:
			l.after(a.At-l.now, l.tick)
		default:
			l.t.Fatalf("unexpected %v", a.Kind)
		}
	}
	l.g.mu.Lock()
	l.top = max(l.top, l.g.total())
	l.g.mu.Unlock()
}

func (l *load) tick() {
	next, out := l.g.Tick(l.now, nil)
	l.perform(out)
	if next != Never {
		l.after(max(next-l.now, 0), l.tick)
	}
}

func (l *load) run(until time.Duration) {
	for len(l.events) > 0 && l.events[0].at <= until {
		e := l.events[0]
		l.events = l.events[1:]
		l.now = e.at
		e.do()
	}
	l.now = until
	if err := verify(l.g); err != nil {
		l.t.Fatal(err)
	}
}

func newLoad(t *testing.T, o Options) *load {
	return &load{t: t, g: NewGroup(o), dial: 5 * time.Millisecond, shut: time.Millisecond}
}

func sum(users []*user) (served int, longest time.Duration) {
	for _, u := range users {
		served += u.served
		longest = max(longest, u.longest)
	}
	return served, longest
}

// TestFewPoolsShareFairly: two pools want everything, one of them with many more
// sessions, which came first.
func TestFewPoolsShareFairly(t *testing.T) {
	l := newLoad(t, Options{Budget: 10, MaxIdle: 10})
	many := l.add(500, "many", time.Millisecond, 0)
	l.run(time.Second)
	few := l.add(20, "few", time.Millisecond, 0)
	l.run(2 * time.Second)
	before, _ := sum(many)
	dials := l.g.Stats().Dials
	l.run(6 * time.Second)
	after, _ := sum(many)
	got, longest := sum(few)
	t.Logf("many %d/s, few %d/s, longest wait of few %v, dials %d, then %d",
		(after-before)/4, got/5, longest, dials, l.g.Stats().Dials-dials)
	if longest > 150*time.Millisecond || got < 5*900 {
		t.Errorf("the small pool was served %d times, and waited up to %v", got, longest)
	}
	if l.top > 10 {
		t.Errorf("%d slots in use", l.top)
	}
	if n := l.g.Stats().Dials - dials; n > 20 {
		t.Errorf("%d dials although nothing changes", n)
	}
}

// TestBusyPoolsApproachEqualShares: where everybody waits for long, the pool that
// came later gets its half, and then connections stay where they are.
func TestBusyPoolsApproachEqualShares(t *testing.T) {
	l := newLoad(t, Options{Budget: 10, MaxIdle: 10})
	l.add(3000, "first", time.Millisecond, 0)
	l.run(time.Second)
	l.add(2000, "second", time.Millisecond, 0)
	l.run(2 * time.Second)
	s := l.g.Stats()
	if a, b := s.Pools[0].Borrowed, s.Pools[1].Borrowed; a != 5 || b != 5 {
		t.Errorf("shares are %d and %d", a, b)
	}
	l.run(5 * time.Second)
	if n := l.g.Stats().Dials - s.Dials; n > 0 {
		t.Errorf("%d dials although nothing changes", n)
	}
}

// TestMorePoolsThanSlots: nobody may starve, and connections may not be opened
// and closed all the time.
func TestMorePoolsThanSlots(t *testing.T) {
	l := newLoad(t, Options{Budget: 3, MaxIdle: 3})
	for i := range 8 {
		l.add(5, fmt.Sprint(i), time.Millisecond, 0)
	}
	l.run(20 * time.Second)
	s := l.g.Stats()
	total, longest := sum(l.users)
	t.Logf("served %d, dials %d, longest wait %v", total, s.Dials, longest)
	for i, u := range l.users {
		if u.served < 100 {
			t.Errorf("session %d was served %d times", i, u.served)
		}
	}
	if longest > 3*time.Second {
		t.Errorf("somebody waited %v", longest)
	}
	if l.top > 3 {
		t.Errorf("%d slots in use", l.top)
	}
	// Of 3 slots each may change hands once in StealAfter, plus its closing and dialling.
	if limit := uint64(3 * 20 * 10); s.Dials > limit {
		t.Errorf("%d dials, at most %d make sense", s.Dials, limit)
	}
}

// TestShortBursts: pools that use a connection now and then do not take them from
// each other as long as there are enough.
func TestShortBursts(t *testing.T) {
	l := newLoad(t, Options{Budget: 8, MaxIdle: 8})
	for i := range 8 {
		l.add(3, fmt.Sprint(i), time.Millisecond, 20*time.Millisecond)
	}
	l.run(10 * time.Second)
	s := l.g.Stats()
	total, longest := sum(l.users)
	t.Logf("served %d, dials %d, longest wait %v", total, s.Dials, longest)
	if s.Dials > 30 {
		t.Errorf("%d dials for 8 pools", s.Dials)
	}
	if longest > 50*time.Millisecond {
		t.Errorf("somebody waited %v", longest)
	}
}
