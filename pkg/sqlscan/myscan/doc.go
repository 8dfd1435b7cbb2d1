// SPDX-License-Identifier: Apache-2.0

// Package myscan names what an SQL text for MySQL or MariaDB may do to the state
// of a database session, as far as the session trackers of the server do not
// report it: user variables, locks, temporary tables, text-protocol prepared
// statements and the like. It also finds what a proxy has to replace in a text,
// because it means the connection rather than the session: CONNECTION_ID(),
// ROW_COUNT(), FOUND_ROWS() and the number in a KILL.
//
// A Scanner reads a text as it streams by, in pieces cut anywhere, and keeps a
// fixed, small amount of memory whatever the text holds. It is a lexer with the
// exact lexical rules of the server (quotes under any sql_mode, comments,
// numbers that turn into names) and, above it, a classifier that looks at the
// leading keyword of each statement, at a few words around it and at the names
// of functions that are called. It is no parser: it accepts texts that the
// server refuses, which does no harm, because a text that the server refuses
// changes nothing.
//
// The rule for doubt is that unknown means safe. Whatever the scanner cannot
// follow is EffectUnknown. A false alarm costs a shared connection for a while;
// a missed effect would show one client the state of another.
//
// # Executable comments
//
// Whether the server runs what stands in /*! */ depends on its version. The
// scanner takes the inside for code and, at the same time, for absent: effects
// within count, releases in such a text do not, and where the rest of a
// statement would mean something else without the comment, the text is unknown.
//
// # What it cannot see
//
// State that is changed behind a text is out of sight: by procedures, functions
// and triggers that users have defined, and by texts that PREPARE and EXECUTE
// IMMEDIATE are given; these statements are reported as such. Session counters
// (SHOW STATUS) and the thread numbers that IS_USED_LOCK() and EXPLAIN FOR
// CONNECTION deal in are those of the connection.
package myscan
