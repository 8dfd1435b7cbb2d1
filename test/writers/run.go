// SPDX-License-Identifier: Apache-2.0

package writers

import (
	"context"
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"net"
	"sync"
	"sync/atomic"
	"time"

	"github.com/rdsproxy/rdsproxy/test/history"
)

var dialer = &net.Dialer{Timeout: 5 * time.Second}

// Load says who writes.
type Load struct {
	Clients int
	// Think is the mean time between the end of an operation and the next one.
	Think time.Duration
	Dial  func(ctx context.Context) (Conn, error)
	Judge func(error) Told
	// Reconnect, if not 0, has a client that has lost its connection try to open
	// another one as often. With 0 it is done, and the loss is in Result.Closed.
	Reconnect time.Duration
	// First is the number of the first client: clients of several runs on one table
	// must not write under the same ids.
	First int
}

// Ack is an operation that was acknowledged.
type Ack struct {
	Client     int
	Began, End time.Time
}

// Result is what clients have noted.
type Result struct {
	Operations []history.Operation
	Acks       []Ack // not in order
	// Closed are the ends of connections that clients did not ask for, and what else
	// they could not recover from.
	Closed []error
	// Reopened counts the connections that clients have opened in place of lost ones.
	Reopened int
}

// Run is a load that goes on.
type Run struct {
	load    Load
	clients []*writer
	stop    chan struct{}
	ctx     context.Context
	cancel  context.CancelFunc
	working sync.WaitGroup
	// latest is when the latest acknowledged operation of each client began, in
	// nanoseconds since start.
	latest []atomic.Int64
	start  time.Time
	mu     struct {
		sync.Mutex
		Result
	}
}

// logins is how many clients log in at a time.
const logins = 16

// Start lets all clients log in, and then has them write until Stop.
func Start(ctx context.Context, l Load) (*Run, error) {
	r := &Run{load: l, stop: make(chan struct{}), start: time.Now(), latest: make([]atomic.Int64, l.Clients)}
	for i := range l.Clients {
		r.clients = append(r.clients, &writer{number: l.First + i, dial: l.Dial, judge: l.Judge})
	}
	if err := each(r.clients, func(c *writer) (err error) {
		c.conn, err = l.Dial(ctx)
		return err
	}); err != nil {
		r.hangUp()
		return nil, fmt.Errorf("login of a writer: %w", err)
	}
	r.ctx, r.cancel = context.WithCancel(context.WithoutCancel(ctx)) // Stop ends it, in order
	for i, c := range r.clients {
		r.working.Go(func() { r.work(i, c) })
	}
	return r, nil
}

// each calls f for all, some at a time.
func each[T any](all []T, f func(T) error) error {
	var (
		wg    sync.WaitGroup
		mu    sync.Mutex
		errs  []error
		slots = make(chan struct{}, logins)
	)
	for _, v := range all {
		slots <- struct{}{}
		wg.Go(func() {
			defer func() { <-slots }()
			if err := f(v); err != nil {
				mu.Lock()
				defer mu.Unlock()
				errs = append(errs, err)
			}
		})
	}
	wg.Wait()
	return errors.Join(errs...)
}

// work is the life of one client.
func (r *Run) work(i int, c *writer) {
	pause := time.NewTimer(r.think())
	defer pause.Stop()
	for {
		select {
		case <-r.stop:
			return
		case <-pause.C:
		}
		began := time.Now()
		op, err := c.operate(r.ctx)
		end := time.Now()
		r.note(i, op, began, end)
		if err != nil && !r.recover(c, err) {
			r.latest[i].Store(math.MaxInt64)
			return
		}
		pause.Reset(r.think())
	}
}

// think is between nothing and twice the mean.
func (r *Run) think() time.Duration { return rand.N(2*r.load.Think + 1) }

func (r *Run) note(i int, op history.Operation, began, end time.Time) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.mu.Operations = append(r.mu.Operations, op)
	if op.Outcome == history.Applied {
		r.mu.Acks = append(r.mu.Acks, Ack{op.Client, began, end})
		r.latest[i].Store(int64(began.Sub(r.start)))
	}
}

// recover gives the client another connection, if it may have one.
func (r *Run) recover(c *writer, err error) bool {
	if r.load.Reconnect == 0 {
		r.mu.Lock()
		defer r.mu.Unlock()
		r.mu.Closed = append(r.mu.Closed, fmt.Errorf("client %d: %w", c.number, err))
		return false
	}
	ctx, cancel := context.WithCancel(r.ctx)
	defer cancel()
	done := make(chan struct{})
	defer close(done)
	go func() { // a client that never gets another connection stops with the others
		select {
		case <-r.stop:
			cancel()
		case <-done:
		}
	}()
	if c.redial(ctx, r.load.Reconnect) != nil {
		return false
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.mu.Reopened++
	return true
}

// Stop ends the load when each client has finished what it does, hangs up, and gives
// what they have noted. An operation may take patience; after it, it is cut off.
func (r *Run) Stop(patience time.Duration) Result {
	close(r.stop)
	late := time.AfterFunc(patience, r.cancel)
	defer late.Stop()
	r.working.Wait()
	r.cancel()
	r.hangUp()
	return r.mu.Result
}

func (r *Run) hangUp() {
	_ = each(r.clients, func(c *writer) error {
		if c.conn != nil {
			c.conn.Close()
		}
		return nil
	})
}

// Acknowledged counts acknowledged operations so far.
func (r *Run) Acknowledged() int {
	r.mu.Lock()
	defer r.mu.Unlock()
	return len(r.mu.Acks)
}

// Silent counts the clients that have had no operation acknowledged which they began
// after t, and have not given up.
func (r *Run) Silent(t time.Time) (n int) {
	for i := range r.latest {
		if r.latest[i].Load() <= int64(t.Sub(r.start)) {
			n++
		}
	}
	return n
}
