// SPDX-License-Identifier: Apache-2.0

package pool

// heapEntry is something that knows its place in the one heap it may be in.
type heapEntry[T any] interface {
	// heapBefore tells whether this entry comes out before o.
	heapBefore(o T) bool
	// heapSlot is where the entry keeps its index plus one; 0: not in a heap.
	heapSlot() *int
}

// heap is a binary heap whose entries can be moved and removed.
type heap[T heapEntry[T]] struct{ entries []T }

// top is the first entry, or the zero value.
func (h *heap[T]) top() (first T) {
	if len(h.entries) > 0 {
		first = h.entries[0]
	}
	return first
}

// fix enters e, or moves it to where it belongs now.
func (h *heap[T]) fix(e T) {
	slot := e.heapSlot()
	if *slot == 0 {
		h.entries = append(h.entries, e)
		*slot = len(h.entries)
	}
	i := *slot - 1
	h.down(h.up(i))
}

// remove takes e out, if it is in.
func (h *heap[T]) remove(e T) {
	slot := e.heapSlot()
	if *slot == 0 {
		return
	}
	i, last := *slot-1, len(h.entries)-1
	h.swap(i, last)
	var none T
	h.entries[last] = none
	h.entries = h.entries[:last]
	*slot = 0
	if i < last {
		h.down(h.up(i))
	}
}

func (h *heap[T]) up(i int) int {
	for i > 0 {
		parent := (i - 1) / 2
		if !h.entries[i].heapBefore(h.entries[parent]) {
			break
		}
		h.swap(i, parent)
		i = parent
	}
	return i
}

func (h *heap[T]) down(i int) {
	for {
		first := i
		for child := 2*i + 1; child <= 2*i+2 && child < len(h.entries); child++ {
			if h.entries[child].heapBefore(h.entries[first]) {
				first = child
			}
		}
		if first == i {
			return
		}
		h.swap(i, first)
		i = first
	}
}

func (h *heap[T]) swap(i, j int) {
	if i == j {
		return
	}
	h.entries[i], h.entries[j] = h.entries[j], h.entries[i]
	*h.entries[i].heapSlot() = i + 1
	*h.entries[j].heapSlot() = j + 1
}

func (c *Conn) heapBefore(o *Conn) bool { return c.expires < o.expires }
func (c *Conn) heapSlot() *int          { return &c.heapIndex }
