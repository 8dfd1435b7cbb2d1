// SPDX-License-Identifier: Apache-2.0

package mysession

import "github.com/rdsproxy/rdsproxy/pkg/session"

// Host carries out what a Session decides. A Session calls it from within its
// own methods; no method may call back into the Session before it returns.
//
// What ToClient and ToServer are given may have been changed in place: headers of
// packets, and statement ids.
type Host interface {
	session.Host

	// Borrow asks for a database connection with, best of all, these settings
	// applied. nil means later: Granted or BorrowFailed will be called.
	Borrow(settings *Settings) *Server
	// Scarce tells whether others wait for a connection, or the next one would have to.
	Scarce() bool

	// Kill asks the proxy to end what the client with that thread id runs, if
	// query is set, or else that client. KillDone is called with the result.
	Kill(id uint32, query bool)

	// Authenticate tells whether response is what a client who knows the user's
	// password answers to salt, by the plugin's rules; with mysql_clear_password it
	// is the password. It is pure and fast.
	Authenticate(user, plugin string, salt, response []byte) bool
	// Salt gives a fresh salt of mysql.SaltLen bytes, none of them zero, for the
	// authentication by a COM_CHANGE_USER, and the plugin to use it with.
	Salt(user string) (plugin string, salt []byte)
	// ChangeUser moves the session to the pool of another user; the session holds
	// and wants no connection then. It gives nil if the proxy has no such user.
	ChangeUser(user string) *Shared
}

// KillResult is what became of a request to kill.
type KillResult uint8

// The results.
const (
	Killed KillResult = iota
	// KillUnknown: there is no client with that thread id.
	KillUnknown
	// KillDenied: it is another user's.
	KillDenied
)
