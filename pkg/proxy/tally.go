// SPDX-License-Identifier: Apache-2.0

package proxy

import "sync"

// tally counts what is there, and tells when nothing is.
type tally struct {
	mu   sync.Mutex
	n    int
	none chan struct{} // closed when n falls to 0
}

func (t *tally) enter() {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.n++
}

func (t *tally) leave() {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.remove()
}

// remove is leave with the lock held.
func (t *tally) remove() {
	t.n--
	if t.n == 0 && t.none != nil {
		close(t.none)
		t.none = nil
	}
}

// empty gives a channel that is closed when nothing is there.
func (t *tally) empty() <-chan struct{} {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.n == 0 {
		done := make(chan struct{})
		close(done)
		return done
	}
	if t.none == nil {
		t.none = make(chan struct{})
	}
	return t.none
}

// jobs are goroutines that somebody waits for in the end. Unlike a WaitGroup
// alone it may be asked for another one at any time.
type jobs struct {
	mu     sync.Mutex
	wg     sync.WaitGroup
	closed bool
}

// run runs f on a goroutine, or returns false once close was called.
func (j *jobs) run(f func()) bool {
	j.mu.Lock()
	defer j.mu.Unlock()
	if j.closed {
		return false
	}
	j.wg.Go(f)
	return true
}

// close lets no more jobs begin, and waits for those that have.
func (j *jobs) close() {
	j.mu.Lock()
	j.closed = true
	j.mu.Unlock()
	j.wg.Wait()
}
