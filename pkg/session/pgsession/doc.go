// SPDX-License-Identifier: Apache-2.0

// Package pgsession is a PostgreSQL client's session as a pure state machine.
//
// Bytes from the client, bytes from the database, "connection granted",
// "borrow failed", "time is up" and "client gone" come in as calls; what is to
// be sent, borrowed, released, pinned or closed goes out through a Host. The
// package does no I/O, reads no clock, starts no goroutine and takes no lock
// but that of the shared statement cache, so tables, fuzzing and the simulator
// can drive it to any corner.
//
// # The two halves
//
// A Session is what belongs to the client: its settings, its prepared
// statements' names, why it is pinned. It is small, for there are many of them.
// A Server is what belongs to a database connection and outlives its borrowers:
// the ledger of owed replies, the statements prepared there, the settings
// applied there.
//
// # The ledger
//
// Each message that makes the server reply leaves an entry in the ledger, in
// the order sent, which says what becomes of the reply: forward it, skip it
// (the proxy sent the request for itself) or fake it (nothing was sent, the
// proxy answers when the entry's turn comes). Each reply is held against the
// entry at the head; one that does not fit ends the session and the
// connection, because from then on nobody could say whose rows they are.
//
// A connection is released at one place only, after ReadyForQuery said "idle"
// while the ledger was empty, no message was half sent, no pin was held and no
// cancel request was under way.
//
// # Undo
//
// After an error the server ignores everything up to the next Sync. What the
// session assumed of the ignored messages (a name defined, a statement
// prepared) is taken back from the ledger's entries, newest first.
package pgsession
