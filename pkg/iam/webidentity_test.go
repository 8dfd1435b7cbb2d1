// SPDX-License-Identifier: Apache-2.0

package iam_test

import (
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"errors"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/go-jose/go-jose/v4"

	"github.com/rdsproxy/rdsproxy/pkg/iam"
)

func TestWebIdentity(t *testing.T) {
	for alg := range signers() {
		t.Run(string(alg), func(t *testing.T) {
			i := newIssuer()
			v := webIdentity(t, i)
			token := jwt(t, alg, payload(t, claims(nil)))
			if !v.Accepts(token) {
				t.Error("is not taken for a token")
			}
			for range 3 {
				id, err := v.Verify(t.Context(), claim("app", token))
				if err != nil {
					t.Fatal(err)
				}
				if id.Method != "web-identity" || id.Principal != subject || !id.Expires.Equal(begin.Add(time.Hour)) {
					t.Errorf("%+v", id)
				}
			}
			if n := i.count(); n != 2 {
				t.Errorf("the issuer was asked %d times", n)
			}
		})
	}
}

// TestWebIdentityClaims: which claim counts, and for whom.
func TestWebIdentityClaims(t *testing.T) {
	for name, tt := range map[string]struct {
		claim string
		match string
		user  string
		value map[string]any
		want  iam.Reason
	}{
		"subject":                    {"", subject, "app", nil, 0},
		"another user":               {"", subject, "other", nil, iam.Denied},
		"user in upper case":         {"", subject, "APP", nil, iam.Denied},
		"a star":                     {"", "system:serviceaccount:shop:*", "app", nil, 0},
		"a star elsewhere":           {"", "system:serviceaccount:*:orders", "app", nil, 0},
		"a mark":                     {"", "system:serviceaccount:shop:order?", "app", nil, 0},
		"another subject":            {"", "system:serviceaccount:shop:order", "app", nil, iam.Denied},
		"a path":                     {"kubernetes.io.namespace", "shop", "app", nil, 0},
		"a longer path":              {"kubernetes.io.serviceaccount.name", "orders", "app", nil, 0},
		"a path to an object":        {"kubernetes.io.serviceaccount", "orders", "app", nil, iam.Denied},
		"a path to nothing":          {"kubernetes.io.x", "shop", "app", nil, iam.Denied},
		"a name with dots first":     {"kubernetes.io.namespace", "flat", "app", map[string]any{"kubernetes.io.namespace": "flat"}, 0},
		"a list":                     {"groups", "b", "app", map[string]any{"groups": []string{"a", "b"}}, 0},
		"a list without it":          {"groups", "c", "app", map[string]any{"groups": []string{"a", "b"}}, iam.Denied},
		"an empty list":              {"groups", "*", "app", map[string]any{"groups": []string{}}, iam.Denied},
		"a list of other things":     {"groups", "*", "app", map[string]any{"groups": []any{"a", 1}}, iam.Denied},
		"an empty text":              {"groups", "*", "app", map[string]any{"groups": ""}, iam.Denied},
		"a number":                   {"groups", "*", "app", map[string]any{"groups": 1}, iam.Denied},
		"true":                       {"groups", "*", "app", map[string]any{"groups": true}, iam.Denied},
		"missing":                    {"groups", "*", "app", nil, iam.Denied},
		"a long text":                {"groups", "*", "app", map[string]any{"groups": strings.Repeat("x", 1025)}, iam.Denied},
		"claims in another case":     {"Groups", "a", "app", map[string]any{"groups": "a"}, iam.Denied},
		"a claim that is called sub": {"x.sub", subject, "app", map[string]any{"x": map[string]any{"sub": subject}}, 0},
	} {
		t.Run(name, func(t *testing.T) {
			v := webIdentity(t, newIssuer(), func(o *iam.WebIdentityOptions) {
				o.Claim, o.Mappings = tt.claim, []iam.Mapping{{Match: tt.match, Users: []string{"app"}}}
			})
			c := claim(tt.user, jwt(t, jose.RS256, payload(t, claims(tt.value))))
			if tt.want == 0 {
				if _, err := v.Verify(t.Context(), c); err != nil {
					t.Error(err)
				}
				return
			}
			refused(t, v, c, tt.want)
		})
	}
}

