// SPDX-License-Identifier: Apache-2.0

package netloop

// Sizes of the pooled chunks. Bigger ones are made when needed and left to the
// garbage collector.
var chunkSizes = [...]int{1 << 10, 4 << 10, 16 << 10, 64 << 10, 256 << 10}

// maxPooled bounds the bytes that one size class keeps for reuse.
const maxPooled = 512 << 10

// unpooled is the class of a chunk that is bigger than any size class.
const unpooled = -1

// A chunk holds bytes that must outlive an event: unsent or unconsumed ones.
// The contents are b[off:].
type chunk struct {
	b     []byte
	off   int
	class int
}

func (k *chunk) bytes() []byte { return k.b[k.off:] }

// contents is bytes for a chunk that may be nil.
func (k *chunk) contents() []byte {
	if k == nil {
		return nil
	}
	return k.bytes()
}

func (k *chunk) consume(n int) { k.off += n }

// size is the number of bytes held; a nil chunk holds none.
func (k *chunk) size() int {
	if k == nil {
		return 0
	}
	return len(k.b) - k.off
}

// chunkPool is the loop's stock of chunks. It belongs to the loop goroutine.
type chunkPool struct {
	free [len(chunkSizes)][]*chunk
}

// get returns an empty chunk with room for n bytes or more.
func (cp *chunkPool) get(n int) *chunk {
	for class, size := range chunkSizes {
		if n > size {
			continue
		}
		free := cp.free[class]
		if len(free) == 0 {
			return &chunk{b: make([]byte, 0, size), class: class}
		}
		k := free[len(free)-1]
		free[len(free)-1] = nil
		cp.free[class] = free[:len(free)-1]
		return k
	}
	return &chunk{b: make([]byte, 0, n), class: unpooled}
}

// put takes k back; nil is allowed. The caller must not use k any more.
func (cp *chunkPool) put(k *chunk) {
	if k == nil || k.class == unpooled {
		return
	}
	size := chunkSizes[k.class]
	if (len(cp.free[k.class])+1)*size > maxPooled {
		return
	}
	k.b, k.off = k.b[:0], 0
	cp.free[k.class] = append(cp.free[k.class], k)
}

// add appends p to k, which may be nil, and returns the chunk that holds the
// result: k itself or a bigger one, k being given back then.
func (cp *chunkPool) add(k *chunk, p []byte) *chunk {
	if len(p) == 0 {
		return k
	}
	if k == nil {
		k = cp.get(len(p))
		k.b = append(k.b, p...)
		return k
	}
	if len(k.b)+len(p) <= cap(k.b) {
		k.b = append(k.b, p...)
		return k
	}
	need := k.size() + len(p)
	if need <= cap(k.b) && k.off >= cap(k.b)/2 {
		n := copy(k.b, k.b[k.off:])
		k.b, k.off = append(k.b[:n], p...), 0
		return k
	}
	// Half as much again, so that a chunk growing in small steps is copied a
	// logarithmic number of times only.
	bigger := cp.get(need + need/2)
	bigger.b = append(append(bigger.b, k.bytes()...), p...)
	cp.put(k)
	return bigger
}
