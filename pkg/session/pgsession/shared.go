// SPDX-License-Identifier: Apache-2.0

package pgsession

import (
	"runtime"
	"sync"
	"sync/atomic"
	"weak"
)

// Shared is what all sessions of one pool (one user and database) share. It is
// safe for concurrent use.
type Shared struct {
	// MaxStatements is how many prepared statements a database connection keeps
	// for its borrowers if nobody says otherwise, at least 1.
	MaxStatements int

	// base is what the server reports on a connection without settings; nil
	// until the pool's first connection.
	base atomic.Pointer[Params]
	// catalog counts the changes of definitions (DDL) seen. A statement
	// prepared before the last one is prepared anew when a client asks.
	catalog atomic.Uint64

	lastUnique atomic.Uint64

	mu       sync.Mutex
	settings map[string]weak.Pointer[Settings]
}

// NewShared makes the shared part of a pool.
func NewShared(maxStatements int) *Shared {
	return &Shared{MaxStatements: max(1, maxStatements), settings: make(map[string]weak.Pointer[Settings])}
}

// Settings gives the one value for a list of settings. It lives as long as
// somebody uses it.
func (sh *Shared) Settings(list []Setting) *Settings {
	list = dedupe(list)
	if len(list) == 0 {
		return nil
	}
	key := settingsKey(list)
	sh.mu.Lock()
	defer sh.mu.Unlock()
	if s := sh.settings[key].Value(); s != nil {
		return s
	}
	s := &Settings{list: list, key: key}
	sh.settings[key] = weak.Make(s)
	runtime.AddCleanup(s, sh.forgetSettings, key)
	return s
}

func (sh *Shared) forgetSettings(key string) {
	sh.mu.Lock()
	defer sh.mu.Unlock()
	if sh.settings[key].Value() == nil {
		delete(sh.settings, key)
	}
}

// unique gives a number that was not given before; never 0.
func (sh *Shared) unique() uint64 { return sh.lastUnique.Add(1) }

// Retire forgets what the database reported: it may have been replaced by
// another one, or restarted with another configuration. The next login of each
// kind asks a connection anew.
func (sh *Shared) Retire() {
	sh.base.Store(nil)
	sh.catalog.Add(1)
	sh.mu.Lock()
	defer sh.mu.Unlock()
	for _, p := range sh.settings {
		if s := p.Value(); s != nil {
			s.reported.Store(nil)
		}
	}
}

// reported is what a client with these settings is told at login, if known.
func (sh *Shared) reported(s *Settings) *Params {
	if s == nil {
		return sh.base.Load()
	}
	return s.reported.Load()
}

func (sh *Shared) setReported(s *Settings, p Params) {
	if s == nil {
		sh.base.Store(&p)
		return
	}
	s.reported.Store(&p)
}
