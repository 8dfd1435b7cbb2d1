// SPDX-License-Identifier: Apache-2.0

package iam

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"

	"github.com/rdsproxy/rdsproxy/test/daemonproc"
	"github.com/rdsproxy/rdsproxy/test/pgserver"
)

// issuer is an OpenID Connect issuer on a loopback address.
type issuer struct {
	url string
	key *ecdsa.PrivateKey
}

func newIssuer(t testing.TB) *issuer {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	i := &issuer{key: key}
	mux := http.NewServeMux()
	reply := func(v func() any) http.HandlerFunc {
		return func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Type", "application/json")
			if err := json.NewEncoder(w).Encode(v()); err != nil {
				t.Error(err)
			}
		}
	}
	mux.Handle("/.well-known/openid-configuration", reply(func() any {
		return map[string]any{"issuer": i.url, "jwks_uri": i.url + "/keys", "id_token_signing_alg_values_supported": []string{"ES256"}}
	}))
	mux.Handle("/keys", reply(func() any {
		return jose.JSONWebKeySet{Keys: []jose.JSONWebKey{{Key: key.Public(), KeyID: "1", Algorithm: "ES256", Use: "sig"}}}
	}))
	h := httptest.NewServer(mux)
	t.Cleanup(h.Close)
	i.url = h.URL
	return i
}

// token is a service account's, with claims over the usual ones.
func (i *issuer) token(t testing.TB, claims map[string]any) string {
	t.Helper()
	now := time.Now()
	all := map[string]any{
		"iss": i.url, "aud": []string{"rdsproxy.example.com"}, "sub": "system:serviceaccount:shop:orders",
		"iat": now.Unix(), "nbf": now.Unix(), "exp": now.Add(15 * time.Minute).Unix(),
	}
	payload, err := json.Marshal(merged(all, claims))
	if err != nil {
		t.Fatal(err)
	}
	s, err := jose.NewSigner(jose.SigningKey{Algorithm: jose.ES256, Key: i.key}, (&jose.SignerOptions{}).WithType("JWT").WithHeader("kid", "1"))
	if err != nil {
		t.Fatal(err)
	}
	signed, err := s.Sign(payload)
	if err != nil {
		t.Fatal(err)
	}
	text, err := signed.CompactSerialize()
	if err != nil {
		t.Fatal(err)
	}
	return text
}

// TestWebIdentity: a service account's token logs in as the users that it is mapped to.
func TestWebIdentity(t *testing.T) {
	w, i := newWorld(t), newIssuer(t)
	pg := postgres(t, pgserver.Options{}, "app", "other")
	d := w.start(t, daemonproc.Options{
		Writer: pg.Addr(),
		Users:  []daemonproc.User{required("app", password("app")), required("other", password("other"))},
		Top: daemonproc.Map{"iam": daemonproc.Map{"web_identity": []any{daemonproc.Map{
			"issuer": i.url, "audience": "rdsproxy.example.com",
			"mappings": []any{daemonproc.Map{"match": "system:serviceaccount:shop:*", "users": []string{"app"}}},
		}}}},
	})
	s := &pgScene{w, d}
	for _, tt := range []struct {
		name, user string
		claims     map[string]any
		reason     string // empty: it is let in
	}{
		{"good", "app", nil, ""},
		{"another user", "other", nil, "policy_denies"},
		{"another account", "app", map[string]any{"sub": "system:serviceaccount:other:orders"}, "policy_denies"},
		{"another audience", "app", map[string]any{"aud": "elsewhere"}, "wrong_audience"},
		{"another issuer", "app", map[string]any{"iss": "https://elsewhere.example.com"}, "wrong_issuer"},
		{"expired", "app", map[string]any{"exp": time.Now().Add(-time.Hour).Unix()}, "expired"},
	} {
		token := i.token(t, tt.claims)
		w.hide(token[strings.LastIndexByte(token, '.'):])
		got, err := s.pgx(t, tt.user, token, s.verified())
		if tt.reason == "" {
			if err != nil || got != tt.user {
				t.Errorf("%s: %s, %v", tt.name, got, err)
			}
			continue
		}
		if err == nil || !strings.Contains(err.Error(), "IAM authentication failed for user "+tt.user) {
			t.Errorf("%s: %v", tt.name, err)
		}
		d.WaitLog(t, "iam_"+tt.reason)
	}
}
