// SPDX-License-Identifier: Apache-2.0

package netloop_test

import (
	"io"
	"math/rand/v2"
	"net"
	"sync"
	"testing"
	"time"

	"github.com/rdsproxy/rdsproxy/pkg/netloop"
)

// unruly is a Handler that does whatever comes to its mind, to its own connection
// and to others of its loop. All of its fields belong to the loop.
type unruly struct {
	t     *testing.T
	l     *loop
	rng   *rand.Rand
	all   *[]*netloop.Conn
	timer netloop.Timer
	over  bool // Closed was called
	left  *sync.WaitGroup
}

func (u *unruly) alive(what string) {
	if u.over {
		u.t.Errorf("%s after Closed", what)
	}
}

func (u *unruly) someone() *netloop.Conn { return (*u.all)[u.rng.IntN(len(*u.all))] }

func (u *unruly) Drained(c *netloop.Conn) {
	u.alive("Drained")
	c.ResumeRead()
}

func (u *unruly) Hangup(c *netloop.Conn) {
	u.alive("Hangup")
	c.ResumeRead()
}

func (u *unruly) Closed(c *netloop.Conn, err error) {
	u.alive("Closed")
	if err == nil {
		u.t.Error("closed without a reason")
	}
	u.over = true
	u.timer.Stop()
	if u.rng.IntN(8) == 0 {
		u.someone().Close()
	}
	u.left.Done()
}

func (u *unruly) Data(c *netloop.Conn, p []byte) int {
	u.alive("Data")
	n := u.rng.IntN(len(p) + 1)
	switch u.rng.IntN(16) {
	case 0:
		c.PauseRead()
		u.timer.Init(c.ResumeRead)
		u.l.Arm(&u.timer, time.Millisecond)
	case 1:
		u.someone().Close()
	case 2:
		u.someone().CloseAfterFlush(time.Duration(u.rng.IntN(5)) * time.Millisecond)
	case 3:
		u.someone().CloseWrite()
	case 4:
		panic("chaos")
	case 5:
		u.someone().PauseRead()
	case 6:
		c.ResumeRead()
	default:
		peer := u.someone()
		peer.Write(p[:n])
		peer.Write([]byte("not of the buffer"))
		peer.Write(p[n:])
		peer.ResumeRead()
		n = len(p)
	}
	return n
}

// TestChaos has many connections do anything to each other. Each must be closed
// once, nothing may be called after that, and nothing may be left.
func TestChaos(t *testing.T) {
	eachDriver(t, func(t *testing.T, l *loop) {
		const conns, rounds = 40, 5
		for round := range rounds {
			rng := rand.New(rand.NewPCG(uint64(round), 7))
			var all []*netloop.Conn
			var left, peers sync.WaitGroup
			left.Add(conns)
			nears := make([]net.Conn, conns)
			for i := range nears {
				near, far := pair(t, networks[i%2])
				nears[i] = near
				u := &unruly{t: t, l: l, rng: rng, all: &all, left: &left}
				l.do(func() {
					c, err := l.Attach(netloop.NewTransport(far), nil, u)
					if err != nil {
						t.Error(err)
						return
					}
					all = append(all, c)
				})
			}
			for i, near := range nears {
				peers.Go(func() { disturb(near, rand.New(rand.NewPCG(uint64(i), 8))) })
			}
			peers.Wait()
			l.do(func() { // those that are paused and have heard nothing
				for _, c := range all {
					c.CloseAfterFlush(time.Millisecond)
				}
			})
			done := make(chan struct{})
			go func() { left.Wait(); close(done) }()
			wait(t, done, "all closed")
			l.do(func() {
				if n := l.Conns(); n != 0 {
					t.Errorf("%d connections left", n)
				}
			})
		}
	})
}

// disturb is the other end of a connection in chaos.
func disturb(near net.Conn, rng *rand.Rand) {
	defer near.Close()
	_ = near.SetDeadline(time.Now().Add(200 * time.Millisecond))
	buf := make([]byte, 1<<16)
	for range 50 {
		if rng.IntN(3) == 0 {
			if _, err := io.ReadAtLeast(near, buf[:1+rng.IntN(len(buf)-1)], 1); err != nil {
				return
			}
			continue
		}
		if _, err := near.Write(buf[:rng.IntN(1<<rng.IntN(16))]); err != nil {
			return
		}
	}
	if tcp, ok := near.(*net.TCPConn); ok && rng.IntN(2) == 0 {
		_ = tcp.SetLinger(0)
	}
}
