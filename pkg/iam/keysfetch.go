// SPDX-License-Identifier: Apache-2.0

package iam

import (
	"context"
	"errors"
	"io"
	"net/http"
	"net/netip"
	"time"

	"github.com/coreos/go-oidc/v3/oidc"
	"golang.org/x/time/rate"
)

// Limits of fetching an issuer's keys. A token that names an unknown key makes go-oidc fetch them again, so a stranger could
// make it ask without end.
const (
	keysTimeout = 10 * time.Second
	keysSize    = 1 << 20 // bytes
	keysEvery   = 5 * time.Second
	keysBurst   = 4
)

// keysError is an issuer that does not answer, or is not asked.
type keysError struct{ text string }

// Error implements error.
func (e *keysError) Error() string { return e.text }

// keysTransport bounds how often an issuer is asked, and how much is read of its answer.
type keysTransport struct {
	base   http.RoundTripper
	bearer func() (string, error)
	limit  *rate.Limiter
	now    func() time.Time
}

func newKeysTransport(base http.RoundTripper, bearer func() (string, error), now func() time.Time) *keysTransport {
	return &keysTransport{base: base, bearer: bearer, limit: rate.NewLimiter(rate.Every(keysEvery), keysBurst), now: now}
}

// RoundTrip implements http.RoundTripper.
func (t *keysTransport) RoundTrip(req *http.Request) (*http.Response, error) {
	if !t.limit.AllowN(t.now(), 1) {
		return nil, &keysError{"the issuer was asked a moment ago"}
	}
	if t.bearer != nil {
		token, err := t.bearer()
		if err != nil {
			return nil, &keysError{"the token for the issuer cannot be read"}
		}
		req = req.Clone(req.Context())
		req.Header.Set("Authorization", "Bearer "+token)
	}
	resp, err := t.base.RoundTrip(req)
	if err != nil {
		return nil, &keysError{"the issuer does not answer: " + withoutURL(err).Error()}
	}
	if resp.StatusCode != http.StatusOK {
		resp.Body.Close()
		return nil, &keysError{"the issuer answers with status " + resp.Status}
	}
	resp.Body = &boundedBody{ReadCloser: resp.Body, rest: keysSize}
	return resp, nil
}

// boundedBody ends with an error when more is there than was bargained for.
type boundedBody struct {
	io.ReadCloser
	rest int64
}

// Read implements io.Reader.
func (b *boundedBody) Read(p []byte) (int, error) {
	if b.rest <= 0 {
		return 0, &keysError{"the issuer's answer is too large"}
	}
	n, err := b.ReadCloser.Read(p[:min(int64(len(p)), b.rest)])
	b.rest -= int64(n)
	return n, err
}

// seenKeys remembers what the key set said of one token; go-oidc loses the kind of the error.
type seenKeys struct {
	oidc.KeySet
	payload     []byte
	unavailable bool
}

// VerifySignature implements oidc.KeySet.
func (s *seenKeys) VerifySignature(ctx context.Context, token string) ([]byte, error) {
	payload, err := s.KeySet.VerifySignature(ctx, token)
	s.payload = payload
	s.unavailable = errors.As(err, new(*keysError)) || ctx.Err() != nil
	return payload, err
}

func isLoopback(host string) bool {
	if host == "localhost" {
		return true
	}
	a, err := netip.ParseAddr(host)
	return err == nil && a.IsLoopback()
}
