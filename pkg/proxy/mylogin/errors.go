// SPDX-License-Identifier: Apache-2.0

package mylogin

import (
	"errors"
	"fmt"
	"net"
	"strings"

	"github.com/rdsproxy/rdsproxy/pkg/auth"
	"github.com/rdsproxy/rdsproxy/pkg/iam"
	"github.com/rdsproxy/rdsproxy/pkg/proxy/login"
	"github.com/rdsproxy/rdsproxy/pkg/wire/mysql"
)

// codeReadTimeout is what MySQL tells a client that it gave up waiting for.
const codeReadTimeout = 1159

// lastWord is what a client is told that is not at fault itself, in the words of MySQL.
func lastWord(r login.Reason) *mysql.Error {
	switch r {
	case login.Timeout:
		return &mysql.Error{Code: codeReadTimeout, State: "08S01", Message: "Got timeout reading communication packets"}
	case login.Shutdown:
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
	reason := login.WrongPassword
	switch {
	case errors.Is(err, auth.ErrUnknownUser):
		reason = login.UnknownUser
	case errors.Is(err, auth.ErrMySQLResponse):
		reason = login.BadMessage
	}
	if r, ok := errors.AsType[*iam.Rejection](err); ok {
		if reason == login.WrongPassword {
			reason = login.TokenRefused
		}
		if r.Reason == iam.RateLimited {
			code, state, text := r.MySQL(d.User, "")
			d.last = &mysql.Error{Code: code, State: state, Message: text}
			return &login.Error{Reason: reason, User: d.User, Cause: err}
		}
	}
	user, used := d.User, "NO"
	if len(user) > shownUser {
		user = strings.ToValidUTF8(user[:shownUser], "")
	}
	if d.password {
		used = "YES"
	}
	d.last = mysql.NewError(mysql.CodeAccessDenied,
		fmt.Sprintf("Access denied for user '%s'@'%s' (using password: %s)", user, hostOf(d.Raw.RemoteAddr()), used))
	return &login.Error{Reason: reason, User: d.User, Cause: err}
}

// hostOf is the client's host as servers show it that resolve no names.
func hostOf(a net.Addr) string {
	if t, ok := a.(*net.TCPAddr); ok && len(t.IP) > 0 {
		return t.IP.String()
	}
	return "localhost"
}
