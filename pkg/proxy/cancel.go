// SPDX-License-Identifier: Apache-2.0

package proxy

import (
	"context"
	"crypto/rand"
	"crypto/subtle"
	"encoding/binary"
	"sync"
)

// cancelKeys finds clients by the key that their cancel requests carry.
type cancelKeys struct {
	mu   sync.Mutex
	byID map[uint32]*client // nil: taken, the client is not on its loop yet
}

// reserve takes a free process id at random. It must be given back by remove.
func (k *cancelKeys) reserve() uint32 {
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.byID == nil {
		k.byID = make(map[uint32]*client)
	}
	var b [4]byte
	for {
		_, _ = rand.Read(b[:]) // never fails
		id := binary.BigEndian.Uint32(b[:]) & 0x7fff_ffff
		if _, taken := k.byID[id]; !taken && id != 0 {
			k.byID[id] = nil
			return id
		}
	}
}

// add makes the client known under the id that it has reserved.
func (k *cancelKeys) add(c *client) {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.byID[c.pid] = c
}

func (k *cancelKeys) remove(id uint32) {
	k.mu.Lock()
	defer k.mu.Unlock()
	delete(k.byID, id)
}

// find gives the client with an id; nil if there is none.
func (k *cancelKeys) find(id uint32) *client {
	k.mu.Lock()
	defer k.mu.Unlock()
	return k.byID[id]
}

// cancel carries out a cancel request. One with a wrong key is ignored without
// a sign, as PostgreSQL does. It returns when the request has had its effect, or
// ctx has ended: whoever sent it takes the end of the connection for the word that
// what it sends from now on will not be hit.
func (k *cancelKeys) cancel(ctx context.Context, id uint32, secret []byte) bool {
	k.mu.Lock()
	c := k.byID[id]
	k.mu.Unlock()
	if c == nil || subtle.ConstantTimeCompare(c.secret, secret) != 1 {
		return false
	}
	done := make(chan struct{})
	if !c.worker.loop.Post(func() { c.cancel(done) }) {
		return false
	}
	select {
	case <-done:
	case <-ctx.Done():
	}
	return true
}

// cancel hands the request to the session, and closes done when it has had its
// effect.
func (c *client) cancel(done chan struct{}) {
	w := c.worker
	w.cancelled = done
	if c.conn != nil && c.cancelling < maxCancelling {
		c.do(c.session.Cancel)
	}
	if w.cancelled != nil { // there was nothing to ask the database for
		w.cancelled = nil
		close(done)
	}
}

// maxCancelling bounds the cancel requests of one client that are on their way to
// the database. Each takes a socket, and a process there, beside the budget; more
// of them say nothing new.
const maxCancelling = 3

// CancelQuery implements session.Host. The session does not give the connection
// back before CancelDone, or else with reuse false, so no other client's query is
// hit. If nobody knows what became of the request it may still be on its way,
// and the connection is closed after this client.
func (c *client) CancelQuery() {
	db, w := c.db, c.worker
	server, done := db.server, w.cancelled
	w.cancelled = nil
	c.cancelling++
	begun := w.proxy.background.run(func() {
		over := db.target.cancel(db)
		if done != nil {
			close(done)
		}
		w.loop.Post(func() {
			c.cancelling--
			if !over {
				db.unclear = true
			}
			c.do(func() { c.driver.cancelDone(server) })
		})
	})
	if !begun && done != nil {
		close(done) // the proxy is closing
	}
}

// newSecret makes a cancel key's secret part. Protocol 3.2 allows long ones;
// 3.0 has 4 bytes.
func newSecret(protocolMinor int) []byte {
	n := 4
	if protocolMinor >= 2 {
		n = 32
	}
	b := make([]byte, n)
	_, _ = rand.Read(b) // never fails
	return b
}
