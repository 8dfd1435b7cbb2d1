// SPDX-License-Identifier: Apache-2.0

package session

import "time"

// Host carries out what a session decides, whatever the engine. A session calls
// it from within its own methods; no method may call back into the session before
// it returns. Each engine's package adds how a connection is borrowed.
type Host interface {
	// ToClient and ToServer send bytes, in order. What the kernel does not take
	// is kept by the host, which stops the reading from the other side. p is
	// either a part of what ClientData or ServerData was given, or good only
	// during the call.
	ToClient(p []byte)
	ToServer(p []byte)

	// CancelBorrow takes the asking for a connection back. Neither Granted nor
	// BorrowFailed comes after it.
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

	// CancelQuery has the database cancel what runs on the connection.
	// CancelDone is called when that can no longer hit anything.
	CancelQuery()

	// SetTimer lets TimeUp be called once after d, in place of any time set
	// before; 0 sets none.
	SetTimer(d time.Duration)
	// Now is a monotonic time, for statistics only.
	Now() time.Duration

	// Pinned tells of new reasons to keep the connection, Unpinned that none is
	// left.
	Pinned(reasons Pins)
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
	// Simple counts requests that carry their text (PostgreSQL: Query and
	// FunctionCall; MySQL: every command but the execution of a prepared
	// statement), Extended executions of prepared statements.
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
	// EventReadOnly: the database refused to write because it is read-only. It may
	// not be the writer any more.
	EventReadOnly
	// EventWriteHeld: a write that it has refused for that is held back, to be sent again.
	EventWriteHeld
)
