// SPDX-License-Identifier: Apache-2.0

// Package mysession is the session of a client of MySQL or MariaDB as a pure
// state machine.
//
// Bytes from the client, bytes from the database, "connection granted", "borrow
// failed", "time is up" and "client gone" come in as calls; what is to be sent,
// borrowed, released, pinned or closed goes out through a Host. The package does
// no I/O, reads no clock and starts no goroutine, so that tables and fuzzing can
// drive it to any corner.
//
// # The two halves
//
// A Session is what belongs to the client: its settings, its prepared statements,
// why it is pinned. A Server is what belongs to a database connection and outlives
// its borrowers: the reply that is owed, the statements prepared there, the
// settings in force there.
//
// # One command at a time
//
// The protocol has no pipelining: a command is sent when the reply to the one
// before is complete. What a client sends ahead of that stays unconsumed. So the
// ledger of owed replies has one entry, the exchange of the Server, which says
// what shape the reply has, how far it has come, and whether it goes to the client
// or is the proxy's own business.
//
// What a command needs on its connection — settings, a prepared statement, the
// last insert id — is put there by commands of the proxy's own, one after the
// other, while the client's stays unconsumed. When one is done, the client's
// command is looked at again, and this time needs one thing less. So nothing of
// the client's is sent before it is known that all it needs is in place.
//
// A connection is released at one place only, settle: when the reply is complete,
// the status says that no transaction is open, no result is to follow, nothing
// pins, and no KILL is under way.
package mysession
