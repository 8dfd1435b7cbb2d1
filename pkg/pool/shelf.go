// SPDX-License-Identifier: Apache-2.0

package pool

// shelf holds the idle connections of one pool that have the same settings, by
// loop, last used first: a few connections stay busy and the others may age.
type shelf struct {
	loops []connList // index: loop plus one, so that "none" has a place too
	n     int
}

func (s *shelf) add(c *Conn) {
	i := max(c.Loop, -1) + 1
	for len(s.loops) <= i {
		s.loops = append(s.loops, connList{which: linkShelf})
	}
	s.loops[i].pushFront(c)
	s.n++
	c.shelf, c.shelfAt = s, i
}

func (s *shelf) remove(c *Conn) {
	s.loops[c.shelfAt].remove(c)
	s.n--
	c.shelf = nil
}

// pick finds the connection for a borrower on the given loop: the last used one
// there, or else the last used one anywhere. There are no more loops than
// processors, so looking at all of them is cheap.
func (s *shelf) pick(loop int) *Conn {
	if s == nil || s.n == 0 {
		return nil
	}
	if i := max(loop, -1) + 1; i < len(s.loops) && s.loops[i].head != nil {
		return s.loops[i].head
	}
	var best *Conn
	for i := range s.loops {
		if c := s.loops[i].head; c != nil && (best == nil || c.since > best.since) {
			best = c
		}
	}
	return best
}

// shelves are all shelves of one pool.
type shelves struct {
	clean shelf // no settings
	dirty map[any]*shelf
}

// emptyShelves is how many empty shelves a pool keeps for settings that may come
// back; finding them again costs less than making them.
const emptyShelves = 32

func (s *shelves) find(settings any) *shelf {
	if settings == nil {
		return &s.clean
	}
	return s.dirty[settings]
}

// pick finds a connection with the settings of w, or without any; nil: none.
func (s *shelves) pick(w *Waiter) *Conn {
	if c := s.find(w.Settings).pick(w.Loop); c != nil {
		return c
	}
	return s.clean.pick(w.Loop)
}

// add puts an idle connection on its shelf. idle is how many the pool has, which
// bounds the number of shelves in use.
func (s *shelves) add(c *Conn, idle int) {
	at := s.find(c.Settings)
	if at == nil {
		if s.dirty == nil {
			s.dirty = make(map[any]*shelf)
		}
		if len(s.dirty) >= 2*idle+emptyShelves {
			s.sweep()
		}
		at = new(shelf)
		s.dirty[c.Settings] = at
	}
	at.add(c)
}

func (s *shelves) sweep() {
	for settings, at := range s.dirty {
		if at.n == 0 {
			delete(s.dirty, settings)
		}
	}
}
