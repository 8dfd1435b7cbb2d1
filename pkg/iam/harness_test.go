// SPDX-License-Identifier: Apache-2.0

package iam_test

import (
	"context"
	"errors"
	"net/http"
	"net/netip"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	v4 "github.com/aws/aws-sdk-go-v2/aws/signer/v4"
	"go.uber.org/goleak"

	"github.com/rdsproxy/rdsproxy/pkg/iam"
	"github.com/rdsproxy/rdsproxy/pkg/secret"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const (
	keyID     = "AKIDEXAMPLE0123456789"
	secretKey = "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY"
	session   = "IQoJb3JpZ2luX2VjE//+hidden=="
	region    = "eu-central-1"
	account   = "123456789012"
	emptySHA  = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"
)

var (
	endpoint = iam.Address{Host: "proxy.example.com", Port: 5432}
	resource = iam.Resource{Region: region, Account: account, ID: "prx-0123456789abcdef0"}
	begin    = time.Date(2026, 11, 23, 4, 30, 0, 0, time.UTC)
	client   = netip.MustParseAddr("192.0.2.7")
)

// keys is a KeySource of a map.
type keys map[string]iam.Key

func (k keys) Key(_ context.Context, id string) (iam.Key, error) {
	if key, ok := k[id]; ok {
		return key, nil
	}
	return iam.Key{}, iam.ErrUnknownKey
}

func policy(t testing.TB, text string) *iam.Policy {
	t.Helper()
	p, err := iam.ParsePolicy([]byte(text))
	if err != nil {
		t.Fatal(err)
	}
	return p
}

func allowing(t testing.TB, users ...string) *iam.Policy {
	t.Helper()
	list := []string{}
	for _, u := range users {
		list = append(list, `"arn:aws:rds-db:`+region+`:`+account+`:dbuser:prx-0123456789abcdef0/`+u+`"`)
	}
	return policy(t, `{"Version":"2012-10-17","Statement":{"Effect":"Allow","Action":"rds-db:connect","Resource":[`+strings.Join(list, ",")+`]}}`)
}

func plainKey(t testing.TB) iam.Key {
	return iam.Key{ID: keyID, Secret: secret.NewPassword(secretKey), Policy: allowing(t, "app", "other")}
}

// ownKeys is a verifier at a given time.
func ownKeys(t testing.TB, now time.Time, list ...iam.Key) *iam.OwnKeys {
	t.Helper()
	source := keys{}
	for _, k := range list {
		source[k.ID] = k
	}
	v, err := iam.NewOwnKeys(iam.OwnKeysOptions{Keys: source, Resource: resource, Now: func() time.Time { return now }})
	if err != nil {
		t.Fatal(err)
	}
	return v
}

func claim(user, token string) iam.Claim {
	return iam.Claim{
		User: user, Token: secret.NewPassword(token), Client: client, TLS: true,
		Endpoint: []iam.Address{endpoint, {Host: "proxy", Port: 5432}, {Host: "2001:db8::1", Port: 5432}},
	}
}

// recipe is a token for the tests to make, in all ways that are wrong.
type recipe struct {
	method, host, path, query    string
	key, secret, session, region string
	service                      string
	at                           time.Time
	header                       http.Header
	payload                      string
}

func good() recipe {
	return recipe{
		method: "GET", host: "proxy.example.com:5432", path: "/", query: "Action=connect&DBUser=app&X-Amz-Expires=900",
		key: keyID, secret: secretKey, region: region, service: "rds-db", at: begin, payload: emptySHA,
	}
}

// make signs with the SDK's signer and cuts off the scheme.
func (r recipe) make(t testing.TB) string {
	t.Helper()
	u, err := url.Parse("https://" + r.host + r.path)
	if err != nil {
		t.Fatal(err)
	}
	u.RawQuery = r.query
	req := &http.Request{Method: r.method, URL: u, Host: u.Host, Header: r.header}
	if req.Header == nil {
		req.Header = http.Header{}
	}
	c := aws.Credentials{AccessKeyID: r.key, SecretAccessKey: r.secret, SessionToken: r.session}
	text, _, err := v4.NewSigner().PresignHTTP(t.Context(), c, req, r.payload, r.service, r.region, r.at)
	if err != nil {
		t.Fatal(err)
	}
	return strings.TrimPrefix(text, "https://")
}

func goodToken(t testing.TB) string { return good().make(t) }

// set changes the value of a parameter of a finished token, whatever the signature then is. An empty value takes it out.
func set(t testing.TB, token, name, value string) string {
	t.Helper()
	head, query, _ := strings.Cut(token, "?")
	parts := strings.Split(query, "&")
	found := false
	kept := parts[:0]
	for _, p := range parts {
		n, _, _ := strings.Cut(p, "=")
		if n == name {
			found = true
			if value == "" {
				continue
			}
			p = n + "=" + value
		}
		kept = append(kept, p)
	}
	if !found {
		t.Fatalf("no parameter %s", name)
	}
	return head + "?" + strings.Join(kept, "&")
}

// refused checks that a token is refused for a reason, and that nothing secret shows.
func refused(t *testing.T, v iam.Verifier, c iam.Claim, want iam.Reason) {
	t.Helper()
	id, err := v.Verify(t.Context(), c)
	if err == nil {
		t.Fatalf("accepted as %+v", id)
	}
	if id != (iam.Identity{}) {
		t.Errorf("an error and %+v", id)
	}
	if got := iam.ReasonOf(err); got != want {
		t.Errorf("refused as %v, want %v: %v", got, want, err)
	}
	hides(t, err, c)
}

// hides checks that neither the log's text nor the client's shows anything of a token but names.
func hides(t *testing.T, err error, c iam.Claim) {
	t.Helper()
	r := (*iam.Rejection)(nil)
	if !errors.As(err, &r) {
		t.Fatalf("not a rejection: %v", err)
	}
	_, pg := r.Postgres(c.User)
	_, _, my := r.MySQL(c.User, "192.0.2.7")
	texts := []string{err.Error(), pg, my}
	secrets := []string{secretKey, session, "hidden"}
	if _, rest, ok := strings.Cut(c.Token.Reveal(), "X-Amz-Signature="); ok && len(rest) >= 16 {
		secrets = append(secrets, rest[:16])
	}
	for _, text := range texts {
		if len(text) > 1500 {
			t.Errorf("a text of %d bytes", len(text))
		}
		for _, s := range secrets {
			if strings.Contains(text, s) {
				t.Errorf("shows %q: %s", s, text)
			}
		}
	}
}
