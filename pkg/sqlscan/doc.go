// SPDX-License-Identifier: Apache-2.0

// Package sqlscan names what an SQL text may do to the state of a database
// session, so that a pooler knows when a client may no longer share its
// database connection and when it may again.
//
// A Scanner reads a text as it streams by, in pieces cut anywhere, and keeps a
// fixed, small amount of memory whatever the text holds. It is a lexer with the
// exact lexical rules of the server (quotes, escapes, dollar quotes, nested
// comments) and, above it, a classifier that looks at the leading keyword of
// each statement, at a few words around it and at the names of functions that
// are called. It is no parser: it accepts texts that the server refuses, which
// does no harm, because a text that the server refuses changes nothing.
//
// The rule for doubt is that unknown means safe. Whatever the scanner cannot
// follow is EffectUnknown. A false alarm costs a shared connection for a while;
// a missed effect would show one client the state of another.
//
// # What it cannot see
//
// State that is changed behind a text is out of sight: by functions, procedures,
// rules, triggers and views that users have defined, and by defaults such as
// the nextval of a serial column. The known functions of PostgreSQL, of its
// contrib modules and of a few wide-spread extensions are recognised by name,
// whatever schema is written before it. A set_config for the transaction only is
// taken at its word even when the name of the setting comes from a parameter.
package sqlscan
