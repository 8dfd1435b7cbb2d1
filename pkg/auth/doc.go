// SPDX-License-Identifier: Apache-2.0

// Package auth decides whether a client knows a password. It opens no socket and knows no framing: the bytes of an
// authentication message come in, the bytes of the answer or an error go out.
//
// A Credential is what one user's logins are checked against. It is made once, when the password is learned, because
// that is the expensive part (PBKDF2 with Iterations rounds for SCRAM); a login then costs a few HMACs. It holds keys
// derived from the password, not the password.
//
// Nobody can find out which users exist. For an unknown user the caller takes MockCredential, which goes through the
// same messages with the same amount of work and fails at the same place as a wrong password does. Salts are derived
// from the user's name and a key that is drawn once per process, for known and unknown users alike: the salt of a
// user does not change when the password does, nor differ in kind from that of a user who is not there.
//
// A client may send anything. Each message is bounded before it is read, and every error but ErrWrongPassword and
// ErrUnknownUser is a *ProtocolError with words of ours only, none of the client's.
package auth
