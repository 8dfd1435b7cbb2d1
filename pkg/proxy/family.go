// SPDX-License-Identifier: Apache-2.0

package proxy

import (
	"runtime"
	"sync"
	"weak"

	"github.com/rdsproxy/rdsproxy/pkg/pool"
)

// family has what sessions of one user and database share for as long as there is a
// session or a connection: a client may name any number of databases.
type family struct {
	mu     sync.Mutex
	shared map[pool.Key]weak.Pointer[poolShared]
}

func newFamily() *family { return &family{shared: make(map[pool.Key]weak.Pointer[poolShared])} }

// sharedFor gives what the sessions of one user and database share.
func (t *TargetGroup) sharedFor(k pool.Key) *poolShared {
	f := t.family
	f.mu.Lock()
	defer f.mu.Unlock()
	if sh := f.shared[k].Value(); sh != nil {
		return sh
	}
	sh := &poolShared{t.engine.newShared(t.opts.Load())}
	f.shared[k] = weak.Make(sh)
	runtime.AddCleanup(sh, f.forget, k)
	return sh
}

// forget follows the end of the last session and connection.
func (f *family) forget(k pool.Key) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.shared[k].Value() == nil {
		delete(f.shared, k)
	}
}

func (f *family) all() []*poolShared {
	f.mu.Lock()
	defer f.mu.Unlock()
	var list []*poolShared
	for _, p := range f.shared {
		if sh := p.Value(); sh != nil {
			list = append(list, sh)
		}
	}
	return list
}

// keysOf are those of a user.
func (f *family) keysOf(user string) (keys []pool.Key) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for k := range f.shared {
		if k.User == user {
			keys = append(keys, k)
		}
	}
	return keys
}
