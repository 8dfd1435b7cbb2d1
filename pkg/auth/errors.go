// SPDX-License-Identifier: Apache-2.0

package auth

import "errors"

// Outcomes of a login that followed the protocol. A client must be told the same for both.
var (
	// ErrWrongPassword: the user is known, the password is not theirs.
	ErrWrongPassword = errors.New("wrong password")
	// ErrUnknownUser: nobody can log in under this name.
	ErrUnknownUser = errors.New("unknown user")
)

// What NewCredential refuses.
var (
	// ErrEmptyPassword: nobody may log in with an empty password, as in PostgreSQL.
	ErrEmptyPassword = errors.New("empty password")
	// ErrMD5Disabled: the process runs in a mode of FIPS 140-3 that forbids MD5.
	ErrMD5Disabled = errors.New("MD5 is not allowed in FIPS 140-3 mode")
)

// Fault is the kind of a ProtocolError.
type Fault uint8

const (
	// Malformed: the message breaks the protocol.
	Malformed Fault = iota + 1
	// Unsupported: the client asks for something that no server here does.
	Unsupported
	// Binding: the client's idea of the TLS channel is not ours, so somebody may sit in between.
	Binding
)

// ProtocolError is an authentication message that is at fault, whatever the password. Message and Detail are the words
// of PostgreSQL and may be sent to the client; they hold nothing of what it sent.
type ProtocolError struct {
	Fault   Fault
	Message string
	Detail  string
}

func (e *ProtocolError) Error() string {
	if e.Detail == "" {
		return e.Message
	}
	return e.Message + ": " + e.Detail
}

func malformed(detail string) error {
	return &ProtocolError{Fault: Malformed, Message: "malformed SCRAM message", Detail: detail}
}
