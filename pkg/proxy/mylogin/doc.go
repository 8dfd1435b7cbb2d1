// SPDX-License-Identifier: Apache-2.0

// Package mylogin leads the dialogue with a client of MySQL or MariaDB from the greeting to the point where it has
// proved who it is: the choice of TLS, the handshake response, the authentication plugin, the password.
//
// Serve is blocking code for a goroutine that lives as long as the login does, or for a coroutine of an event loop
// (login.OnLoop). Everything it hears comes from a stranger, so there is little to hear: at most one request for TLS and one handshake response of mysql.MaxLogin bytes,
// then at most three short packets of a plugin, and all of it before the deadline of the context. The OK packet that
// ends a login is left to the session, which has a schema to look at first; Login.NextSeq is its sequence id.
//
// Nothing is read ahead. Each read asks for the exact number of bytes that the dialogue has to go on with, so whatever
// a client sends behind its last packet stays in the socket (or inside the *tls.Conn) for the session. The same rule
// answers bytes that somebody in between slips in behind the request for TLS, to be taken for decrypted ones later:
// there is no buffer for them to wait in, and what an event loop has read goes back in front. The next reader is the TLS
// engine, to which they are a broken handshake.
//
// Whether a connection is encrypted is asked of the connection, never of a capability bit that the client sent. Users
// are asked for one plugin each. A client that answered the greeting by another one is switched over, as servers do,
// and an unknown user is asked for the one that most known users have: what a client is told, and when, does not
// depend on whether its user exists. The true cause is in the *Error that Serve returns.
package mylogin
