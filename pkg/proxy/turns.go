// SPDX-License-Identifier: Apache-2.0

package proxy

import (
	"context"
	"slices"
	"sync"
)

// How many connections of a target group are opened side by side: few at first and
// after a failure, and one more with each that was opened. So after a failover, when
// all clients want one, the first get theirs soon, rather than all of them late; and
// where a login takes long because the database is far away, there are soon many.
const (
	fewestDials = 4
	mostDials   = 64
)

// turns lets that many open a connection, in order. The zero value is ready.
type turns struct {
	mu      sync.Mutex
	more    int // than fewestDials
	busy    int
	waiting []chan struct{} // closed when it is one's turn
}

// take waits for one's turn, or for the end of ctx. After nil, done has to be called.
func (t *turns) take(ctx context.Context) error {
	t.mu.Lock()
	if t.busy < fewestDials+t.more {
		t.busy++
		t.mu.Unlock()
		return nil
	}
	turn := make(chan struct{})
	t.waiting = append(t.waiting, turn)
	t.mu.Unlock()
	select {
	case <-turn:
		return nil
	case <-ctx.Done():
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	if i := slices.Index(t.waiting, turn); i >= 0 {
		t.waiting = slices.Delete(t.waiting, i, i+1)
	} else { // it came at the same moment
		t.busy--
		t.next()
	}
	return ctx.Err()
}

// done ends one's turn.
func (t *turns) done(opened bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.busy--
	if opened {
		t.more = min(t.more+1, mostDials-fewestDials)
	} else {
		t.more = 0
	}
	t.next()
}

// startOver has few at first again: it is another server.
func (t *turns) startOver() {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.more = 0
}

// next lets those begin who may, with the lock held.
func (t *turns) next() {
	for len(t.waiting) > 0 && t.busy < fewestDials+t.more {
		close(t.waiting[0])
		t.waiting = slices.Delete(t.waiting, 0, 1)
		t.busy++
	}
}
