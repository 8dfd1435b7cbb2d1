// SPDX-License-Identifier: Apache-2.0

package target

import (
	"context"
	"net"
	"sync/atomic"
	"time"
)

// loginPatience is how long a prober stays with one login. Probes have much less time,
// in which a server that is far away may not get through TLS and the login; and MySQL
// shuts out a host that breaks off many logins (max_connect_errors).
const loginPatience = 5 * time.Second

// patientLogin is a login that goes on while probes come and go.
type patientLogin[T any] struct {
	open func(ctx context.Context) (T, error)
	shut func(T)

	// calling: the server has not accepted the connection yet. There is no reason to
	// stay with that: the network tries again more and more seldom.
	calling atomic.Bool
	running chan opened[T] // nil: none is under way
	stop    context.CancelFunc
}

type opened[T any] struct {
	conn T
	err  error
}

// wrap notes that the server has accepted the connection; it is Options.Wrap.
func (l *patientLogin[T]) wrap(nc net.Conn) net.Conn {
	l.calling.Store(false)
	return nc
}

// await gives the connection, or the end of ctx; then the login goes on, and the next
// call waits for it.
func (l *patientLogin[T]) await(ctx context.Context) (conn T, err error) {
	if l.running == nil {
		own, stop := context.WithTimeout(context.WithoutCancel(ctx), loginPatience)
		done := make(chan opened[T], 1)
		l.running, l.stop = done, stop
		go func() {
			conn, err := l.open(own)
			done <- opened[T]{conn, err}
		}()
	}
	select {
	case r := <-l.running:
		l.running = nil
		l.stop()
		return r.conn, r.err
	case <-ctx.Done():
		if l.calling.Load() {
			l.abandon()
		}
		return conn, ctx.Err()
	}
}

// abandon ends what is under way, and waits for that.
func (l *patientLogin[T]) abandon() {
	if l.running == nil {
		return
	}
	l.stop()
	if r := <-l.running; r.err == nil {
		l.shut(r.conn)
	}
	l.running = nil
}
