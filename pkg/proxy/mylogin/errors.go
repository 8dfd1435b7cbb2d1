// SPDX-License-Identifier: Apache-2.0

package mylogin

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"strings"

	"github.com/rdsproxy/rdsproxy/pkg/auth"
	"github.com/rdsproxy/rdsproxy/pkg/iam"
	"github.com/rdsproxy/rdsproxy/pkg/wire/mysql"
)

// Reason tells the ways apart in which a login fails, for metrics. String gives a name that stays.
type Reason uint8

const (
	// Disconnected: the client left, or the connection broke. Health checks that only connect end so.
	Disconnected Reason = iota + 1
	// Timeout: the deadline passed.
	Timeout
	// Shutdown: the context was cancelled.
	Shutdown
	// BadPacket: no legal handshake response.
	BadPacket
	// UnsupportedVersion: a client from before MySQL 4.1, or one that cannot do the plugin of its user.
	UnsupportedVersion
	// TLSHandshake: the TLS handshake failed.
	TLSHandshake
	// TLSRequired: the client did not ask for TLS and has to.
	TLSRequired
	// BadMessage: a packet of the authentication broke the protocol.
	BadMessage
	// WrongPassword: the user is known, the password is not theirs.
	WrongPassword
	// UnknownUser: nobody can log in under this name.
	UnknownUser
	// TokenRefused: the user is known, and the token does not let its bearer log in as them. The cause is an
	// *iam.Rejection with the reason, if tokens are set up.
	TokenRefused
)

var reasonNames = [...]string{
	Disconnected:       "disconnected",
	Timeout:            "timeout",
	Shutdown:           "shutdown",
	BadPacket:          "bad_startup_packet",
	UnsupportedVersion: "unsupported_protocol_version",
	TLSHandshake:       "tls_handshake",
	TLSRequired:        "tls_required",
	BadMessage:         "bad_authentication_message",
	WrongPassword:      "wrong_password",
	UnknownUser:        "unknown_user",
	TokenRefused:       "token_refused",
}

func (r Reason) String() string {
	if int(r) < len(reasonNames) && reasonNames[r] != "" {
		return reasonNames[r]
	}
	return "unknown"
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

// errEarly is io.EOF in the middle of a packet.
var errEarly = errors.New("the client went away in the middle of a packet")

// ioError says what an error of the connection means for the login.
func (d *dialogue) ioError(ctx context.Context, err error) *Error {
	e := &Error{Reason: Disconnected, User: d.user, Cause: err}
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

// codeReadTimeout is what MySQL tells a client that it gave up waiting for.
const codeReadTimeout = 1159

// lastWord is what a client is told that is not at fault itself, in the words of MySQL.
func lastWord(r Reason) *mysql.Error {
	switch r {
	case Timeout:
		return &mysql.Error{Code: codeReadTimeout, State: "08S01", Message: "Got timeout reading communication packets"}
	case Shutdown:
		return mysql.NewError(mysql.CodeServerShutdown, "Server shutdown in progress")
	}
	return nil
}

// unsupported is what a client is told that does not know the plugin it would need.
func unsupported() *mysql.Error {
	return &mysql.Error{
		Code: mysql.CodeNotSupportedAuth, State: "08004",
		Message: "Client does not support authentication protocol requested by server; consider upgrading MySQL client",
	}
}

// tlsRequired is in the words of RDS Proxy.
func tlsRequired() *mysql.Error {
	return mysql.NewError(mysql.CodeSecureTransport, "This RDS Proxy requires TLS connections.")
}

// shownUser is how many bytes of a user's name an error repeats. No server has users with longer names.
const shownUser = 384

// denied ends the dialogue with an error of package auth. What the client is told is the same for all of them.
func (d *dialogue) denied(err error) error {
	reason := WrongPassword
	switch {
	case errors.Is(err, auth.ErrUnknownUser):
		reason = UnknownUser
	case errors.Is(err, auth.ErrMySQLResponse):
		reason = BadMessage
	}
	if r, ok := errors.AsType[*iam.Rejection](err); ok {
		if reason == WrongPassword {
			reason = TokenRefused
		}
		if r.Reason == iam.RateLimited {
			code, state, text := r.MySQL(d.user, "")
			d.last = &mysql.Error{Code: code, State: state, Message: text}
			return &Error{Reason: reason, User: d.user, Cause: err}
		}
	}
	user, used := d.user, "NO"
	if len(user) > shownUser {
		user = strings.ToValidUTF8(user[:shownUser], "")
	}
	if d.password {
		used = "YES"
	}
	d.last = mysql.NewError(mysql.CodeAccessDenied,
		fmt.Sprintf("Access denied for user '%s'@'%s' (using password: %s)", user, hostOf(d.raw.RemoteAddr()), used))
	return &Error{Reason: reason, User: d.user, Cause: err}
}

// hostOf is the client's host as servers show it that resolve no names.
func hostOf(a net.Addr) string {
	if t, ok := a.(*net.TCPAddr); ok && len(t.IP) > 0 {
		return t.IP.String()
	}
	return "localhost"
}
