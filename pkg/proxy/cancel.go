// SPDX-License-Identifier: Apache-2.0

package proxy

import (
	"crypto/rand"
	"crypto/subtle"
	"encoding/binary"
	"sync"
)

// cancelKeys finds clients by the key that their cancel requests carry.
type cancelKeys struct {
	mu   sync.Mutex
	byID map[uint32]cancelKey // id 0: taken, not yet attached
}

type cancelKey struct {
	client *client // nil while the login is not over
	secret []byte
}

// reserve takes a free process id at random. It must be given back by remove.
func (k *cancelKeys) reserve() uint32 {
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.byID == nil {
		k.byID = make(map[uint32]cancelKey)
	}
	var b [4]byte
	for {
		_, _ = rand.Read(b[:]) // never fails
		id := binary.BigEndian.Uint32(b[:]) & 0x7fff_ffff
		if _, taken := k.byID[id]; !taken && id != 0 {
			k.byID[id] = cancelKey{}
			return id
		}
	}
}

func (k *cancelKeys) add(c *client, id uint32, secret []byte) {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.byID[id] = cancelKey{c, secret}
}

func (k *cancelKeys) remove(id uint32) {
	k.mu.Lock()
	defer k.mu.Unlock()
	delete(k.byID, id)
}

// cancel carries out a cancel request. One with a wrong key is ignored without
// a sign, as PostgreSQL does, and costs the same time as one with a right key.
func (k *cancelKeys) cancel(id uint32, secret []byte) bool {
	k.mu.Lock()
	key := k.byID[id]
	k.mu.Unlock()
	if key.client == nil || subtle.ConstantTimeCompare(key.secret, secret) != 1 {
		return false
	}
	c := key.client
	return c.worker.loop.Post(func() {
		if c.conn != nil {
			c.do(c.session.Cancel)
		}
	})
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