// TestBadJWTs: everything that is not a token of the issuer for this proxy, and now, is refused.
func TestBadJWTs(t *testing.T) {
	key := signers()[jose.RS256]
	other, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	public, err := x509.MarshalPKIXPublicKey(key.Public())
	if err != nil {
		t.Fatal(err)
	}
	with := func(name string, value any) string {
		return jwt(t, jose.RS256, payload(t, claims(map[string]any{name: value})))
	}
	tok := jwt(t, jose.RS256, payload(t, claims(nil)))
	parts := strings.Split(tok, ".")
	byOther := func(header map[jose.HeaderKey]any) string {
		return signed(t, jose.SigningKey{Algorithm: jose.RS256, Key: other}, header, payload(t, claims(nil)))
	}
	extra := func(name string, value any) string {
		return signed(t, jose.SigningKey{Algorithm: jose.RS256, Key: key}, map[jose.HeaderKey]any{jose.HeaderKey(name): value}, payload(t, claims(nil)))
	}
	for name, tt := range map[string]struct {
		token string
		want  iam.Reason
	}{
		"nothing":                       {"", iam.Malformed},
		"dots":                          {"..", iam.Malformed},
		"two parts":                     {parts[0] + "." + parts[1], iam.Malformed},
		"four parts":                    {tok + ".x", iam.Malformed},
		"five parts, encrypted":         {tok + ".x.y", iam.Malformed},
		"no header":                     {"." + parts[1] + "." + parts[2], iam.Malformed},
		"no payload":                    {parts[0] + ".." + parts[2], iam.Malformed},
		"no signature":                  {parts[0] + "." + parts[1] + ".", iam.Malformed},
		"a space behind":                {tok + " ", iam.Malformed},
		"a newline behind":              {tok + "\n", iam.Malformed},
		"a newline within":              {tok[:30] + "\n" + tok[30:], iam.Malformed},
		"padding":                       {tok + "=", iam.Malformed},
		"base64 of the other kind":      {parts[0] + "." + parts[1] + "." + "+/" + parts[2][2:], iam.Malformed},
		"loose bits at the end":         {loose(tok), iam.Malformed},
		"JSON serialization":            {`{"payload":"` + parts[1] + `","signatures":[]}`, iam.Malformed},
		"too long":                      {with("x", strings.Repeat("x", iam.MaxToken)), iam.Malformed},
		"alg none":                      {b64(`{"alg":"none"}`) + "." + parts[1] + ".AA", iam.Malformed},
		"alg None":                      {withHeader(t, `{"alg":"None"}`), iam.Malformed},
		"alg HS256 with the public key": {signed(t, jose.SigningKey{Algorithm: jose.HS256, Key: public}, nil, payload(t, claims(nil))), iam.Malformed},
		"alg in lower case":             {withHeader(t, `{"alg":"rs256"}`), iam.Malformed},
		"alg twice":                     {withHeader(t, `{"alg":"RS256","alg":"none"}`), iam.Malformed},
		"alg twice, other case":         {withHeader(t, `{"alg":"RS256","ALG":"none"}`), iam.Malformed},
		"alg in other case only":        {withHeader(t, `{"ALG":"RS256"}`), iam.Malformed},
		"alg missing":                   {withHeader(t, `{"typ":"JWT"}`), iam.Malformed},
		"alg is a list":                 {withHeader(t, `{"alg":["RS256"]}`), iam.Malformed},
		"alg of another key":            {withHeader(t, `{"alg":"ES256","kid":"key-RS256"}`), iam.BadSignature},
		"header is no object":           {withHeader(t, `[]`), iam.Malformed},
		"header is no JSON":             {withHeader(t, `{"alg":"RS256"`), iam.Malformed},
		"header with a key":             {extra("jwk", map[string]string{"kty": "RSA"}), iam.Malformed},
		"header with a key's URL":       {extra("jku", "https://evil.example/keys"), iam.Malformed},
		"header with certificates":      {extra("x5c", []string{"x"}), iam.Malformed},
		"header with their URL":         {extra("x5u", "https://evil.example/c"), iam.Malformed},
		"header with crit":              {withHeader(t, `{"alg":"RS256","crit":["exp"]}`), iam.Malformed},
		"header with b64":               {withHeader(t, `{"alg":"RS256","b64":false}`), iam.Malformed},
		"header with zip":               {withHeader(t, `{"alg":"RS256","zip":"DEF"}`), iam.Malformed},
		"kid is a number":               {withHeader(t, `{"alg":"RS256","kid":1}`), iam.Malformed},
		"kid is empty":                  {withHeader(t, `{"alg":"RS256","kid":""}`), iam.Malformed},
		"type JWE":                      {withHeader(t, `{"alg":"RS256","typ":"JWE"}`), iam.Malformed},
		"type is a number":              {withHeader(t, `{"alg":"RS256","typ":1}`), iam.Malformed},
		"another key's signature":       {byOther(map[jose.HeaderKey]any{"kid": "key-RS256"}), iam.BadSignature},
		"an unknown key":                {byOther(map[jose.HeaderKey]any{"kid": "unknown"}), iam.BadSignature},
		"a key without id":              {byOther(nil), iam.BadSignature},
		"payload of another token":      {parts[0] + "." + strings.Split(with("sub", "x"), ".")[1] + "." + parts[2], iam.BadSignature},
		"a signature of zeros":          {parts[0] + "." + parts[1] + "." + strings.Repeat("A", len(parts[2])), iam.BadSignature},
		"issuer missing":                {with("iss", nil), iam.WrongIssuer},
		"another issuer":                {with("iss", "https://issuer.example.com/other"), iam.WrongIssuer},
		"issuer with a slash":           {with("iss", issuerURL+"/"), iam.WrongIssuer},
		"issuer in upper case":          {with("iss", strings.ToUpper(issuerURL)), iam.WrongIssuer},
		"issuer without scheme":         {with("iss", strings.TrimPrefix(issuerURL, "https://")), iam.WrongIssuer},
		"issuer twice, other case":      {jwt(t, jose.RS256, doubled(t, `"ISS":"x"`)), iam.Malformed},
		"audience missing":              {with("aud", nil), iam.WrongAudience},
		"another audience":              {with("aud", "other"), iam.WrongAudience},
		"other audiences":               {with("aud", []string{"a", "b"}), iam.WrongAudience},
		"no audiences":                  {with("aud", []string{}), iam.WrongAudience},
		"audience that begins so":       {with("aud", audience+".evil.example"), iam.WrongAudience},
		"audience in upper case":        {with("aud", strings.ToUpper(audience)), iam.WrongAudience},
		"audience is an object":         {with("aud", map[string]any{audience: 1}), iam.Malformed},
		"audience with a number":        {with("aud", []any{audience, 1}), iam.Malformed},
		"end missing":                   {with("exp", nil), iam.Malformed},
		"end is a text":                 {with("exp", "2000000000"), iam.Malformed},
		"end below zero":                {with("exp", -1), iam.Malformed},
		"end far away":                  {with("exp", 1e30), iam.Malformed},
		"end is null":                   {jwt(t, jose.RS256, []byte(strings.Replace(string(payload(t, claims(map[string]any{"exp": nil}))), "{", `{"exp":null,`, 1))), iam.Malformed},
		"ended":                         {with("exp", begin.Unix()), iam.Expired},
		"ended long ago":                {with("exp", 0), iam.Expired},
		"begins later":                  {with("nbf", begin.Add(5*time.Minute+time.Second).Unix()), iam.NotYetValid},
		"made later":                    {with("iat", begin.Add(5*time.Minute+time.Second).Unix()), iam.NotYetValid},
		"nbf is a text":                 {with("nbf", "x"), iam.Malformed},
		"subject missing":               {with("sub", nil), iam.Denied},
		"another subject":               {with("sub", "system:serviceaccount:shop:other"), iam.Denied},
		"subject is a number":           {with("sub", 1), iam.Malformed},
		"subject twice":                 {jwt(t, jose.RS256, doubled(t, `"sub":"x"`)), iam.Malformed},
		"subject twice, other case":     {jwt(t, jose.RS256, doubled(t, `"Sub":"x"`)), iam.Malformed},
		"payload is no JSON":            {jwt(t, jose.RS256, []byte("hidden")), iam.BadSignature},
		"payload is a list":             {jwt(t, jose.RS256, []byte("[]")), iam.Malformed},
		"payload with more behind":      {jwt(t, jose.RS256, append(payload(t, claims(nil)), '{', '}')), iam.Malformed},
		"a token for RDS":               {goodToken(t), iam.Malformed},
	} {
		t.Run(name, func(t *testing.T) {
			want := tt.want
			if name == "payload is no JSON" {
				want = iam.Malformed
			}
			refused(t, webIdentity(t, newIssuer()), claim("app", tt.token), want)
		})
	}
}

