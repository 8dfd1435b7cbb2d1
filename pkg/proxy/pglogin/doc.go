// SPDX-License-Identifier: Apache-2.0

// Package pglogin leads the dialogue with a PostgreSQL client from its first byte to AuthenticationOk: the choice of
// TLS, the start-up packet, the password.
//
// Serve is blocking code for a goroutine that lives as long as the login does, or for a coroutine of an event loop
// (login.OnLoop). Everything it hears comes from a stranger, so there is little to hear: at most one SSLRequest, one GSSENCRequest and one start-up packet, in packets
// of at most postgres.MaxStartup bytes, then two or three messages of an authentication, and all of it before the
// deadline of the context. After that the session takes over; ParameterStatus, BackendKeyData and ReadyForQuery are its
// business.
//
// Nothing is read ahead. Each read asks for the exact number of bytes that the dialogue has to go on with, so whatever
// a client sends behind its last message stays in the socket (or inside the *tls.Conn) for the session. The same rule
// answers CVE-2021-23222 and its kin, where bytes that somebody in between had slipped in behind the SSLRequest were
// later taken for decrypted ones: there is no buffer for them to wait in, and what an event loop has read goes back in
// front. The next reader after our 'S' is the TLS engine, to which they are a broken handshake.
//
// A client that fails is told why in the protocol's own form, and what it is told does not depend on whether its user
// exists. The true cause is in the *Error that Serve returns.
package pglogin
