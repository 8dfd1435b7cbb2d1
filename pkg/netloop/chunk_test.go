// SPDX-License-Identifier: Apache-2.0

package netloop

import (
	"bytes"
	"math/rand/v2"
	"testing"
)

// TestChunks adds and consumes at random and compares with a plain buffer.
func TestChunks(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 2))
	var pool chunkPool
	for range 200 {
		var k *chunk
		var model []byte
		for range 100 {
			switch rng.IntN(3) {
			case 0, 1:
				p := make([]byte, rng.IntN(1<<rng.IntN(17)))
				for i := range p {
					p[i] = byte(rng.Uint32())
				}
				k = pool.add(k, p)
				model = append(model, p...)
			default:
				n := rng.IntN(k.size() + 1)
				if k == nil {
					continue
				}
				k.consume(n)
				model = model[n:]
				if k.size() == 0 {
					pool.put(k)
					k = nil
				}
			}
			if k.size() != len(model) || !bytes.Equal(k.contents(), model) {
				t.Fatal("contents differ")
			}
		}
		pool.put(k)
	}
	kept := 0
	for class, free := range pool.free {
		for _, k := range free {
			kept += cap(k.b)
			if len(k.b) != 0 || k.off != 0 || cap(k.b) != chunkSizes[class] {
				t.Fatal("a chunk was not cleaned")
			}
		}
	}
	if kept > maxPooled*len(chunkSizes) {
		t.Errorf("the pool keeps %d bytes", kept)
	}
}

// TestChunkPoolBound gives back more than the pool keeps.
func TestChunkPoolBound(t *testing.T) {
	var pool chunkPool
	for class, size := range chunkSizes {
		var out []*chunk
		for range 2 * maxPooled / size {
			out = append(out, pool.get(size))
		}
		for _, k := range out {
			pool.put(k)
		}
		if n := len(pool.free[class]) * size; n > maxPooled {
			t.Errorf("chunks of %d: %d bytes kept", size, n)
		}
	}
	huge := pool.get(chunkSizes[len(chunkSizes)-1] + 1)
	pool.put(huge)
	if huge.class != unpooled {
		t.Error("a chunk beyond the classes is pooled")
	}
}

// TestChunkGrowth moves a window through a chunk: it must not grow without end.
func TestChunkGrowth(t *testing.T) {
	var pool chunkPool
	var k *chunk
	piece := make([]byte, 1000)
	for range 10_000 {
		k = pool.add(k, piece)
		if k.size() > 8*len(piece) {
			k.consume(len(piece))
		}
	}
	if cap(k.b) > 64<<10 {
		t.Errorf("%d bytes for %d", cap(k.b), k.size())
	}
}

func TestWithin(t *testing.T) {
	whole := make([]byte, 100)
	other := make([]byte, 100)
	for _, test := range []struct {
		p    []byte
		want int
	}{
		{whole, 0},
		{whole[10:20], 10},
		{whole[99:], 99},
		{whole[:1], 0},
		{other, -1},
		{other[:1], -1},
		{nil, -1},
	} {
		if got := within(whole[:100:100], test.p); got != test.want && len(test.p) > 0 {
			t.Errorf("within(%d bytes) = %d, want %d", len(test.p), got, test.want)
		}
	}
	if within(whole[10:20], whole[15:25]) != -1 || within(whole[10:20], whole[5:15]) != -1 {
		t.Error("a slice that reaches out is within")
	}
	if within(nil, whole[:1]) != -1 {
		t.Error("something is within nothing")
	}
}

// TestControlBound lets TLS answer more than its peer reads.
func TestControlBound(t *testing.T) {
	l, err := New(Options{Driver: DriverPortable})
	if err != nil {
		t.Fatal(err)
	}
	defer l.Stop()
	c := &Conn{loop: l, tls: &tlsState{reading: true}}
	answer := make([]byte, 30)
	n := 0
	for n < 1<<20 {
		if _, err = c.writeRecord(answer); err != nil {
			break
		}
		n += len(answer)
	}
	if err == nil || n > maxControl {
		t.Errorf("%d bytes of answers taken, %v", n, err)
	}
	l.dirty = nil
}