// loose changes bits of the last letter that no byte comes from.
func loose(token string) string {
	const letters = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
	at := strings.IndexByte(letters, token[len(token)-1])
	return token[:len(token)-1] + string(letters[at^1])
}

// TestWebIdentityTimes: the ends of a token's life.
func TestWebIdentityTimes(t *testing.T) {
	for name, tt := range map[string]struct {
		now  time.Time
		want iam.Reason
	}{
		"as early as can be": {begin.Add(-5 * time.Minute), 0},
		"too early":          {begin.Add(-5*time.Minute - 1), iam.NotYetValid},
		"the last moment":    {begin.Add(time.Hour - 1), 0},
		"too late":           {begin.Add(time.Hour), iam.Expired},
	} {
		t.Run(name, func(t *testing.T) {
			v := webIdentity(t, newIssuer(), func(o *iam.WebIdentityOptions) { o.Now = func() time.Time { return tt.now } })
			_, err := v.Verify(t.Context(), claim("app", jwt(t, jose.ES256, payload(t, claims(nil)))))
			if iam.ReasonOf(err) != tt.want {
				t.Error(err)
			}
		})
	}
}

// TestIssuerFails: what an issuer does wrong is told, shows nothing of its answer, and heals.
func TestIssuerFails(t *testing.T) {
	token := jwt(t, jose.ES256, payload(t, claims(nil)))
	for name, answer := range map[string]func(*http.Request) *http.Response{
		"status 500": func(*http.Request) *http.Response { return plainReply(500, "text/plain", "hidden") },
		"a redirect": func(*http.Request) *http.Response { return plainReply(302, "text/plain", "hidden") },
		"not JSON":   func(*http.Request) *http.Response { return plainReply(200, "application/json", "hidden") },
		"empty":      func(*http.Request) *http.Response { return plainReply(200, "application/json", "") },
		"endless": func(*http.Request) *http.Response {
			return plainReply(200, "application/json", strings.Repeat(" hidden", 1<<18))
		},
		"another name": func(*http.Request) *http.Response {
			return jsonReply(map[string]string{"issuer": "https://evil.example", "jwks_uri": issuerURL + "/keys"})
		},
		"keys nowhere": func(*http.Request) *http.Response { return jsonReply(map[string]string{"issuer": issuerURL}) },
		"keys without TLS": func(*http.Request) *http.Response {
			return jsonReply(map[string]string{"issuer": issuerURL, "jwks_uri": "http://evil.example/keys"})
		},
		"keys in a file": func(*http.Request) *http.Response {
			return jsonReply(map[string]string{"issuer": issuerURL, "jwks_uri": "file:///etc/passwd"})
		},
	} {
		t.Run(name, func(t *testing.T) {
			i := newIssuer()
			i.answer = answer
			v := webIdentity(t, i)
			refused(t, v, claim("app", token), iam.Unavailable)
			if n := i.count(); n != 1 {
				t.Errorf("%d requests", n)
			}
			i.answer = nil
			if _, err := v.Verify(t.Context(), claim("app", token)); err != nil {
				t.Error(err)
			}
		})
	}
}

