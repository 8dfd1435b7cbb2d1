// SPDX-License-Identifier: Apache-2.0

// Package myclient is a client of MySQL and MariaDB for tests that compare. It tells
// everything that a server says, as lines of text: counts, definitions of columns,
// rows, status flags, warnings, texts, session tracking. It asks for exactly the
// capabilities that it is told to, and can send what no driver would.
//
// A reply is read by the rules of the protocol and nothing else; a packet that does
// not fit, or a wrong sequence id, is an error and ends the connection. Sequence ids
// are not checked in the compressed protocol, where servers themselves get them wrong.
package myclient
