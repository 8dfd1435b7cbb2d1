// SPDX-License-Identifier: Apache-2.0

package iam

import (
	"errors"
	"fmt"
	"strconv"
	"strings"
)

// Reason tells failures apart, for logs and metrics. String gives a name that stays.
type Reason uint8

const (
	// Malformed: no token, or one that breaks its form.
	Malformed Reason = iota + 1
	// NoTLS: the connection is not encrypted.
	NoTLS
	// Expired: the token's time is over.
	Expired
	// NotYetValid: the token's time has not begun; a clock is wrong.
	NotYetValid
	// WrongHost: the token is for another endpoint.
	WrongHost
	// WrongRegion: the token is for another region.
	WrongRegion
	// WrongUser: the token is for another database user.
	WrongUser
	// BadSignature: the signature does not fit.
	BadSignature
	// UnknownKey: nobody here has the key that the token is signed with.
	UnknownKey
	// BadSession: the session token is missing, not expected, or another.
	BadSession
	// Denied: the signer is known, and no policy or mapping lets it log in as this user.
	Denied
	// WrongIssuer: a JWT of another issuer.
	WrongIssuer
	// WrongAudience: a JWT for somebody else.
	WrongAudience
	// Unavailable: who could tell (STS, the issuer's keys, the secret with the access key) does not answer.
	Unavailable
	// RateLimited: too many failures from this address. The token was not looked at.
	RateLimited
)

var reasonNames = [...]string{
	Malformed: "malformed", NoTLS: "no_tls", Expired: "expired", NotYetValid: "not_yet_valid", WrongHost: "wrong_host",
	WrongRegion: "wrong_region", WrongUser: "wrong_user", BadSignature: "bad_signature", UnknownKey: "unknown_key",
	BadSession: "bad_session_token", Denied: "policy_denies", WrongIssuer: "wrong_issuer", WrongAudience: "wrong_audience",
	Unavailable: "unavailable", RateLimited: "rate_limited",
}

// String implements fmt.Stringer.
func (r Reason) String() string {
	if int(r) < len(reasonNames) && reasonNames[r] != "" {
		return reasonNames[r]
	}
	return "unknown"
}

// Rejection is why a token does not let a client in.
type Rejection struct {
	Reason Reason
	// Detail says more, for the log. It quotes nothing but names: hosts, users, regions, access key ids, ARNs.
	Detail string
	// Err is what lies beneath, if anything.
	Err error
}

// Error is the private text.
func (r *Rejection) Error() string {
	text := "IAM token refused: " + r.Reason.String()
	if r.Detail != "" {
		text += ": " + r.Detail
	}
	if r.Err != nil {
		text += ": " + r.Err.Error()
	}
	return text
}

// Unwrap implements errors.Unwrap.
func (r *Rejection) Unwrap() error { return r.Err }

// SQLSTATE of the messages for PostgreSQL.
const (
	codeInvalidAuthorization = "28000"
	codeTooManyConnections   = "53300"
)

// Postgres is what a PostgreSQL client is told: SQLSTATE and message, in RDS Proxy's words. It is the same for all
// failures of a token.
func (r *Rejection) Postgres(user string) (code, message string) {
	switch r.Reason {
	case NoTLS:
		return codeInvalidAuthorization, "IAM authentication is allowed only with SSL connections."
	case RateLimited:
		return codeTooManyConnections, "The IAM authentication failed for the role " + user + " because of too many competing requests."
	default:
		return codeInvalidAuthorization, "IAM authentication failed for user " + user + ". Check the IAM token for this user and try again."
	}
}

// Error numbers of the messages for MySQL.
const (
	erConCount     = 1040
	erAccessDenied = 1045
)

// MySQL is what a MySQL client is told: error number, SQLSTATE and message, in RDS Proxy's words. client is how the server
// would call the client's host. It is the same for all failures of a token, missing TLS included: there the server names the
// plugin that needs it before any token is sent.
func (r *Rejection) MySQL(user, client string) (number uint16, state, message string) {
	if r.Reason == RateLimited {
		return erConCount, "08004", "IAM authentication rate limit exceeded"
	}
	return erAccessDenied, "28000", fmt.Sprintf("Access denied for user '%s'@'%s' (using password: YES)", user, client)
}

// ReasonOf is the reason of a Rejection in the chain of err, or zero.
func ReasonOf(err error) Reason {
	if r := (*Rejection)(nil); errors.As(err, &r) {
		return r.Reason
	}
	return 0
}

func reject(reason Reason, format string, args ...any) *Rejection {
	return &Rejection{Reason: reason, Detail: fmt.Sprintf(format, args...)}
}

// maxQuoted bounds a name in a log line, in bytes.
const maxQuoted = 200

// quote shows a name that a client chose: bounded, and without control characters.
func quote(name string) string {
	if len(name) > maxQuoted {
		name = strings.ToValidUTF8(name[:maxQuoted], "") + "..."
	}
	return strconv.QuoteToASCII(name)
}
