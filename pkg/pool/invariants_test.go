// SPDX-License-Identifier: Apache-2.0

package pool

import (
	"fmt"
)

// verify looks at everything in the group the slow way, and tells what does not
// fit together. It is run after every step of the tests.
func verify(g *Group) error {
	g.mu.Lock()
	defer g.mu.Unlock()
	v := verifier{g: g, seen: map[*Conn]bool{}}
	for k, p := range g.pools {
		if p.key != k || !p.registered {
			v.fail("pool %v is registered as %v", p.key, k)
		}
		v.pool(p)
	}
	v.group()
	return v.err
}

type verifier struct {
	g       *Group
	err     error
	seen    map[*Conn]bool
	count   [connStates]int
	dialing int
	probing int
	starved int
	wanting int
}

func (v *verifier) fail(format string, args ...any) {
	if v.err == nil {
		v.err = fmt.Errorf(format, args...)
	}
}

func (v *verifier) pool(p *Pool) {
	conns, shelved := 0, 0
	for s := range p.conns {
		for _, c := range walk(&p.conns[s]) {
			if v.seen[c] {
				v.fail("a connection is in two lists")
			}
			v.seen[c] = true
			conns++
			v.count[s]++
			if c.state != connState(s) || c.pool != p {
				v.fail("a connection in state %v is in the list for %v", c.state, connState(s))
			}
			if (c.shelf != nil) != (c.state == connIdle) {
				v.fail("connection in state %v: shelf %p", c.state, c.shelf)
			}
		}
	}
	for settings, s := range p.shelves.dirty {
		shelved += v.shelf(p, settings, s)
	}
	shelved += v.shelf(p, nil, &p.shelves.clean)
	if shelved != p.conns[connIdle].n {
		v.fail("%d idle, %d on shelves", p.conns[connIdle].n, shelved)
	}
	v.dialing += p.dials
	v.probing += p.probing
	v.queue(&p.shared)
	v.queue(&p.dedicated)
	waiting := p.shared.waiting.n + p.dedicated.waiting.n + p.dedicated.dialled.n
	if conns+p.dials+waiting == 0 && !p.listed {
		v.fail("pool %v is not in use, but not forgotten", p.key)
	}
}

func (v *verifier) shelf(p *Pool, settings any, s *shelf) int {
	n := 0
	for i := range s.loops {
		for _, c := range walk(&s.loops[i]) {
			n++
			if c.pool != p || c.Settings != settings || c.shelf != s || c.shelfAt != i || max(c.Loop, -1)+1 != i {
				v.fail("a connection is on the wrong shelf")
			}
		}
	}
	if n != s.n {
		v.fail("a shelf counts %d, has %d", s.n, n)
	}
	return n
}

func (v *verifier) queue(q *queue) {
	g, p := v.g, q.pool
	marks, local := 0, 0
	for w := q.waiting.head; w != nil; w = w.links[linkQueue].next {
		if w.state != waiterQueued || w.queue != q || w.dial != nil {
			v.fail("a waiter in state %d is in a queue", w.state)
		}
		marks += w.marks
	}
	if marks != q.overtaken || q.overtaken > g.opts.MaxOvertakes && q.overtaken > 0 && marks < 0 {
		v.fail("overtaken %d, marks %d", q.overtaken, marks)
	}
	for i := range q.loops {
		for w := q.loops[i].head; w != nil; w = w.links[linkLoop].next {
			local++
			if w.loop != i {
				v.fail("a waiter of loop %d is listed for %d", w.loop, i)
			}
		}
	}
	if !q.dedicated && local > q.waiting.n {
		v.fail("%d waiters by loop, %d in the queue", local, q.waiting.n)
	}
	for w := q.dialled.head; w != nil; w = w.links[linkQueue].next {
		if w.state != waiterDialing || w.dial == nil || w.dial.waiter != w || w.dial.done {
			v.fail("a waiter with its own dial is not tied to it")
		}
	}
	wants := q.want() > 0 && p.open(g.now)
	if q.rank.starving && !wants {
		v.fail("a queue that wants nothing counts as starving")
	}
	if q.rank.starving {
		v.starved++
	}
	if q.rank.heapIndex != 0 {
		v.wanting++
		if q.rank.starving != q.isStarving() || q.rank.seq != q.waiting.head.seq || q.rank.failures != p.failures {
			v.fail("rank is out of date: %+v", q.rank)
		}
	}
	if wants && q.rank.heapIndex == 0 && !p.listed {
		v.fail("a queue that wants a dial is not in the demand")
	}
	if q.waiting.n > 0 && !q.dedicated && p.conns[connIdle].n > 0 && q.want() > 0 {
		v.fail("%d wait with %d dials under way although %d are idle", q.waiting.n, q.dialing, p.conns[connIdle].n)
	}
}

func (v *verifier) group() {
	g := v.g
	if v.count != g.count {
		v.fail("counted %v, have %v", g.count, v.count)
	}
	if v.dialing != g.dialing {
		v.fail("counted %d dials, have %d", g.dialing, v.dialing)
	}
	if v.probing != g.backoff.probing {
		v.fail("counted %d probes, have %d", g.backoff.probing, v.probing)
	}
	if v.starved != g.starving || v.wanting != len(g.demand.entries) {
		v.fail("starving %d of %d, have %d of %d", g.starving, len(g.demand.entries), v.starved, v.wanting)
	}
	idle := walk(&g.idle)
	if len(idle) != g.count[connIdle] {
		v.fail("%d in the order of idleness, %d idle", len(idle), g.count[connIdle])
	}
	for i, c := range idle {
		if !v.seen[c] || c.state != connIdle || i > 0 && idle[i-1].since < c.since {
			v.fail("the order of idleness is wrong at %d", i)
		}
	}
	verifyHeap(v, &g.demand)
	verifyHeap(v, &g.expiry)
	v.quiet()
}

// quiet checks that nothing was left undone.
func (v *verifier) quiet() {
	g := v.g
	q := g.demand.top()
	if q != nil && g.mayDial() {
		v.fail("a dial is wanted and possible, but was not begun")
	}
	if q != nil && g.roomHelps(q) && g.idle.n > 0 && g.mayTake(g.idle.tail, q) <= g.now {
		v.fail("a queue waits although it may take an idle connection")
	}
	if g.armed > g.deadline() {
		v.fail("Tick is expected at %v, but needed at %v", g.armed, g.deadline())
	}
	for _, p := range g.blocked {
		if !p.listed || !p.registered {
			v.fail("a pool in back-off is not known as such")
		}
	}
}

func verifyHeap[T interface {
	heapEntry[T]
	comparable
}](v *verifier, h *heap[T]) {
	for i, e := range h.entries {
		if *e.heapSlot() != i+1 {
			v.fail("heap index %d at %d", *e.heapSlot(), i+1)
		}
		if parent := h.entries[max(i-1, 0)/2]; e.heapBefore(parent) {
			v.fail("heap order is wrong at %d", i)
		}
	}
}

// walk lists the entries from the front, and checks the way back.
func walk(l *connList) []*Conn {
	var all []*Conn
	var prev *Conn
	for c := l.head; c != nil; c = c.links[l.which].next {
		if c.links[l.which].prev != prev {
			panic("broken list")
		}
		all = append(all, c)
		prev = c
	}
	if prev != l.tail || len(all) != l.n {
		panic("broken list")
	}
	return all
}
