// SPDX-License-Identifier: Apache-2.0

package proxy

import (
	"context"
	"net"
	"net/netip"

	"go.uber.org/zap"

	"github.com/rdsproxy/rdsproxy/pkg/iam"
	"github.com/rdsproxy/rdsproxy/pkg/secret"
)

// tokens checks the tokens of one client, which has TLS.
type tokens struct {
	gate     *iam.Gate
	endpoint []iam.Address
	client   netip.Addr
	// accepted is whose token was good.
	accepted iam.Identity
}

// tokens is nil if none are taken.
func (e *Endpoint) tokens(nc net.Conn, o *EndpointOptions) *tokens {
	if o.IAM == nil {
		return nil
	}
	gate := o.IAM()
	if gate == nil {
		return nil
	}
	return &tokens{gate: gate, endpoint: o.Names, client: addrOf(nc.RemoteAddr())}
}

// Accepts implements login.Tokens.
func (t *tokens) Accepts(password string) bool { return t != nil && t.gate.Accepts(password) }

// Verify implements login.Tokens.
func (t *tokens) Verify(ctx context.Context, user string, token secret.Password) error {
	if t == nil {
		return &iam.Rejection{Reason: iam.Malformed, Detail: "tokens are not set up"}
	}
	ctx, stop := limited(ctx)
	defer stop()
	var err error
	t.accepted, err = t.gate.Verify(ctx, iam.Claim{User: user, Endpoint: t.endpoint, Token: token, Client: t.client, TLS: true})
	return err
}

// report notes with whose token a client has logged in, if it was by token.
func (e *Endpoint) report(t *tokens, user string) {
	if t == nil || t.accepted == (iam.Identity{}) {
		return
	}
	e.log.Info("An IAM token was accepted.", zap.Stringer("client", t.client), zap.String("user", user),
		zap.String("method", t.accepted.Method), zap.String("principal", t.accepted.Principal), zap.Time("expires", t.accepted.Expires))
}

// tokenFailures are the reasons for which tokens are refused, as they are counted.
func tokenFailures() []string {
	var names []string
	for r := iam.Malformed; r <= iam.RateLimited; r++ {
		names = append(names, tokenFailure(r))
	}
	return names
}

func tokenFailure(r iam.Reason) string { return "iam_" + r.String() }
