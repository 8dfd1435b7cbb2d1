// SPDX-License-Identifier: Apache-2.0

package login

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
)

// Reason tells the ways apart in which a login fails, for metrics. String gives a name that stays.
type Reason uint8

// The reasons. Not every engine has them all.
const (
	// Disconnected: the client left, or the connection broke. Health checks that only connect end so, and psql when it
	// has yet to ask for the password.
	Disconnected Reason = iota + 1
	// Timeout: the deadline passed.
	Timeout
	// Shutdown: the context was cancelled.
	Shutdown
	// BadPacket: no legal start-up packet or handshake response.
	BadPacket
	// UnsupportedVersion: a protocol that is not spoken, a second SSLRequest or GSSENCRequest, or a client that cannot do
	// the plugin of its user.
	UnsupportedVersion
	// TLSHandshake: the TLS handshake failed.
	TLSHandshake
	// TLSRequired: the client did not ask for TLS and has to.
	TLSRequired
	// BadMessage: a message of the authentication broke the protocol.
	BadMessage
	// ChannelBinding: client and proxy do not see the same TLS connection; somebody may sit in between.
	ChannelBinding
	// WrongPassword: the user is known, the password is not theirs.
	WrongPassword
	// UnknownUser: nobody can log in under this name.
	UnknownUser
	// BadOptions: the client proved itself, but its start-up parameter "options" cannot be read.
	BadOptions
	// TokenRefused: the user is known, and the token does not let its bearer log in as them. The cause is an
	// *iam.Rejection with the reason, if tokens are set up.
	TokenRefused
	reasonEnd
)

var reasonNames = [reasonEnd]string{
	Disconnected:       "disconnected",
	Timeout:            "timeout",
	Shutdown:           "shutdown",
	BadPacket:          "bad_startup_packet",
	UnsupportedVersion: "unsupported_protocol_version",
	TLSHandshake:       "tls_handshake",
	TLSRequired:        "tls_required",
	BadMessage:         "bad_authentication_message",
	ChannelBinding:     "channel_binding",
	WrongPassword:      "wrong_password",
	UnknownUser:        "unknown_user",
	BadOptions:         "bad_options",
	TokenRefused:       "token_refused",
}

func (r Reason) String() string {
	if r > 0 && r < reasonEnd {
		return reasonNames[r]
	}
	return "unknown"
}

// Reasons gives all reasons.
func Reasons() []Reason {
	all := make([]Reason, 0, reasonEnd)
	for r := Disconnected; r < reasonEnd; r++ {
		all = append(all, r)
	}
	return all
}

// Error is why a login failed. It is for the operator: it holds the true cause, of which the client may have been told
// less, and no secret.
type Error struct {
	Reason Reason
	// User is the name that the client gave, any bytes, or "" if it had not come to that.
	User  string
	Cause error
}

func (e *Error) Error() string {
	if e.User == "" {
		return e.Cause.Error()
	}
	return fmt.Sprintf("user %q: %v", e.User, e.Cause)
}

func (e *Error) Unwrap() error { return e.Cause }

// broken says what an error of the connection means for the login of user.
func broken(ctx context.Context, user string, err error) *Error {
	e := &Error{Reason: Disconnected, User: user, Cause: err}
	switch {
	case errors.Is(ctx.Err(), context.Canceled):
		e.Reason, e.Cause = Shutdown, context.Cause(ctx)
	case ctx.Err() != nil, errors.Is(err, os.ErrDeadlineExceeded), errors.Is(err, context.DeadlineExceeded):
		e.Reason, e.Cause = Timeout, errors.New("the login took too long")
	case errors.Is(err, io.ErrUnexpectedEOF):
		e.Cause = errEarly
	case errors.Is(err, io.EOF):
		e.Cause = errors.New("the client went away")
	}
	return e
}

// errEarly is io.EOF in the middle of a message.
var errEarly = errors.New("the client went away in the middle of a message")
