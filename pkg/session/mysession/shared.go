// SPDX-License-Identifier: Apache-2.0

package mysession

import "sync/atomic"

// Shared is what all sessions of one pool share. It is safe for concurrent use.
type Shared struct {
	// MaxStatements is how many prepared statements a database connection keeps
	// for its borrowers, at least 1.
	MaxStatements int

	// retired counts how often the database may have been replaced.
	retired atomic.Uint64
}

// NewShared makes the shared part of a pool.
func NewShared(maxStatements int) *Shared { return &Shared{MaxStatements: max(1, maxStatements)} }

// Retire forgets what the database reported: it may have been replaced by another
// one, or restarted with another configuration.
func (sh *Shared) Retire() { sh.retired.Add(1) }
