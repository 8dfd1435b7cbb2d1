// SPDX-License-Identifier: Apache-2.0

// Package mysql knows the MySQL client/server protocol, in the dialects of MySQL and of MariaDB, as bytes: how packets
// are framed and compressed, how a connection is opened, how replies are told apart, and how the packets look which the
// proxy reads or writes itself.
//
// It is pure. Nothing here reads a socket or a clock, starts a goroutine or takes a lock, and nothing allocates on the
// path of a query. Decoders take bytes of strangers: each checks a length before it uses it, ends on every input, and
// answers an error or false instead of panicking. Values that a decoder returns as []byte alias its input unless its
// comment says otherwise; values that it returns as string are copies.
//
// A "payload" is what stands behind one header, or behind several of them if it is 16 MiB or longer. Decoders take
// payloads. Builders append a whole packet, header included, to the slice given and return the extended slice; their
// parameter seq is the sequence id of the first header. What a builder appends takes one sequence id unless it is
// longer than MaxPayload.
//
// The sources are the pages "Client/Server Protocol" of the MySQL Server Doxygen documentation and of the MariaDB
// Knowledge Base. Where they differ from what servers and libmysqlclient do, these were taken as the rule.
package mysql
