// SPDX-License-Identifier: Apache-2.0

package iam

import (
	"cmp"
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"sync/atomic"
	"time"

	"github.com/coreos/go-oidc/v3/oidc"
)

const methodJWT = "web-identity"

// DefaultAlgorithms are the signatures that a JWT may have. All are by a private key of the issuer; HS256 and none are not
// to be had.
func DefaultAlgorithms() []string {
	return []string{oidc.RS256, oidc.RS384, oidc.RS512, oidc.ES256, oidc.ES384, oidc.ES512, oidc.PS256, oidc.PS384, oidc.PS512, oidc.EdDSA}
}

// WebIdentityOptions set up WebIdentity.
type WebIdentityOptions struct {
	// Issuer is the URL of the issuer, exactly as tokens name it: https, or http to a loopback address.
	Issuer string
	// Audience has to be among the audiences of a token. It is what ties a token to this proxy: take a name of its own.
	Audience string
	// KeysURL is where the issuer's keys are; found through the issuer's /.well-known/openid-configuration if empty.
	KeysURL string
	// Roots are the certificates that the issuer's is held against; those of the system if nil.
	Roots *x509.CertPool
	// Bearer returns what the issuer wants to see before it shows its keys, such as the pod's own token for the API server
	// of Kubernetes; nil if it shows them to everybody.
	Bearer func() (string, error)
	// Algorithms are some of DefaultAlgorithms; all if empty.
	Algorithms []string
	// Claim is the claim that is mapped to users; "sub" if empty.
	Claim string
	// Mappings say which value of the claim may log in as which database users.
	Mappings []Mapping
	// Skew takes the place of DefaultSkew when above zero: how far nbf and iat may lie in the future.
	Skew time.Duration
	// Transport takes the place of a plain one: for tests.
	Transport http.RoundTripper
	// Now takes the place of time.Now.
	Now func() time.Time
}

// WebIdentity verifies signed JSON web tokens of one issuer.
type WebIdentity struct {
	issuer     string
	audience   string
	algorithms []string
	claim      string
	mappings   []Mapping
	skew       time.Duration
	now        func() time.Time
	keysURL    string
	client     *http.Client

	// asking holds one token while the issuer is asked for the place of its keys: who else comes then waits for the same.
	asking chan struct{}
	keys   atomic.Pointer[oidc.RemoteKeySet] // nil until it is known where they are
}

var _ Verifier = (*WebIdentity)(nil)

// NewWebIdentity makes the verifier. The issuer is not asked before the first token. An error says which option is wrong.
func NewWebIdentity(o WebIdentityOptions) (*WebIdentity, error) {
	v := &WebIdentity{
		issuer: o.Issuer, audience: o.Audience, keysURL: o.KeysURL, now: o.Now,
		algorithms: slices.Clone(o.Algorithms),
		claim:      cmp.Or(o.Claim, "sub"),
		mappings:   slices.Clone(o.Mappings),
		skew:       cmp.Or(max(o.Skew, 0), DefaultSkew),
		asking:     make(chan struct{}, 1),
	}
	if err := v.check(); err != nil {
		return nil, err
	}
	if len(v.algorithms) == 0 {
		v.algorithms = DefaultAlgorithms()
	}
	if v.now == nil {
		v.now = time.Now
	}
	transport := o.Transport
	if transport == nil && o.Roots != nil {
		transport = &http.Transport{TLSClientConfig: &tls.Config{RootCAs: o.Roots, MinVersion: tls.VersionTLS12}, ForceAttemptHTTP2: true}
	}
	v.client = noRedirects(transport, keysTimeout)
	v.client.Transport = newKeysTransport(v.client.Transport, o.Bearer, v.now)
	return v, nil
}

func (v *WebIdentity) check() error {
	if err := checkIssuerURL(v.issuer); err != nil {
		return fmt.Errorf("issuer: %w", err)
	}
	if v.keysURL != "" {
		if err := checkIssuerURL(v.keysURL); err != nil {
			return fmt.Errorf("keys: %w", err)
		}
	}
	if v.audience == "" {
		return errors.New("no audience")
	}
	for _, a := range v.algorithms {
		if !slices.Contains(DefaultAlgorithms(), a) {
			return fmt.Errorf("algorithm %s is not one of %s", quote(a), strings.Join(DefaultAlgorithms(), ", "))
		}
	}
	if len(v.mappings) == 0 {
		return errors.New("no mappings")
	}
	for _, m := range v.mappings {
		if m.Match == "" || len(m.Match) > maxPattern {
			return errors.New("a mapping matches nothing")
		}
		if err := m.checkUsers(); err != nil {
			return err
		}
	}
	return nil
}

