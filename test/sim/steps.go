// SPDX-License-Identifier: Apache-2.0

package main

import (
	"container/heap"
	"time"

	wire "github.com/rdsproxy/rdsproxy/pkg/wire/postgres"
)

// step does one of the things that can happen now; false if there are none.
func (w *world) step() bool {
	w.steps++
	w.now += time.Duration(w.rng.IntN(40)) * time.Microsecond
	if len(w.events) > 0 && w.events[0].at <= w.now {
		heap.Pop(&w.events).(event).f()
		return true
	}
	if len(w.mail) > 0 && w.rng.IntN(3) == 0 {
		i := w.rng.IntN(len(w.mail))
		f := w.mail[i]
		w.mail = append(w.mail[:i], w.mail[i+1:]...)
		f()
		return true
	}
	if w.rough && w.rng.IntN(3000) == 0 {
		w.failOver()
		return true
	}
	n := len(w.clients) + len(w.conns)
	from := w.rng.IntN(n)
	for i := range n {
		k := (from + i) % n
		if k < len(w.clients) {
			if w.stepClient(w.clients[k]) {
				return true
			}
		} else if w.stepConn(w.conns[k-len(w.clients)]) {
			return true
		}
	}
	if len(w.mail) > 0 {
		f := w.mail[0]
		w.mail = w.mail[1:]
		f()
		return true
	}
	if len(w.events) > 0 {
		w.now = max(w.now, w.events[0].at)
		heap.Pop(&w.events).(event).f()
		return true
	}
	return false
}

func (w *world) stepClient(c *client) bool {
	if c.timerAt > 0 && c.timerAt <= w.now {
		c.timerAt = 0
		c.session.TimeUp()
		return true
	}
	if c.done {
		return w.endClient(c)
	}
	roll := w.rng.IntN(1000)
	switch {
	case !c.welcomed && len(c.inbox) == 0:
		return c.closed && w.finish(c)
	case w.faults && roll < 2 && !c.gone:
		w.trace("client %d is killed", c.id)
		w.met[clientKilled]++
		c.done = true
		return true
	case w.faults && roll == 2 && !c.gone && !c.closed && w.rng.IntN(4) == 0:
		w.trace("client %d is drained", c.id)
		w.met[clientDrained]++
		c.draining = true
		c.session.Drain()
		return true
	case w.faults && roll < 12 && !c.gone && len(c.sent) > 0 && c.cancels < 3:
		c.cancels++
		w.trace("client %d cancels", c.id)
		c.session.Cancel()
		return true
	}
	switch w.rng.IntN(3) {
	case 0:
		if c.ready() && !c.closed {
			c.write()
			return true
		}
	case 1:
		if len(c.inbox) > 0 {
			c.receive(w.part(len(c.inbox)))
			return true
		}
	}
	if (len(c.out) > 0 || c.wake) && !c.paused && !c.gone && !c.closed {
		n := w.part(len(c.out))
		c.kept = append(c.kept, c.out[:n]...)
		c.out = c.out[n:]
		c.wake = false
		c.kept = c.kept[c.session.ClientData(c.kept):]
		return true
	}
	if len(c.inbox) > 0 {
		c.receive(w.part(len(c.inbox)))
		return true
	}
	if c.closed {
		return w.finish(c)
	}
	if c.left == 0 && len(c.sent) == 0 && len(c.out) == 0 && !c.gone {
		if !c.leaving {
			c.leaving = true
		}
		if w.rng.IntN(2) == 0 {
			c.out = append(c.out, wire.AppendTerminate(nil)...)
			c.left = -1
			return true
		}
		c.done = true
		return true
	}
	if c.ready() {
		c.write()
		return true
	}
	return false
}

// finish is what a client does when the proxy has closed and all was read.
func (w *world) finish(c *client) bool {
	if len(c.inbox) > 0 {
		return false
	}
	if c.left >= 0 && !c.draining && c.welcomed {
		c.isClosed()
	}
	c.done = true
	return true
}

// endClient lets the proxy notice that a client has gone.
func (w *world) endClient(c *client) bool {
	if c.gone {
		return false
	}
	c.gone = true
	if !c.closed {
		c.session.ClientGone()
	}
	return true
}

func (w *world) stepConn(db *conn) bool {
	if db.noticed {
		return false
	}
	if db.broken {
		if db.closing {
			return false
		}
		db.lost()
		return true
	}
	if db.pg.dead && len(db.pg.sent) == 0 {
		db.broken = true
		return true
	}
	seldom := 1500
	if w.rough {
		seldom = 150
	}
	if w.faults && w.rng.IntN(seldom) == 0 && !db.closing && !db.pg.dead {
		db.fails()
		return true
	}
	if len(db.toServer) > 0 && w.rng.IntN(2) == 0 {
		n := w.part(len(db.toServer))
		db.pg.receive(db.toServer[:n])
		db.toServer = db.toServer[n:]
		return true
	}
	if c := db.borrower; c != nil && len(c.inbox) >= 400 && !c.gone {
		w.met[readerSlow]++ // which stops the reading
	} else if len(db.pg.sent) > 0 {
		if w.verbose && db.borrower != nil {
			w.trace("  from the backend of client %d: conn %d %q", db.borrower.id, db.number, db.pg.sent)
		}
		db.read(w.part(len(db.pg.sent)))
		return true
	}
	if len(db.toServer) > 0 {
		db.pg.receive(db.toServer)
		db.toServer = nil
		return true
	}
	return false
}
