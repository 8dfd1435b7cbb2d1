// SPDX-License-Identifier: Apache-2.0

package pgsession

import (
	"time"

	"github.com/rdsproxy/rdsproxy/pkg/session"
)

// Host carries out what a Session decides. A Session calls it from within its
// own methods; no method may call back into the Session before it returns.
type Host interface {
	// ToClient and ToServer send bytes, in order. What the kernel does not take
	// is kept by the host, which stops the reading from the other side. p is
	// either a part of what ClientData or ServerData was given, or good only
	// during the call.
	ToClient(p []byte)
	ToServer(p []byte)

	// Borrow asks for a database connection with, best of all, these settings
	// applied. nil means later: Granted or BorrowFailed will be called.
	Borrow(settings *Settings) *Server
	// CancelBorrow takes the asking back. Neither Granted nor BorrowFailed
	// comes after it.
	CancelBorrow()
	// Release gives the connection back; with reuse false it is closed.
	Release(reuse bool)

	// PauseClient stops ClientData; ResumeClient lets it come again, first with
	// what was left unconsumed. Neither calls ClientData itself.
	PauseClient()
	ResumeClient()
	// CloseClient closes the client's connection once everything is sent. No
	// ClientData and no ClientGone comes after it.
	CloseClient()

	// CancelQuery sends a cancel request for what runs on the connection.
	// CancelDone is called when it can no longer hit anything.
	CancelQuery()

	// SetTimer lets TimeUp be called once after d, in place of any time set
	// before; 0 sets none.
	SetTimer(d time.Duration)
	// Now is a monotonic time, for statistics only.
	Now() time.Duration

	// Pinned tells of new reasons to keep the connection, Unpinned that none is
	// left.
	Pinned(new session.Pins)
	Unpinned()
	// Served tells of the work done with one borrowed connection, for
	// statistics.
	Served(w Work)
	// Note reports something that operators should know, such as why a session
	// was ended. It never contains SQL or values.
	Note(e Event, detail string)
}

// Work is what was done between a borrow and its release.
type Work struct {
	// Simple counts Query and FunctionCall messages, Extended Execute messages.
	Simple, Extended int
	// Waited is the time from wanting the connection to having it, Total the
	// time from wanting it to its release.
	Waited, Total time.Duration
}

// Event is what Note reports.
type Event uint8

// The events.
const (
	// EventClientProtocol: the client broke the protocol; its session ends.
	EventClientProtocol Event = iota + 1
	// EventServerProtocol: the database's replies do not fit what was asked;
	// session and connection end.
	EventServerProtocol
	// EventServerLost: the database connection ended under the session.
	EventServerLost
	// EventReplayFailed: the session's settings could not be applied.
	EventReplayFailed
	// EventBorrowTimeout: no database connection within the borrow timeout.
	EventBorrowTimeout
	// EventCleanupFailed: the connection could not be cleaned after the client
	// and was thrown away.
	EventCleanupFailed
)

// EventCount is one more than the largest Event.
const EventCount = int(EventCleanupFailed) + 1
