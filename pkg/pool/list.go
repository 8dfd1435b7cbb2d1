// SPDX-License-Identifier: Apache-2.0

package pool

// The lists are intrusive: an entry brings its own links, so that entering and
// leaving costs no allocation and no search. A list uses one of the links of its
// entries, told by its field which. The zero list uses link 0.

// The links of a Conn.
const (
	linkState = iota // Pool.conns[state]: every connection, always
	linkShelf        // shelf.loops[loop]: idle ones, by settings and loop
	linkIdle         // Group.idle: idle ones, over all pools
	connLists
)

type connLink struct{ prev, next *Conn }

type connList struct {
	head, tail *Conn
	n          int
	which      uint8
}

func (l *connList) pushFront(c *Conn) {
	k := &c.links[l.which]
	k.next = l.head
	if l.head != nil {
		l.head.links[l.which].prev = c
	} else {
		l.tail = c
	}
	l.head = c
	l.n++
}

func (l *connList) remove(c *Conn) {
	k := &c.links[l.which]
	if k.prev != nil {
		k.prev.links[l.which].next = k.next
	} else {
		l.head = k.next
	}
	if k.next != nil {
		k.next.links[l.which].prev = k.prev
	} else {
		l.tail = k.prev
	}
	*k = connLink{}
	l.n--
}

// The links of a Waiter.
const (
	linkQueue = iota // queue.waiting or queue.dialled: every waiting one
	linkLoop         // queue.loops[loop]: those of queue.waiting that have a loop
	waiterLists
)

type waiterLink struct{ prev, next *Waiter }

type waiterList struct {
	head, tail *Waiter
	n          int
	which      uint8
}

func (l *waiterList) pushFront(w *Waiter) {
	k := &w.links[l.which]
	k.next = l.head
	if l.head != nil {
		l.head.links[l.which].prev = w
	} else {
		l.tail = w
	}
	l.head = w
	l.n++
}

func (l *waiterList) pushBack(w *Waiter) {
	k := &w.links[l.which]
	k.prev = l.tail
	if l.tail != nil {
		l.tail.links[l.which].next = w
	} else {
		l.head = w
	}
	l.tail = w
	l.n++
}

func (l *waiterList) remove(w *Waiter) {
	k := &w.links[l.which]
	if k.prev != nil {
		k.prev.links[l.which].next = k.next
	} else {
		l.head = k.next
	}
	if k.next != nil {
		k.next.links[l.which].prev = k.prev
	} else {
		l.tail = k.prev
	}
	*k = waiterLink{}
	l.n--
}
