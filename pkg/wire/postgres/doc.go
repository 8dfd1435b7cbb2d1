// SPDX-License-Identifier: Apache-2.0

// Package postgres knows the PostgreSQL frontend/backend protocol, version 3, as bytes: how messages are framed, how
// long each may be, how a connection is opened, and how the few messages look which the proxy writes itself.
//
// It is pure. Nothing here reads a socket or a clock, starts a goroutine or takes a lock, and nothing allocates on the
// path of a query. Decoders take bytes of strangers: each checks a length before it uses it, ends on every input, and
// answers an error that can be sent to the peer as it is (*Error) instead of panicking. Values that a decoder returns
// as []byte alias its input; values that it returns as string are copies.
//
// Builders append a whole message, header included, to the slice given and return the extended slice.
//
// "Frontend" and "backend" are the words of the protocol for client and server. The chapter "Frontend/Backend Protocol"
// of the PostgreSQL manual is the source for all of it; where the manual leaves a choice, PostgreSQL's own behaviour was
// taken as the rule.
package postgres
