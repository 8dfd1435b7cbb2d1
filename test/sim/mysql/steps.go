// SPDX-License-Identifier: Apache-2.0

package main

import (
	"container/heap"
)

// run goes on until nothing can happen any more.
func (w *world) run() {
	for w.failure == "" && !w.finished() && w.step() {
		if w.steps > 200_000 {
			w.failf("no end")
		}
	}
	if w.failure == "" {
		w.verify()
	}
}

func (w *world) finished() bool {
	for _, c := range w.clients {
		if !c.done || !c.gone || !c.session.Closed() {
			return false
		}
	}
	return len(w.mail) == 0
}

// verify looks for what was left behind.
func (w *world) verify() {
	for _, c := range w.clients {
		if !c.done || !c.session.Closed() {
			w.failf("client %d never ended: done %v, gone %v, waiting %v, borrowed %v, out %d, inbox %d, owed %d, read %q, kept %q, paused %v",
				c.id, c.done, c.gone, c.session.Waiting(), c.session.Borrowed(), len(c.out), len(c.inbox), len(c.sent), c.read, c.kept, c.paused)
		}
		c.verifyRows()
	}
	for row, n := range w.committed {
		if n > 1 {
			w.failf("row %s was committed %d times", row, n)
		}
	}
	s := w.group.Stats()
	if s.Waiting != 0 || s.Borrowed != 0 || s.Dedicated != 0 {
		w.failf("left behind: %d waiting, %d borrowed", s.Waiting, s.Borrowed)
	}
}

// step does one of the things that can happen now; false if there are none.
func (w *world) step() bool {
	w.steps++
	w.now += 20_000 // ns
	if len(w.events) > 0 && w.events[0].at <= w.now {
		heap.Pop(&w.events).(event).f()
		return true
	}
	if len(w.mail) > 0 && w.rng.IntN(3) == 0 {
		return w.open(w.rng.IntN(len(w.mail)))
	}
	n := len(w.clients) + len(w.conns)
	from := w.rng.IntN(n)
	for i := range n {
		k := (from + i) % n
		if k < len(w.clients) {
			if w.clients[k].step() {
				return true
			}
		} else if w.conns[k-len(w.clients)].step() {
			return true
		}
	}
	if len(w.mail) > 0 {
		return w.open(0)
	}
	return w.skip()
}

func (w *world) open(i int) bool {
	f := w.mail[i]
	w.mail = append(w.mail[:i], w.mail[i+1:]...)
	f()
	return true
}

// skip goes to the next time at which something happens.
func (w *world) skip() bool {
	var c *client
	for _, other := range w.clients {
		if other.timerAt > 0 && (c == nil || other.timerAt < c.timerAt) {
			c = other
		}
	}
	if c != nil && (len(w.events) == 0 || c.timerAt < w.events[0].at) {
		w.now = max(w.now, c.timerAt)
		return true
	}
	if len(w.events) == 0 {
		return false
	}
	w.now = max(w.now, w.events[0].at)
	heap.Pop(&w.events).(event).f()
	return true
}

func (d *conn) step() bool {
	w := d.w
	if d.noticed {
		return false
	}
	if d.broken {
		if d.closing {
			return false
		}
		d.lost()
		return true
	}
	if d.dying && len(d.db.sent) == 0 {
		d.broken = true
		return true
	}
	if w.faults && !d.closing && !d.dying && w.rng.IntN(2000) == 0 {
		if w.rng.IntN(2) == 0 && d.lastWords() {
			return true
		}
		w.trace("connection %d dies", d.number)
		w.met[serverDied]++
		d.broken = true
		if d.borrower != nil {
			d.borrower.loses()
		}
		d.db.sent = nil
		return true
	}
	if len(d.toServer) > 0 && !d.dying && (len(d.db.sent) == 0 || w.rng.IntN(2) == 0) {
		n := w.part(len(d.toServer))
		d.db.receive(d.toServer[:n])
		d.toServer = d.toServer[n:]
		return true
	}
	if n := len(d.db.sent); n > 0 {
		d.read(w.part(n))
		return true
	}
	return false
}

func (c *client) step() bool {
	w := c.w
	switch {
	case !c.started:
		return false
	case c.timerAt > 0 && c.timerAt <= w.now:
		c.timerAt = 0
		c.session.TimeUp()
		return true
	case c.done:
		if c.gone {
			return false
		}
		c.gone = true
		if !c.closed {
			c.session.ClientGone()
		}
		return true
	case w.faults && w.rng.IntN(1500) == 0 && c.welcomed:
		w.trace("client %d vanishes", c.id)
		w.met[clientVanished]++
		c.vanish()
		return true
	case w.faults && w.rng.IntN(4000) == 0 && c.welcomed && !c.drained && !c.closed:
		w.trace("client %d is drained", c.id)
		w.met[clientDrained]++
		c.drained = true
		c.session.Drain()
		return true
	case c.ready() && w.rng.IntN(3) == 0:
		c.write()
		return true
	case len(c.inbox) > 0 && w.rng.IntN(2) == 0:
		c.receive(w.part(len(c.inbox)))
		return true
	case (len(c.out) > 0 || c.wake) && !c.paused && !c.closed:
		n := w.part(len(c.out))
		c.kept = append(c.kept, c.out[:n]...)
		c.out = c.out[n:]
		c.wake = false
		c.kept = c.kept[c.session.ClientData(c.kept):]
		return true
	case len(c.inbox) > 0:
		c.receive(w.part(len(c.inbox)))
		return true
	case c.closed:
		c.isClosed()
		return true
	case c.ready():
		c.write()
		return true
	}
	return c.leave()
}

// leave ends a client that has nothing more to do.
func (c *client) leave() bool {
	if c.left != 0 || len(c.sent) > 0 || len(c.out) > 0 || !c.welcomed {
		return false
	}
	if c.w.rng.IntN(2) == 0 && !c.doubtful {
		c.left = -1
		c.out = append(c.out, 1, 0, 0, 0, 1) // COM_QUIT
		return true
	}
	c.done = true
	return true
}
