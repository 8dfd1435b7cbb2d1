// SPDX-License-Identifier: Apache-2.0

package pgsession

import "github.com/rdsproxy/rdsproxy/pkg/session"

// Host is a session's view of its surroundings.
type Host interface {
	session.Host
	// Borrow asks for a database connection with, best of all, these settings
	// applied. nil means later: Granted or BorrowFailed will be called.
	Borrow(settings *Settings) *Server
}
