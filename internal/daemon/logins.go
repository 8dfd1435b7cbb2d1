// SPDX-License-Identifier: Apache-2.0

package daemon

import (
	"context"
	"fmt"

	"github.com/rdsproxy/rdsproxy/pkg/config"
	"github.com/rdsproxy/rdsproxy/pkg/iam"
	"github.com/rdsproxy/rdsproxy/pkg/proxy"
	"github.com/rdsproxy/rdsproxy/pkg/rdstoken"
	"github.com/rdsproxy/rdsproxy/pkg/secret"
)

// logins are what the proxy logs in to one database with: the password of a user's
// secret, or for a user without one a token.
type logins struct {
	users  *users
	at     iam.Address
	tokens *rdstoken.Provider // nil: users without a secret cannot log in there
}

var _ proxy.Credentials = (*logins)(nil)

// newLogins makes those of a target group. Tokens are signed with the default
// credential chain of AWS.
func newLogins(ctx context.Context, u *users, t config.TargetGroup) (*logins, error) {
	l := &logins{users: u, at: iam.Address{Host: t.Writer.Host, Port: t.Writer.Port}}
	if t.DefaultAuthScheme != config.SchemeIAM {
		return l, nil
	}
	var err error
	if l.tokens, err = rdstoken.NewDefaultProvider(ctx, t.Region); err != nil {
		return nil, fmt.Errorf("default_auth_scheme: %w", err)
	}
	return l, nil
}

// Get implements proxy.Credentials.
func (l *logins) Get(ctx context.Context, user string) (secret.Credential, error) {
	id, err := l.users.secretOf(user)
	switch {
	case err != nil:
		return secret.Credential{}, err
	case id != "":
		return l.users.get(ctx, user, id)
	case l.tokens == nil:
		return secret.Credential{}, fmt.Errorf("user %q has no secret, and this target group no default_auth_scheme", user)
	}
	token, err := l.tokens.Token(ctx, l.at, user)
	return secret.Credential{Username: user, Password: token}, err
}

// Refused implements proxy.Credentials.
func (l *logins) Refused(ctx context.Context, user string, refused secret.Credential) ([]secret.Credential, error) {
	id, err := l.users.secretOf(user)
	switch {
	case err != nil:
		return nil, err
	case id != "":
		return l.users.store.Refused(ctx, id, refused)
	case l.tokens == nil:
		return nil, secret.ErrNoOther
	}
	l.tokens.Refused(l.at, user)
	c, err := l.Get(ctx, user)
	if err != nil {
		return nil, err
	}
	return []secret.Credential{c}, nil
}

// Accepted implements proxy.Credentials.
func (l *logins) Accepted(user string, taken secret.Credential) {
	if id, err := l.users.secretOf(user); err == nil && id != "" {
		l.users.store.Accepted(id, taken)
	}
}
