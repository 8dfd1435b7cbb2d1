// SPDX-License-Identifier: Apache-2.0

package pglogin

import (
	"errors"
	"fmt"

	"github.com/rdsproxy/rdsproxy/pkg/auth"
	"github.com/rdsproxy/rdsproxy/pkg/proxy/login"
	"github.com/rdsproxy/rdsproxy/pkg/wire/postgres"
)

// authError says what an error of package auth means, and what the client is told of it.
func (d *dialogue) authError(err error) (login.Reason, *postgres.Error) {
	failed := postgres.Fatal(postgres.CodeInvalidPassword,
		fmt.Sprintf("password authentication failed for user \"%s\"", d.User))
	var p *auth.ProtocolError
	switch {
	case errors.Is(err, auth.ErrUnknownUser):
		return login.UnknownUser, failed
	case !errors.As(err, &p):
		return login.WrongPassword, failed
	case p.Fault == auth.Binding:
		return login.ChannelBinding, postgres.Fatal(postgres.CodeInvalidAuthorization, p.Message).WithDetail(p.Detail)
	case p.Fault == auth.Unsupported:
		return login.BadMessage, postgres.Fatal(postgres.CodeFeatureNotSupported, p.Message).WithDetail(p.Detail)
	default:
		return login.BadMessage, postgres.Fatal(postgres.CodeProtocolViolation, p.Message).WithDetail(p.Detail)
	}
}
