// SPDX-License-Identifier: Apache-2.0

package target

import (
	"context"
	"net"
	"sync/atomic"
	"time"

	"github.com/rdsproxy/rdsproxy/pkg/failover"
)

// inquiryPatience is how long a prober stays with one question, or one login and the
// question behind it. Probes have much less time, in which a server that is far away,
// or has too much to do, may not get through TLS, the login and the query; and MySQL
// shuts out a host that breaks off many logins (max_connect_errors).
const inquiryPatience = 5 * time.Second

// inquiries are the questions to one server that go on while probes come and go: one on
// the connection that is kept, and, when that does not answer in the time of a
// probe, one on a new connection beside it. What answers first is heard and kept. So a
// server that is slow is not taken for one that is down, and a connection that leads
// nowhere does not hide the server that has taken the place of the old one.
type inquiries[C any] struct {
	open func(ctx context.Context) (C, error)
	ask  func(ctx context.Context, conn C) (failover.Answer, error)
	// broken tells whether a connection is of no use after an error of ask.
	broken func(error) bool
	shut   func(C)
	// overdue makes the error of a probe whose time is over.
	overdue func(ctx context.Context) error

	conn    C
	kept    bool // conn is there, and is asked nothing
	running []*inquiry[C]
	ended   chan *inquiry[C]
	// calling: the server has not accepted the connection of the one that logs in. There
	// is no reason to stay with that: the network tries again more and more seldom.
	calling atomic.Bool
}

// inquiry is one of them. Its result is valid once it has ended.
type inquiry[C any] struct {
	login bool // it began with one
	stop  context.CancelFunc

	conn   C
	there  bool // conn is, and can be used again
	answer failover.Answer
	err    error
}

// wrap notes that the server has accepted the connection; it is Options.Wrap.
func (q *inquiries[C]) wrap(nc net.Conn) net.Conn {
	q.calling.Store(false)
	return nc
}

// probe gives the first answer. It is for failover.Prober.
func (q *inquiries[C]) probe(ctx context.Context) (failover.Answer, error) {
	q.collect()
	switch {
	case q.kept:
		q.abandon() // what was asked before the connection was there
		q.begin(ctx)
	case !q.loggingIn():
		q.begin(ctx)
	}
	for {
		select {
		case i := <-q.ended:
			q.remove(i)
			switch {
			case i.there:
				q.abandon()
				q.conn, q.kept = i.conn, true
				return i.answer, i.err
			case i.login:
				return failover.Answer{}, i.err
			case !q.loggingIn():
				q.begin(ctx) // only the connection was gone, perhaps
			}
		case <-ctx.Done():
			if q.loggingIn() && q.calling.Load() {
				q.abandonLogin()
			}
			return failover.Answer{}, q.overdue(ctx)
		}
	}
}

// begin asks on the connection that is kept, or on a new one.
func (q *inquiries[C]) begin(ctx context.Context) {
	if q.ended == nil {
		q.ended = make(chan *inquiry[C], 2) // one of each sort
	}
	i := &inquiry[C]{login: !q.kept, conn: q.conn}
	q.kept = false
	ctx, i.stop = context.WithTimeout(context.WithoutCancel(ctx), inquiryPatience)
	q.running = append(q.running, i)
	if i.login {
		q.calling.Store(true)
	}
	go func() {
		defer func() { q.ended <- i }()
		q.run(ctx, i)
	}()
}

func (q *inquiries[C]) run(ctx context.Context, i *inquiry[C]) {
	defer i.stop()
	if i.login {
		if i.conn, i.err = q.open(ctx); i.err != nil {
			return
		}
	}
	asked := time.Now()
	i.answer, i.err = q.ask(ctx, i.conn)
	i.answer.Asked = asked
	if i.there = i.err == nil || !q.broken(i.err); !i.there {
		q.shut(i.conn)
	}
}

// collect takes in what has ended since the last probe. The answers are old; the
// connection is good.
func (q *inquiries[C]) collect() {
	for len(q.running) > 0 {
		select {
		case i := <-q.ended:
			q.remove(i)
			q.keep(i)
		default:
			return
		}
	}
}

// keep keeps the connection of one that has ended, unless there is one.
func (q *inquiries[C]) keep(i *inquiry[C]) {
	switch {
	case i.there && q.kept:
		q.shut(i.conn)
	case i.there:
		q.conn, q.kept = i.conn, true
	}
}

func (q *inquiries[C]) remove(i *inquiry[C]) {
	for at, r := range q.running {
		if r == i {
			q.running = append(q.running[:at], q.running[at+1:]...)
			return
		}
	}
}

func (q *inquiries[C]) loggingIn() bool {
	for _, i := range q.running {
		if i.login {
			return true
		}
	}
	return false
}

// abandon ends what is under way, and waits for that.
func (q *inquiries[C]) abandon() {
	for _, i := range q.running {
		i.stop()
	}
	for len(q.running) > 0 {
		i := <-q.ended
		q.remove(i)
		if i.there {
			q.shut(i.conn)
		}
	}
}

// abandonLogin ends the login that is under way, and waits for that.
func (q *inquiries[C]) abandonLogin() {
	for _, i := range q.running {
		if i.login {
			i.stop()
		}
	}
	for q.loggingIn() {
		i := <-q.ended
		q.remove(i)
		q.keep(i)
	}
}

// close ends all, with say for the connection that is kept.
func (q *inquiries[C]) close(say func(C)) {
	q.abandon()
	if q.kept {
		say(q.conn)
		q.shut(q.conn)
		q.kept = false
	}
}
