// SPDX-License-Identifier: Apache-2.0

package netloop_test

import (
	"bytes"
	"testing"

	"github.com/rdsproxy/rdsproxy/pkg/netloop"
)

// fickle is a Handler whose decisions are bytes from outside.
type fickle struct {
	l      *loop
	script []byte
	step   int
	got    []byte
	want   int
	done   chan struct{}
}

func (f *fickle) next() byte {
	if len(f.script) == 0 {
		return 0
	}
	b := f.script[f.step%len(f.script)]
	f.step++
	if f.step > 4*len(f.script)+1000 { // come to an end
		return 0
	}
	return b
}

func (f *fickle) Drained(*netloop.Conn)       {}
func (f *fickle) Closed(*netloop.Conn, error) {}

func (f *fickle) Data(c *netloop.Conn, p []byte) int {
	d := f.next()
	n := len(p)
	switch d & 3 {
	case 1:
		n = n * int(d>>4) / 16
	case 2:
		n = min(n, int(d>>4))
	}
	f.got = append(f.got, p[:n]...)
	if len(f.got) == f.want {
		close(f.done)
		return n
	}
	if d&4 != 0 {
		c.PauseRead()
		f.l.Post(c.ResumeRead)
	} else if n < len(p) {
		c.ResumeRead()
	}
	if d&8 != 0 { // something for the peer, of the buffer or not
		c.Write(p[:n])
		c.Write([]byte{d})
	}
	return n
}

// FuzzStream cuts a stream of bytes at given places, on the way to a handler that
// consumes, pauses and resumes at will. It must see each byte once and in order.
func FuzzStream(f *testing.F) {
	f.Add([]byte{1, 200, 3}, []byte{0x11, 0x04, 0x82, 0x00})
	f.Add([]byte{255, 255, 255, 255}, []byte{0x75, 0x0c, 0x26})
	f.Add([]byte{0}, []byte{})
	f.Fuzz(func(t *testing.T, cuts, script []byte) {
		if len(cuts) == 0 || len(cuts) > 64 || len(script) > 256 {
			return
		}
		for _, d := range drivers() {
			l := startLoop(t, netloop.Options{Driver: d})
			near, far := tcpPair(t)
			var want []byte
			for _, c := range cuts {
				want = append(want, pattern(int(c)*int(c)+1)...)
			}
			h := &fickle{l: l, script: script, want: len(want), done: make(chan struct{})}
			l.attach(far, h)
			go func() { // takes what the handler sends
				buf := make([]byte, 4096)
				for {
					if _, err := near.Read(buf); err != nil {
						return
					}
				}
			}()
			rest := want
			for _, c := range cuts {
				n := int(c)*int(c) + 1
				send(near, rest[:n])
				rest = rest[n:]
			}
			_ = wait(t, h.done, "all bytes")
			l.do(func() {
				if !bytes.Equal(h.got, want) {
					t.Error("bytes differ")
				}
			})
			l.stop()
			near.Close()
		}
	})
}
