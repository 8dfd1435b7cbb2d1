// SPDX-License-Identifier: Apache-2.0

package iam_test

import (
	"bytes"
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"encoding/base64"
	"encoding/json"
	"io"
	"maps"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"

	"github.com/rdsproxy/rdsproxy/pkg/iam"
)

const (
	issuerURL = "https://issuer.example.com/cluster"
	audience  = "rdsproxy.example.com"
	subject   = "system:serviceaccount:shop:orders"
)

// issuer is an OpenID Connect issuer without a socket.
type issuer struct {
	mu       sync.Mutex
	keys     []jose.JSONWebKey
	requests []*http.Request
	answer   func(*http.Request) *http.Response // nil is the true answer
	name     string                             // by which it calls itself; issuerURL if empty
}

// signers are made once: RSA keys take time.
var signers = sync.OnceValue(func() map[jose.SignatureAlgorithm]crypto.Signer {
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		panic(err)
	}
	ec, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		panic(err)
	}
	_, ed, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		panic(err)
	}
	return map[jose.SignatureAlgorithm]crypto.Signer{jose.RS256: key, jose.PS256: key, jose.ES256: ec, jose.EdDSA: ed}
})

func newIssuer() *issuer {
	i := &issuer{}
	for alg, s := range signers() {
		i.keys = append(i.keys, jose.JSONWebKey{Key: s.Public(), KeyID: "key-" + string(alg), Algorithm: string(alg), Use: "sig"})
	}
	return i
}

// RoundTrip implements http.RoundTripper.
func (i *issuer) RoundTrip(req *http.Request) (*http.Response, error) {
	i.mu.Lock()
	defer i.mu.Unlock()
	i.requests = append(i.requests, req)
	if i.answer != nil {
		return i.answer(req), nil
	}
	switch req.URL.String() {
	case issuerURL + "/.well-known/openid-configuration":
		name := i.name
		if name == "" {
			name = issuerURL
		}
		return jsonReply(map[string]any{"issuer": name, "jwks_uri": issuerURL + "/keys", "id_token_signing_alg_values_supported": []string{"none", "HS256", "RS256"}}), nil
	case issuerURL + "/keys":
		return jsonReply(jose.JSONWebKeySet{Keys: i.keys}), nil
	}
	return plainReply(404, "text/plain", "hidden"), nil
}

func jsonReply(v any) *http.Response {
	text, err := json.Marshal(v)
	if err != nil {
		panic(err)
	}
	return plainReply(200, "application/json", string(text))
}

func plainReply(status int, kind, body string) *http.Response {
	return &http.Response{
		StatusCode: status, Status: http.StatusText(status), Header: http.Header{"Content-Type": {kind}, "Location": {"https://evil.example/"}},
		Body: io.NopCloser(strings.NewReader(body)),
	}
}

func (i *issuer) count() int {
	i.mu.Lock()
	defer i.mu.Unlock()
	return len(i.requests)
}

func webIdentity(t testing.TB, i http.RoundTripper, change ...func(*iam.WebIdentityOptions)) *iam.WebIdentity {
	t.Helper()
	o := iam.WebIdentityOptions{
		Issuer: issuerURL, Audience: audience, Transport: i, Now: fixed,
		Mappings: []iam.Mapping{{Match: subject, Users: []string{"app"}}, {Match: "system:serviceaccount:reports:*", Users: []string{"report_*"}}},
	}
	for _, c := range change {
		c(&o)
	}
	v, err := iam.NewWebIdentity(o)
	if err != nil {
		t.Fatal(err)
	}
	return v
}

// claims of a good token; nil values take a claim out.
func claims(change map[string]any) map[string]any {
	c := map[string]any{
		"iss": issuerURL, "sub": subject, "aud": []string{"other", audience},
		"exp": begin.Add(time.Hour).Unix(), "nbf": begin.Unix(), "iat": begin.Unix(),
		"kubernetes.io": map[string]any{"namespace": "shop", "serviceaccount": map[string]any{"name": "orders"}},
	}
	maps.Copy(c, change)
	maps.DeleteFunc(c, func(_ string, v any) bool { return v == nil })
	return c
}

// payload encodes claims.
func payload(t testing.TB, c map[string]any) []byte {
	t.Helper()
	text, err := json.Marshal(c)
	if err != nil {
		t.Fatal(err)
	}
	return text
}

// jwt signs a payload with the issuer's key.
func jwt(t testing.TB, alg jose.SignatureAlgorithm, payload []byte) string {
	t.Helper()
	return signed(t, jose.SigningKey{Algorithm: alg, Key: signers()[alg]}, map[jose.HeaderKey]any{"kid": "key-" + string(alg), "typ": "JWT"}, payload)
}

func signed(t testing.TB, key jose.SigningKey, header map[jose.HeaderKey]any, payload []byte) string {
	t.Helper()
	s, err := jose.NewSigner(key, &jose.SignerOptions{ExtraHeaders: header})
	if err != nil {
		t.Fatal(err)
	}
	object, err := s.Sign(payload)
	if err != nil {
		t.Fatal(err)
	}
	text, err := object.CompactSerialize()
	if err != nil {
		t.Fatal(err)
	}
	return text
}

func b64(text string) string { return base64.RawURLEncoding.EncodeToString([]byte(text)) }

// withHeader is a token with another header, whose signature then does not fit.
func withHeader(t testing.TB, header string) string {
	_, rest, _ := strings.Cut(jwt(t, jose.RS256, payload(t, claims(nil))), ".")
	return b64(header) + "." + rest
}

// doubled is a payload with one more member in front of the others.
func doubled(t testing.TB, member string) []byte {
	return append([]byte("{"+member+","), bytes.TrimPrefix(payload(t, claims(nil)), []byte("{"))...)
}