// TestKeysRotate: a new key is fetched when a token names it, but strangers cannot make the proxy ask without end.
func TestKeysRotate(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		i := newIssuer()
		all := i.keys
		i.keys = nil
		start := time.Now()
		v := webIdentity(t, i, func(o *iam.WebIdentityOptions) { o.Now = func() time.Time { return begin.Add(time.Since(start)) } })
		c := claim("app", jwt(t, jose.ES256, payload(t, claims(nil))))
		for range 100 {
			if _, err := v.Verify(t.Context(), c); err == nil {
				t.Fatal("accepted")
			}
		}
		if n := i.count(); n != 4 {
			t.Errorf("%d requests", n)
		}
		i.mu.Lock()
		i.keys = all
		i.mu.Unlock()
		refused(t, v, c, iam.Unavailable)
		time.Sleep(5 * time.Second) //nolint:forbidigo // virtual time
		if _, err := v.Verify(t.Context(), c); err != nil {
			t.Error(err)
		}
		// What is known goes on while the issuer is down.
		i.mu.Lock()
		i.answer = func(*http.Request) *http.Response { return plainReply(500, "", "") }
		i.mu.Unlock()
		time.Sleep(10 * time.Minute) //nolint:forbidigo // virtual time
		if _, err := v.Verify(t.Context(), c); err != nil {
			t.Error(err)
		}
	})
}

