// SPDX-License-Identifier: Apache-2.0

// Package pgmsg writes PostgreSQL messages as text and reads them back, for
// transcripts and traces.
//
// A message is a word and its fields, separated by blanks: Query "select 1",
// Parse s1 "select $1" 23, Bind "" s1, CommandComplete "SELECT 1", Ready I,
// Error 22012 "division by zero". Several messages on one line are separated by
// a bar. A field with blanks in it, or none, is quoted as in Go; "a"*300 stands
// for a field of 300 times the same.
package pgmsg
