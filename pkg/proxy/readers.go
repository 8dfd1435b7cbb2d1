// SPDX-License-Identifier: Apache-2.0

package proxy

import (
	"sync/atomic"
	"time"
)

// ReaderState is what is known of a reader at present.
type ReaderState struct {
	// Usable: it can be read from, and is not too far behind.
	Usable bool
	// AsOf is a time: all that the writer had by then, the reader has. Zero: no such
	// time is known.
	AsOf time.Time
	// Last: it is only used when there is no other one.
	Last bool
}

// Reader is a server that a read-only endpoint may use.
type Reader struct {
	Group *TargetGroup
	// State is asked whenever a client wants a connection. It must return at once.
	State func() ReaderState
}

// Readers are those of one read-only endpoint.
type Readers struct {
	proxy *Proxy
	list  atomic.Pointer[[]Reader]
	// lobby is where clients wait while there is no reader for them: a target group
	// that never has a connection.
	lobby *TargetGroup
	// looking: those who wait there will be looked after soon.
	looking atomic.Bool
}

// NewReaders makes them, without any yet. o are the options of the target group; the
// server that its dialer leads to is of no importance. why is what those are told in
// the log who wait in vain.
func (p *Proxy) NewReaders(o TargetOptions, why error) *Readers {
	lobby := p.AddTargetGroup(o)
	lobby.LoseWriter(why, false)
	return &Readers{proxy: p, lobby: lobby}
}

// Lobby is the target group that clients of the endpoint start in. Target groups of
// readers are made with AddReader.
func (r *Readers) Lobby() *TargetGroup { return r.lobby }

// AddReader makes a target group for a reader, which has to be given its server by
// SwitchWriter. Sessions can go from one reader of the same lobby to another.
func (p *Proxy) AddReader(o TargetOptions, lobby *TargetGroup, why error) *TargetGroup {
	p.mu.Lock()
	defer p.mu.Unlock()
	t := newTargetGroup(p, o, len(p.targets))
	t.family = lobby.family
	t.LoseWriter(why, false)
	p.targets = append(p.targets, t)
	return t
}

// Share has sessions go from readers of one endpoint to those of another with the same
// servers. It is called before there are any.
func (r *Readers) Share(with *Readers) { r.lobby.family = with.lobby.family }

// Set replaces the list.
func (r *Readers) Set(list []Reader) {
	r.list.Store(&list)
	r.look()
}

// choose gives the target group for a client that wants a connection. A client stays
// with its reader. When that is not usable any more, it goes to one that has all that
// the client may have seen.
func (r *Readers) choose(c *client) *TargetGroup {
	list := r.list.Load()
	if list == nil {
		return r.wait()
	}
	var best *Reader
	bestLast, bestLoad := false, 0.0
	for i := range *list {
		d := &(*list)[i]
		s := d.State()
		if !s.Usable {
			continue
		}
		stays := d.Group == c.target && !s.Last
		if stays {
			return d.Group
		}
		if d.Group != c.target && r.isOlder(&s, c.lastRead) {
			continue
		}
		load := d.Group.load()
		if best == nil || bestLast && !s.Last || bestLast == s.Last && load < bestLoad {
			best, bestLast, bestLoad = d, s.Last, load
		}
	}
	if best == nil {
		return r.wait()
	}
	return best.Group
}

// isOlder tells whether a reader may lack what a client has seen.
func (r *Readers) isOlder(s *ReaderState, lastRead time.Duration) bool {
	return lastRead > 0 && !s.AsOf.IsZero() && s.AsOf.Sub(r.proxy.started) < lastRead
}

// load is how busy a reader is: its clients, in proportion to the connections that it
// can have.
func (t *TargetGroup) load() float64 {
	weight := 1
	if o := t.opts.Load(); o.MaxConnections > 0 {
		weight = o.MaxConnections
	} else if f := t.knownFacts(); f != nil && f.maxConnections > 0 {
		weight = f.maxConnections
	}
	return float64(t.readers.Load()) / float64(weight)
}

// lookAgain is after how long those who wait for a reader are looked after.
const lookAgain = 100 * time.Millisecond

func (r *Readers) wait() *TargetGroup {
	if r.looking.CompareAndSwap(false, true) {
		time.AfterFunc(lookAgain, func() {
			r.looking.Store(false)
			r.look()
		})
	}
	return r.lobby
}

// look lets those choose again who wait for a connection of a reader that is not, or
// not any more, the one for them.
func (r *Readers) look() {
	r.proxy.forEachClient(func(c *client) {
		if c.readers != r || c.crashed || c.conn == nil || !c.session.Waiting() || r.choose(c) == c.target {
			return
		}
		c.CancelBorrow()
		c.borrowAgain()
	})
}

// aim takes the client to the target group that is to serve it.
func (c *client) aim() {
	to := c.readers.choose(c)
	if to == c.target {
		return
	}
	c.unpinned() // it is counted by target
	c.leaveReader()
	if to != c.readers.lobby {
		to.readers.Add(1)
	}
	c.target, c.pool = to, to.group.Pool(c.pool.Key())
	c.waiter.Again = false // its place was in another queue
}

// leaveReader counts the client off its reader.
func (c *client) leaveReader() {
	if c.readers != nil && c.target != c.readers.lobby {
		c.target.readers.Add(-1)
	}
}

// hasRead notes that the client may have seen what its reader has by now.
func (c *client) hasRead() {
	if c.readers != nil {
		c.lastRead = c.worker.proxy.now()
	}
}