// TestIssuerBearer: the token for the issuer goes along, and an issuer whose token cannot be read is not asked.
func TestIssuerBearer(t *testing.T) {
	i := newIssuer()
	var problem error
	v := webIdentity(t, i, func(o *iam.WebIdentityOptions) {
		o.Bearer = func() (string, error) { return "hidden", problem }
	})
	c := claim("app", jwt(t, jose.ES256, payload(t, claims(nil))))
	problem = errors.New("hidden")
	refused(t, v, c, iam.Unavailable)
	if n := i.count(); n != 0 {
		t.Errorf("%d requests", n)
	}
	problem = nil
	if _, err := v.Verify(t.Context(), c); err != nil {
		t.Fatal(err)
	}
	for _, r := range i.requests {
		if r.Header.Get("Authorization") != "Bearer hidden" {
			t.Errorf("%s: %v", r.URL, r.Header)
		}
	}
}

// TestSeveralIssuers: a token goes to its own issuer, and no other is asked for keys.
func TestSeveralIssuers(t *testing.T) {
	first, second := newIssuer(), newIssuer()
	g := iam.NewGate(iam.GateOptions{FailureTime: time.Nanosecond, Verifiers: []iam.Verifier{
		webIdentity(t, first, func(o *iam.WebIdentityOptions) { o.Issuer = "https://other.example.com" }),
		webIdentity(t, second),
	}})
	if _, err := g.Verify(t.Context(), claim("app", jwt(t, jose.ES256, payload(t, claims(nil))))); err != nil {
		t.Error(err)
	}
	_, err := g.Verify(t.Context(), claim("app", jwt(t, jose.ES256, payload(t, claims(map[string]any{"iss": "https://evil.example.com"})))))
	if iam.ReasonOf(err) != iam.WrongIssuer {
		t.Error(err)
	}
	if first.count() != 0 || second.count() != 2 {
		t.Errorf("asked %d and %d times", first.count(), second.count())
	}
}

