// SPDX-License-Identifier: Apache-2.0

package rdstoken

import (
	"context"
	"fmt"
	"sync"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/config"

	"github.com/rdsproxy/rdsproxy/pkg/iam"
	"github.com/rdsproxy/rdsproxy/pkg/secret"
)

const (
	// renewBefore is how long before its end a token is made anew: a login that waits for a database must still have time.
	renewBefore = 5 * time.Minute
	// usableUntil is how long before its end a token is not used anymore, though no other can be made.
	usableUntil = 30 * time.Second
	// makeTimeout bounds the fetching of credentials.
	makeTimeout = 10 * time.Second
	// maxTokens bounds how many tokens are kept; there is one for each target and user.
	maxTokens = 4096
)

// Provider keeps tokens for the proxy's own logins to a database.
type Provider struct {
	credentials aws.CredentialsProvider
	region      string

	mu struct { // nothing slow is done under it
		sync.Mutex
		tokens map[login]*token
	}
}

type login struct {
	at   iam.Address
	user string
}

type token struct {
	// busy holds one value while somebody makes the token.
	busy chan struct{}
	// text and until are guarded by busy.
	text  secret.Password
	until time.Time
}

// NewProvider makes a provider of the given credentials.
func NewProvider(credentials aws.CredentialsProvider, region string) *Provider {
	p := &Provider{credentials: credentials, region: region}
	p.mu.tokens = map[login]*token{}
	return p
}

// NewDefaultProvider makes a provider of the default credential chain of AWS. An empty region is the environment's; then there
// has to be one.
func NewDefaultProvider(ctx context.Context, region string) (*Provider, error) {
	c, err := config.LoadDefaultConfig(ctx, config.WithRegion(region))
	if err != nil {
		return nil, fmt.Errorf("settings of AWS: %w", err)
	}
	if c.Region == "" {
		return nil, fmt.Errorf("no region: set one, or AWS_REGION")
	}
	return NewProvider(c.Credentials, c.Region), nil
}

// Token returns the token with which user logs in to the database at an address: the one of before while it has time left, or
// a new one. When no new one can be made, an old one serves to its end.
func (p *Provider) Token(ctx context.Context, at iam.Address, user string) (secret.Password, error) {
	t := p.token(login{at, user})
	select {
	case t.busy <- struct{}{}:
		defer func() { <-t.busy }()
	case <-ctx.Done():
		return secret.Password{}, fmt.Errorf("token for %s: %w", at, context.Cause(ctx))
	}
	now := time.Now()
	left := t.until.Sub(now)
	if left > renewBefore {
		return t.text, nil
	}
	if err := p.renew(ctx, t, at, user, now); err != nil && left <= usableUntil {
		return secret.Password{}, err
	}
	return t.text, nil
}

// Refused is told that a database refused a token: the next one is made anew.
func (p *Provider) Refused(at iam.Address, user string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	delete(p.mu.tokens, login{at, user})
}

func (p *Provider) token(l login) *token {
	p.mu.Lock()
	defer p.mu.Unlock()
	t := p.mu.tokens[l]
	if t == nil {
		if len(p.mu.tokens) >= maxTokens {
			clear(p.mu.tokens)
		}
		t = &token{busy: make(chan struct{}, 1)}
		p.mu.tokens[l] = t
	}
	return t
}

// renew makes a new token. The caller holds t.busy.
func (p *Provider) renew(ctx context.Context, t *token, at iam.Address, user string, now time.Time) error {
	ctx, stop := context.WithTimeout(ctx, makeTimeout)
	defer stop()
	c, err := p.credentials.Retrieve(ctx)
	if err != nil {
		return fmt.Errorf("token for %s: no credentials: %w", at, err)
	}
	// The credentials that are looked at are those that sign.
	fixed := aws.CredentialsProviderFunc(func(context.Context) (aws.Credentials, error) { return c, nil })
	text, err := RDS(ctx, fixed, at, p.region, user)
	if err != nil {
		return err
	}
	t.text, t.until = text, now.Add(Life)
	if c.CanExpire && c.Expires.Before(t.until) {
		t.until = c.Expires
	}
	return nil
}
