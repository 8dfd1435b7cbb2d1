// SPDX-License-Identifier: Apache-2.0

package iam

import (
	"cmp"
	"context"
	"errors"
	"slices"
	"time"

	"golang.org/x/time/rate"
)

// What a Gate does unless told otherwise.
const (
	DefaultFailureTime  = 500 * time.Millisecond
	DefaultFailureRate  = 1 // per second
	DefaultFailureBurst = 30
	maxSources          = 8192
)

// GateOptions set up a Gate.
type GateOptions struct {
	// Verifiers are asked in this order whether a token is of their kind. There may be several of WebIdentity, one for each
	// issuer.
	Verifiers []Verifier
	// FailureTime takes the place of DefaultFailureTime when above zero: every failure lasts a whole number of times this
	// long, so that its time does not tell its reason.
	FailureTime time.Duration
	// FailureRate and FailureBurst take the place of their defaults when above zero: so many failures a second from one
	// address, after that many at once.
	FailureRate  float64
	FailureBurst int
}

// Gate is what a login asks. It picks the verifier by the token's form, and sees to it that failures tell nothing.
type Gate struct {
	verifiers   []Verifier
	failureTime time.Duration
	failures    *failures
}

// NewGate makes a gate.
func NewGate(o GateOptions) *Gate {
	limit := rate.Limit(cmp.Or(max(o.FailureRate, 0), DefaultFailureRate))
	burst := cmp.Or(max(o.FailureBurst, 0), DefaultFailureBurst)
	return &Gate{
		verifiers:   slices.Clone(o.Verifiers),
		failureTime: cmp.Or(max(o.FailureTime, 0), DefaultFailureTime),
		failures:    newFailures(limit, burst, maxSources),
	}
}

// Accepts says whether a password looks like a token. Where a user may log in with both, it decides which way to go.
func (g *Gate) Accepts(password string) bool {
	return len(password) <= MaxToken && slices.ContainsFunc(g.verifiers, func(v Verifier) bool { return v.Accepts(password) })
}

// Verify returns who a token is from, if it proves the claim. The error is a *Rejection: Postgres and MySQL are for the
// client, Error for the log. A failure takes its time, and ends early only with ctx.
func (g *Gate) Verify(ctx context.Context, c Claim) (Identity, error) {
	if !c.TLS {
		return Identity{}, &Rejection{Reason: NoTLS}
	}
	start := time.Now()
	if g.failures.exceeded(c.Client, start) {
		return Identity{}, &Rejection{Reason: RateLimited}
	}
	id, err := g.verify(ctx, c)
	if err == nil {
		return id, nil
	}
	// That somebody else does not answer is not the client's failure.
	if ReasonOf(err) != Unavailable {
		g.failures.note(c.Client, time.Now())
	}
	g.pad(ctx, start)
	return Identity{}, err
}

func (g *Gate) verify(ctx context.Context, c Claim) (Identity, error) {
	token := c.Token.Reveal()
	var last error = reject(Malformed, "no token of a kind that is taken here")
	if len(token) > MaxToken {
		return Identity{}, last
	}
	for _, v := range g.verifiers {
		if !v.Accepts(token) {
			continue
		}
		id, err := v.Verify(ctx, c)
		if err == nil {
			return id, nil
		}
		if r := (*Rejection)(nil); !errors.As(err, &r) {
			return Identity{}, &Rejection{Reason: Unavailable, Err: err}
		}
		last = err
		if ReasonOf(err) != WrongIssuer {
			break // only where there are several issuers is there another one to ask
		}
	}
	return Identity{}, last
}

// pad waits until a whole number of failureTime has passed since start.
func (g *Gate) pad(ctx context.Context, start time.Time) {
	rest := g.failureTime - time.Since(start)%g.failureTime
	t := time.NewTimer(rest)
	defer t.Stop()
	select {
	case <-t.C:
	case <-ctx.Done():
	}
}