func TestKeysURL(t *testing.T) {
	i := newIssuer()
	v := webIdentity(t, i, func(o *iam.WebIdentityOptions) { o.KeysURL = issuerURL + "/keys" })
	if _, err := v.Verify(t.Context(), claim("app", jwt(t, jose.ES256, payload(t, claims(nil))))); err != nil {
		t.Fatal(err)
	}
	if n := i.count(); n != 1 {
		t.Errorf("%d requests", n)
	}
}

func TestWebIdentityOptions(t *testing.T) {
	good := iam.WebIdentityOptions{Issuer: issuerURL, Audience: audience, Mappings: []iam.Mapping{{Match: "*", Users: []string{"a"}}}}
	for name, change := range map[string]func(*iam.WebIdentityOptions){
		"no issuer":          func(o *iam.WebIdentityOptions) { o.Issuer = "" },
		"issuer without TLS": func(o *iam.WebIdentityOptions) { o.Issuer = "http://issuer.example.com" },
		"issuer with a user": func(o *iam.WebIdentityOptions) { o.Issuer = "https://a:b@issuer.example.com" },
		"issuer with query":  func(o *iam.WebIdentityOptions) { o.Issuer = issuerURL + "?x" },
		"a file":             func(o *iam.WebIdentityOptions) { o.Issuer = "file:///x" },
		"keys without TLS":   func(o *iam.WebIdentityOptions) { o.KeysURL = "http://issuer.example.com/keys" },
		"no audience":        func(o *iam.WebIdentityOptions) { o.Audience = "" },
		"no mappings":        func(o *iam.WebIdentityOptions) { o.Mappings = nil },
		"an empty mapping":   func(o *iam.WebIdentityOptions) { o.Mappings = []iam.Mapping{{Users: []string{"a"}}} },
		"no users":           func(o *iam.WebIdentityOptions) { o.Mappings = []iam.Mapping{{Match: "a"}} },
		"HS256":              func(o *iam.WebIdentityOptions) { o.Algorithms = []string{"RS256", "HS256"} },
		"none":               func(o *iam.WebIdentityOptions) { o.Algorithms = []string{"none"} },
	} {
		o := good
		change(&o)
		if _, err := iam.NewWebIdentity(o); err == nil {
			t.Errorf("%s: accepted", name)
		}
	}
	for _, issuer := range []string{issuerURL, "http://127.0.0.1:8080", "http://localhost/x", "http://[::1]:1"} {
		o := good
		o.Issuer = issuer
		if _, err := iam.NewWebIdentity(o); err != nil {
			t.Errorf("%s: %v", issuer, err)
		}
	}
	v := webIdentity(t, newIssuer(), func(o *iam.WebIdentityOptions) { o.Algorithms = []string{"ES256"} })
	refused(t, v, claim("app", jwt(t, jose.RS256, payload(t, claims(nil)))), iam.Malformed)
}

func FuzzWebIdentity(f *testing.F) {
	i := newIssuer()
	tok := jwt(f, jose.EdDSA, payload(f, claims(nil)))
	f.Add(tok)
	f.Add(withHeader(f, `{"alg":"EdDSA","kid":"x","crit":["x"]}`))
	f.Add(b64(`{"alg":"none"}`) + "." + b64(`{}`) + ".")
	for at := 0; at < len(tok); at += 9 {
		f.Add(tok[:at])
	}
	v := webIdentity(f, i)
	f.Fuzz(func(t *testing.T, token string) {
		if _, err := v.Verify(t.Context(), claim("app", token)); err == nil {
			if token != tok {
				t.Errorf("accepted %q", token)
			}
		} else if iam.ReasonOf(err) == 0 {
			t.Errorf("%v", err)
		}
	})
}
