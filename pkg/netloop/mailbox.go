// SPDX-License-Identifier: Apache-2.0

package netloop

import (
	"sync"
	"sync/atomic"
)

// A mailbox takes functions from any goroutine, for the loop to run.
type mailbox struct {
	mu struct {
		sync.Mutex
		fs     []func()
		closed bool
	}
	// pending is not 0 while there is something to take, the news of being closed
	// included; it spares the loop the lock.
	pending atomic.Int32
	spare   []func() // the slice taken last, to be filled again; loop goroutine
}

// put adds f, or reports false if the mailbox is closed.
func (m *mailbox) put(f func()) bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.mu.closed {
		return false
	}
	m.mu.fs = append(m.mu.fs, f)
	m.pending.Store(1)
	return true
}

// take returns what was put, in order, and whether more may come.
func (m *mailbox) take() (fs []func(), open bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	fs = m.mu.fs
	m.mu.fs = m.spare
	m.spare = nil
	if !m.mu.closed {
		m.pending.Store(0)
	}
	return fs, !m.mu.closed
}

func (m *mailbox) close() {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.mu.closed = true
	m.pending.Store(1)
}

// maxSpare bounds the memory that a burst of posts leaves behind.
const maxSpare = 1024

// Post has f run on the loop goroutine, after all functions posted before. It
// may be called from any goroutine, the loop's own included; f runs in the next
// turn then. It reports false, and f will not be run, once the loop has been
// stopped. A panic in f is not caught; see [Conn.Do].
func (l *Loop) Post(f func()) bool {
	if !l.mail.put(f) {
		return false
	}
	l.wake()
	return true
}

// runMail runs what was posted and reports whether the mailbox is still open.
func (l *Loop) runMail() bool {
	if l.mail.pending.Load() == 0 {
		return true
	}
	fs, open := l.mail.take()
	for i, f := range fs {
		fs[i] = nil
		f()
	}
	if cap(fs) <= maxSpare {
		l.mail.spare = fs[:0]
	}
	l.settle()
	return open
}