// checkIssuerURL wants https. Without it, whoever sits in between gives the keys; on a loopback address nobody does.
func checkIssuerURL(text string) error {
	u, err := url.Parse(text)
	if err != nil || u.Host == "" || u.User != nil || u.Fragment != "" || u.RawQuery != "" {
		return errors.New("not a URL with a host, and without user, query and fragment")
	}
	if u.Scheme != "https" && (u.Scheme != "http" || !isLoopback(u.Hostname())) {
		return errors.New("not https")
	}
	return nil
}

// Accepts implements Verifier: the header of a JWT begins with {" in base64.
func (v *WebIdentity) Accepts(token string) bool {
	return strings.HasPrefix(token, "eyJ") && strings.Count(token, ".") == 2
}

// Verify implements Verifier.
func (v *WebIdentity) Verify(ctx context.Context, c Claim) (Identity, error) {
	token := c.Token.Reveal()
	if r := checkJWT(token, v.issuer, v.algorithms); r != nil {
		return Identity{}, r
	}
	payload, r := v.checkSignature(ctx, token)
	if r != nil {
		return Identity{}, r
	}
	until, r := v.checkClaims(payload)
	if r != nil {
		return Identity{}, r
	}
	values, r := claimValues(payload, v.claim)
	if r != nil {
		return Identity{}, r
	}
	for _, m := range v.mappings {
		for _, value := range values {
			if matchText(m.Match, value) && m.allows(c.User) {
				return Identity{Method: methodJWT, Principal: value, Expires: until}, nil
			}
		}
	}
	return Identity{}, reject(Denied, "%s %s as %s", v.claim, quote(values[0]), quote(c.User))
}

// checkSignature returns the claims, if the issuer signed them. That go-oidc looks at issuer, audience and time as well is left
// to checkClaims, which tells the reasons apart.
func (v *WebIdentity) checkSignature(ctx context.Context, token string) ([]byte, *Rejection) {
	keys, err := v.keySet(ctx)
	if err != nil {
		return nil, &Rejection{Reason: Unavailable, Detail: "where the issuer's keys are cannot be learned", Err: err}
	}
	seen := &seenKeys{KeySet: keys}
	verifier := oidc.NewVerifier(v.issuer, seen, &oidc.Config{
		SupportedSigningAlgs: v.algorithms, SkipClientIDCheck: true, SkipExpiryCheck: true, SkipIssuerCheck: true,
	})
	// A claim of go-oidc's that is of another type than it should be is an error too.
	if _, err := verifier.Verify(ctx, token); err != nil {
		switch {
		case seen.payload != nil:
			return nil, reject(Malformed, "claims are not as they should be")
		case errors.As(err, new(*keysError)) || seen.unavailable:
			return nil, reject(Unavailable, "the issuer's keys cannot be fetched")
		}
		return nil, reject(BadSignature, "no key of the issuer fits")
	}
	return seen.payload, nil
}

// keySet learns where the issuer's keys are, once.
func (v *WebIdentity) keySet(ctx context.Context) (oidc.KeySet, error) {
	if keys := v.keys.Load(); keys != nil {
		return keys, nil
	}
	select {
	case v.asking <- struct{}{}:
		defer func() { <-v.asking }()
	case <-ctx.Done():
		return nil, context.Cause(ctx)
	}
	if keys := v.keys.Load(); keys != nil {
		return keys, nil
	}
	// The client outlives this login.
	ctx = oidc.ClientContext(context.WithoutCancel(ctx), v.client)
	where := v.keysURL
	if where == "" {
		p, err := oidc.NewProvider(ctx, v.issuer)
		if err != nil {
			return nil, discoveryProblem(err)
		}
		var found struct {
			Keys string `json:"jwks_uri"`
		}
		if err := p.Claims(&found); err != nil || checkIssuerURL(found.Keys) != nil {
			return nil, errors.New("the issuer names no place of its keys that can be asked")
		}
		where = found.Keys
	}
	keys := oidc.NewRemoteKeySet(ctx, where)
	v.keys.Store(keys)
	return keys, nil
}

// discoveryProblem keeps the answer's text, which go-oidc quotes, out of the log.
func discoveryProblem(err error) error {
	if mismatch := (*oidc.IssuerMismatchError)(nil); errors.As(err, &mismatch) {
		return errors.New("it calls itself by another name")
	}
	if ke := (*keysError)(nil); errors.As(err, &ke) {
		return ke
	}
	return errors.New("its configuration cannot be read")
}
