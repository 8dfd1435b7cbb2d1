// SPDX-License-Identifier: Apache-2.0

package iam_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/aws/aws-sdk-go-v2/credentials"

	"github.com/rdsproxy/rdsproxy/pkg/iam"
	"github.com/rdsproxy/rdsproxy/pkg/rdstoken"
	"github.com/rdsproxy/rdsproxy/test/fakeaws"
)

const roleARN = "arn:aws:iam::123456789012:role/app-role"

var (
	mapping  = iam.Mapping{Match: roleARN, Users: []string{"app", "report_*"}}
	whoami   = fakeaws.Identity{Key: keyID, Secret: secretKey, ARN: "arn:aws:sts::123456789012:assumed-role/app-role/i-0123", Account: account, UserID: "AROA:i-0123"}
	serverID = "proxy.example.com:5432/app"
)

// fakeSTS is a verifier in front of a fake.
func fakeSTS(t testing.TB, now func() time.Time, mappings ...iam.Mapping) (*iam.STS, *fakeaws.Server) {
	t.Helper()
	if len(mappings) == 0 {
		mappings = []iam.Mapping{mapping}
	}
	s := &fakeaws.Server{Now: now}
	s.AddIdentity(whoami)
	v, err := iam.NewSTS(iam.STSOptions{Mappings: mappings, Transport: s.Transport(), Now: now})
	if err != nil {
		t.Fatal(err)
	}
	return v, s
}

func fixed() time.Time { return begin }

func goodSTS() recipe {
	return recipe{
		method: "GET", host: "sts.eu-central-1.amazonaws.com", path: "/", query: "Action=GetCallerIdentity&Version=2011-06-15&X-Amz-Expires=900",
		key: keyID, secret: secretKey, region: region, service: "sts", at: begin, payload: emptySHA,
		header: http.Header{iam.ServerIDHeader: {serverID}},
	}
}

// makeSTS signs, and puts the server's id behind the signature.
func (r recipe) makeSTS(t testing.TB) string {
	return r.make(t) + "&" + iam.ServerIDParameter + "=" + url.QueryEscape(serverID)
}

func TestSTS(t *testing.T) {
	v, s := fakeSTS(t, fixed)
	p := credentials.NewStaticCredentialsProvider(keyID, secretKey, "")
	for _, user := range []string{"app", "report_1", "report_ü %&/?=+"} {
		token, err := rdstoken.STS(t.Context(), p, endpoint, region, user, begin)
		if err != nil {
			t.Fatal(err)
		}
		if !v.Accepts(token.Reveal()) {
			t.Error("is not taken for a token")
		}
		id, err := v.Verify(t.Context(), claim(user, token.Reveal()))
		if err != nil {
			t.Fatal(err)
		}
		if id.Method != "sts" || id.Principal != roleARN || !id.Expires.Equal(begin.Add(15*time.Minute)) {
			t.Errorf("%+v", id)
		}
	}
	requests := s.Requests()
	if len(requests) != 3 {
		t.Fatalf("%d requests", len(requests))
	}
	r := requests[0]
	if r.Host != "sts.eu-central-1.amazonaws.com" || r.Service != "sts" || r.Action != "GetCallerIdentity" ||
		r.Header.Get(iam.ServerIDHeader) != serverID || r.Header.Get("Accept") != "application/json" ||
		strings.Contains(r.URI, "Server-Id=") || strings.Count(r.URI, "X-Amz-") != 6 {
		t.Errorf("%+v", r)
	}
	for name := range r.Header {
		switch name {
		case iam.ServerIDHeader, "Accept", "User-Agent", "Accept-Encoding":
		default:
			t.Errorf("header %s goes out", name)
		}
	}
}

// TestSTSHosts: which hosts are asked, and no others.
func TestSTSHosts(t *testing.T) {
	for host, tt := range map[string]struct {
		region string
		arn    string
		want   iam.Reason
	}{
		"sts.amazonaws.com":                   {"us-east-1", "", 0},
		"sts.us-east-1.amazonaws.com":         {"us-east-1", "", 0},
		"sts-fips.us-west-2.amazonaws.com":    {"us-west-2", "", 0},
		"sts.us-gov-west-1.amazonaws.com":     {"us-gov-west-1", "arn:aws-us-gov:iam::123456789012:user/app", 0},
		"sts.cn-north-1.amazonaws.com.cn":     {"cn-north-1", "arn:aws-cn:iam::123456789012:user/app", 0},
		"sts.cn-northwest-1.amazonaws.com.cn": {"cn-northwest-1", "arn:aws:iam::123456789012:user/app", iam.Unavailable},
		"sts.eu-west-1.amazonaws.com":         {"eu-west-1", "arn:aws-cn:iam::123456789012:user/app", iam.Unavailable},
		"sts.cn-north-1.amazonaws.com":        {"cn-north-1", "", iam.WrongHost},
		"sts.eu-west-1.amazonaws.com.cn":      {"eu-west-1", "", iam.WrongHost},
		"sts-fips.eu-west-1.amazonaws.com":    {"eu-west-1", "", iam.WrongHost},
		"sts.xx-fake-1.amazonaws.com":         {"xx-fake-1", "", iam.WrongHost},
		"sts.amazonaws.com:443":               {"us-east-1", "", iam.WrongHost},
		"sts.amazonaws.com:80":                {"us-east-1", "", iam.WrongHost},
		"STS.amazonaws.com":                   {"us-east-1", "", iam.WrongHost},
		"sts.amazonaws.com.":                  {"us-east-1", "", iam.WrongHost},
		"sts.amazonaws.com.evil.example":      {"us-east-1", "", iam.WrongHost},
		"evil.example":                        {"us-east-1", "", iam.WrongHost},
		"169.254.169.254":                     {"us-east-1", "", iam.WrongHost},
		"127.0.0.1:8080":                      {"us-east-1", "", iam.WrongHost},
		"[::1]":                               {"us-east-1", "", iam.WrongHost},
		"sts.eu-central-1.amazonaws.com":      {"us-east-1", "", iam.WrongRegion},
		"rds.us-east-1.amazonaws.com":         {"us-east-1", "", iam.WrongHost},
	} {
		t.Run(host, func(t *testing.T) {
			v, s := fakeSTS(t, fixed, mapping, iam.Mapping{Match: "arn:aws-us-gov:iam::123456789012:user/app", Users: []string{"app"}},
				iam.Mapping{Match: "arn:aws-cn:iam::123456789012:user/app", Users: []string{"app"}})
			if tt.arn != "" {
				who := whoami
				who.ARN = tt.arn
				s.AddIdentity(who)
			}
			r := goodSTS()
			r.host, r.region = host, tt.region
			c := claim("app", r.makeSTS(t))
			if tt.want == 0 {
				if _, err := v.Verify(t.Context(), c); err != nil {
					t.Error(err)
				}
				return
			}
			refused(t, v, c, tt.want)
			if n := len(s.Requests()); tt.want != iam.Unavailable && n != 0 {
				t.Errorf("%d requests", n)
			}
		})
	}
}

// TestBadSTSTokens: everything that is not exactly a token for this login is refused, and all that can be told here is told
// without asking AWS.
func TestBadSTSTokens(t *testing.T) {
	const base = "Action=GetCallerIdentity&Version=2011-06-15&X-Amz-Expires=900"
	signed := func(change func(*recipe)) string {
		r := goodSTS()
		change(&r)
		return r.makeSTS(t)
	}
	q := func(query string) string { return signed(func(r *recipe) { r.query = query }) }
	tok := goodSTS().makeSTS(t)
	id := "&" + iam.ServerIDParameter + "="
	bare, _, _ := strings.Cut(tok, id)
	for name, tt := range map[string]struct {
		token string
		want  iam.Reason
		asked int
	}{
		"nothing":                   {"", iam.Malformed, 0},
		"another action":            {q("Action=GetSessionToken&Version=2011-06-15&X-Amz-Expires=900"), iam.Malformed, 0},
		"AssumeRole":                {q("Action=AssumeRole&Version=2011-06-15&X-Amz-Expires=900"), iam.Malformed, 0},
		"action in lower case":      {q("Action=getcalleridentity&Version=2011-06-15&X-Amz-Expires=900"), iam.Malformed, 0},
		"action with a blank":       {q("Action=GetCallerIdentity%20&Version=2011-06-15&X-Amz-Expires=900"), iam.Malformed, 0},
		"two actions":               {q(base + "&Action=AssumeRole"), iam.Malformed, 0},
		"two actions, other case":   {q(base + "&action=AssumeRole"), iam.Malformed, 0},
		"no action":                 {q("Version=2011-06-15&X-Amz-Expires=900"), iam.Malformed, 0},
		"another version":           {q("Action=GetCallerIdentity&Version=2010-05-08&X-Amz-Expires=900"), iam.Malformed, 0},
		"no version":                {q("Action=GetCallerIdentity&X-Amz-Expires=900"), iam.Malformed, 0},
		"version in other case":     {q("Action=GetCallerIdentity&version=2011-06-15&X-Amz-Expires=900"), iam.Malformed, 0},
		"another parameter":         {q(base + "&RoleArn=x"), iam.Malformed, 0},
		"a format":                  {q(base + "&Format=XML"), iam.Malformed, 0},
		"a database user":           {q(base + "&DBUser=app"), iam.Malformed, 0},
		"expiry of 901":             {q("Action=GetCallerIdentity&Version=2011-06-15&X-Amz-Expires=901"), iam.Malformed, 0},
		"expiry of 0":               {q("Action=GetCallerIdentity&Version=2011-06-15&X-Amz-Expires=0"), iam.Malformed, 0},
		"no expiry":                 {q("Action=GetCallerIdentity&Version=2011-06-15"), iam.Malformed, 0},
		"expired":                   {signed(func(r *recipe) { r.at = begin.Add(-15 * time.Minute) }), iam.Expired, 0},
		"in the future":             {signed(func(r *recipe) { r.at = begin.Add(6 * time.Minute) }), iam.NotYetValid, 0},
		"a path":                    {signed(func(r *recipe) { r.path = "/x" }), iam.Malformed, 0},
		"another service":           {signed(func(r *recipe) { r.service = "rds-db" }), iam.Malformed, 0},
		"service iam":               {signed(func(r *recipe) { r.service = "iam" }), iam.Malformed, 0},
		"no header":                 {signed(func(r *recipe) { r.header = nil }), iam.Malformed, 0},
		"another header":            {signed(func(r *recipe) { r.header = http.Header{"X-K8s-Aws-Id": {serverID}} }), iam.Malformed, 0},
		"a header more":             {signed(func(r *recipe) { r.header.Set("X-Other", "1") }), iam.Malformed, 0},
		"a content type":            {signed(func(r *recipe) { r.header.Set("Content-Type", "application/json") }), iam.Malformed, 0},
		"method POST":               {signed(func(r *recipe) { r.method = "POST" }), iam.BadSignature, 1},
		"another payload":           {signed(func(r *recipe) { r.payload = strings.Repeat("0", 64) }), iam.BadSignature, 1},
		"another secret":            {signed(func(r *recipe) { r.secret = "hidden" }), iam.BadSignature, 1},
		"an unknown key":            {signed(func(r *recipe) { r.key = "AKIDEXAMPLE9999999999" }), iam.UnknownKey, 1},
		"a session token too many":  {signed(func(r *recipe) { r.session = session }), iam.UnknownKey, 1},
		"signed for another proxy":  {signed(func(r *recipe) { r.header.Set(iam.ServerIDHeader, "other.example.com:5432/app") }), iam.BadSignature, 1},
		"signed for another user":   {signed(func(r *recipe) { r.header.Set(iam.ServerIDHeader, "proxy.example.com:5432/other") }), iam.BadSignature, 1},
		"signed for nobody":         {signed(func(r *recipe) { r.header.Set(iam.ServerIDHeader, "") }), iam.BadSignature, 1},
		"no id":                     {bare, iam.Malformed, 0},
		"an empty id":               {bare + id, iam.Malformed, 0},
		"an id of another proxy":    {bare + id + "other.example.com%3A5432%2Fapp", iam.WrongHost, 0},
		"an id of another port":     {bare + id + "proxy.example.com%3A3306%2Fapp", iam.WrongHost, 0},
		"an id in upper case":       {bare + id + "PROXY.example.com%3A5432%2Fapp", iam.WrongHost, 0},
		"an id of another user":     {bare + id + "proxy.example.com%3A5432%2Fother", iam.WrongUser, 0},
		"an id with more":           {bare + id + "proxy.example.com%3A5432%2Fapp%2F", iam.WrongUser, 0},
		"an id with a newline":      {bare + id + "proxy.example.com%3A5432%2Fapp%0D%0AX-Evil%3A1", iam.WrongUser, 0},
		"an id without user":        {bare + id + "proxy.example.com%3A5432", iam.WrongUser, 0},
		"two ids":                   {tok + id + "proxy.example.com%3A5432%2Fapp", iam.Malformed, 0},
		"two ids, other case":       {tok + strings.ToLower(id) + "x", iam.Malformed, 0},
		"a scheme":                  {"https://" + tok, iam.Malformed, 0},
		"a user before":             {"sts.amazonaws.com@" + tok, iam.Malformed, 0},
		"a prefix of another tool":  {"k8s-aws-v1." + tok, iam.WrongHost, 0},
		"a fragment":                {tok + "#", iam.Malformed, 0},
		"a host in a fragment":      {strings.Replace(tok, "/?", "#@evil.example/?", 1), iam.Malformed, 0},
		"a backslash":               {strings.Replace(tok, "/?", "\\@evil.example/?", 1), iam.Malformed, 0},
		"a newline":                 {strings.Replace(tok, "/?", "\r\nHost:%20evil/?", 1), iam.Malformed, 0},
		"algorithm":                 {set(t, tok, "X-Amz-Algorithm", "AWS4-HMAC-SHA512"), iam.Malformed, 0},
		"no algorithm":              {set(t, tok, "X-Amz-Algorithm", ""), iam.Malformed, 0},
		"no credential":             {set(t, tok, "X-Amz-Credential", ""), iam.Malformed, 0},
		"credential of another day": {set(t, tok, "X-Amz-Credential", keyID+"%2F20261122%2Feu-central-1%2Fsts%2Faws4_request"), iam.Malformed, 0},
		"no date":                   {set(t, tok, "X-Amz-Date", ""), iam.Malformed, 0},
		"another date":              {set(t, tok, "X-Amz-Date", "20261123T043001Z"), iam.BadSignature, 1},
		"headers host only":         {set(t, tok, "X-Amz-SignedHeaders", "host"), iam.Malformed, 0},
		"headers without host":      {set(t, tok, "X-Amz-SignedHeaders", "x-rdsproxy-server-id"), iam.Malformed, 0},
		"headers in another order":  {set(t, tok, "X-Amz-SignedHeaders", "x-rdsproxy-server-id%3Bhost"), iam.Malformed, 0},
		"headers twice":             {set(t, tok, "X-Amz-SignedHeaders", "host%3Bhost%3Bx-rdsproxy-server-id"), iam.Malformed, 0},
		"no signature":              {set(t, tok, "X-Amz-Signature", ""), iam.Malformed, 0},
		"another signature":         {set(t, tok, "X-Amz-Signature", strings.Repeat("0", 64)), iam.BadSignature, 1},
		"too long":                  {tok + "&X-Amz-Security-Token=" + strings.Repeat("A", iam.MaxToken), iam.Malformed, 0},
		"a token for RDS":           {goodToken(t), iam.Malformed, 0},
	} {
		t.Run(name, func(t *testing.T) {
			v, s := fakeSTS(t, fixed)
			refused(t, v, claim("app", tt.token), tt.want)
			if n := len(s.Requests()); n != tt.asked {
				t.Errorf("%d requests, want %d", n, tt.asked)
			}
		})
	}
}

// reply makes a fake answer everything alike.
func reply(status int, kind, body string) func(http.ResponseWriter, *http.Request) bool {
	return func(w http.ResponseWriter, _ *http.Request) bool {
		w.Header().Set("Content-Type", kind)
		w.Header().Set("Location", "https://evil.example/")
		w.WriteHeader(status)
		// A client that has left misses nothing.
		_, _ = io.WriteString(w, body)
		return true
	}
}

// TestSTSAnswers: nothing but the answer that AWS gives is taken for one.
func TestSTSAnswers(t *testing.T) {
	good := func(account, arn string) string {
		return fmt.Sprintf(`{"GetCallerIdentityResponse":{"GetCallerIdentityResult":{"Account":%q,"Arn":%q,"UserId":"x"},"ResponseMetadata":{}}}`, account, arn)
	}
	const js = "application/json"
	for name, tt := range map[string]struct {
		status int
		kind   string
		body   string
		want   iam.Reason
	}{
		"good":                     {200, js, good(account, whoami.ARN), 0},
		"good, with a charset":     {200, js + "; charset=utf-8", good(account, whoami.ARN), 0},
		"XML":                      {200, "text/xml", "<GetCallerIdentityResponse><GetCallerIdentityResult><Arn>" + roleARN + "</Arn></GetCallerIdentityResult></GetCallerIdentityResponse>", iam.Unavailable},
		"JSON called XML":          {200, "text/xml", good(account, whoami.ARN), iam.Unavailable},
		"no type":                  {200, "", good(account, whoami.ARN), iam.Unavailable},
		"empty":                    {200, js, "", iam.Unavailable},
		"something behind":         {200, js, good(account, whoami.ARN) + "{}", iam.Unavailable},
		"two answers":              {200, js, `{"GetCallerIdentityResponse":{},"GetCallerIdentityResponse":{}}`, iam.Unavailable},
		"other case":               {200, js, strings.ToLower(good(account, whoami.ARN)), iam.Unavailable},
		"in a text":                {200, js, fmt.Sprintf(`{"GetCallerIdentityResponse":%q}`, good(account, whoami.ARN)), iam.Unavailable},
		"not at its place":         {200, js, fmt.Sprintf(`{"GetCallerIdentityResult":{"Account":%q,"Arn":%q}}`, account, whoami.ARN), iam.Unavailable},
		"ARN of another account":   {200, js, good("999999999999", whoami.ARN), iam.Unavailable},
		"no account":               {200, js, good("", whoami.ARN), iam.Unavailable},
		"no ARN":                   {200, js, good(account, ""), iam.Unavailable},
		"ARN of a bucket":          {200, js, good(account, "arn:aws:s3:::x"), iam.Unavailable},
		"ARN of another partition": {200, js, good(account, "arn:aws-cn:sts::123456789012:assumed-role/app-role/x"), iam.Unavailable},
		"a session with a slash":   {200, js, good(account, "arn:aws:sts::123456789012:assumed-role/x/app-role/y"), iam.Unavailable},
		"a role as such":           {200, js, good(account, "arn:aws:iam::123456789012:role/app-role"), iam.Unavailable},
		"another role":             {200, js, good(account, "arn:aws:sts::123456789012:assumed-role/other/app-role"), iam.Denied},
		"a session called so":      {200, js, good(account, "arn:aws:sts::123456789012:assumed-role/other/role-app-role"), iam.Denied},
		"a user called so":         {200, js, good(account, "arn:aws:iam::123456789012:user/app-role"), iam.Denied},
		"another account's role":   {200, js, good("999999999999", "arn:aws:sts::999999999999:assumed-role/app-role/x"), iam.Denied},
		"root":                     {200, js, good(account, "arn:aws:iam::123456789012:root"), iam.Denied},
		"a large one":              {200, js, strings.Repeat(" ", 17<<10) + good(account, whoami.ARN), iam.Unavailable},
		"a redirect":               {302, js, good(account, whoami.ARN), iam.Unavailable},
		"a redirect that keeps":    {307, js, good(account, whoami.ARN), iam.Unavailable},
		"status 201":               {201, js, good(account, whoami.ARN), iam.Unavailable},
		"status 403":               {403, js, good(account, whoami.ARN), iam.BadSignature},
		"status 400, throttled":    {400, js, `{"Error":{"Code":"Throttling"}}`, iam.Unavailable},
		"status 400, a limit":      {400, js, `{"Error":{"Code":"RequestLimitExceeded"}}`, iam.Unavailable},
		"status 403, expired":      {403, js, `{"Error":{"Code":"ExpiredTokenException","Message":"hidden"}}`, iam.Expired},
		"status 403, a long code":  {403, js, `{"Error":{"Code":"` + strings.Repeat("hidden", 100) + `"}}`, iam.BadSignature},
		"status 403, no code":      {403, js, `{"Error":{"Code":"hidden=1"}}`, iam.BadSignature},
		"status 403, XML":          {403, "text/xml", `<Code>hidden</Code>`, iam.BadSignature},
		"status 429":               {429, js, "", iam.Unavailable},
		"status 500":               {500, js, good(account, whoami.ARN), iam.Unavailable},
		"status 503":               {503, "", "", iam.Unavailable},
	} {
		t.Run(name, func(t *testing.T) {
			v, s := fakeSTS(t, fixed)
			s.SetFault(reply(tt.status, tt.kind, tt.body))
			c := claim("app", goodSTS().makeSTS(t))
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

// TestSTSCache: a token is asked for once until it ends, a refusal is kept briefly, and silence not at all.
func TestSTSCache(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		v, s := fakeSTS(t, time.Now)
		r := goodSTS()
		r.at = time.Now()
		c := claim("app", r.makeSTS(t))
		verify := func(c iam.Claim, want iam.Reason, requests int) {
			t.Helper()
			_, err := v.Verify(t.Context(), c)
			if iam.ReasonOf(err) != want {
				t.Errorf("%v, want %v", err, want)
			}
			if n := len(s.Requests()); n != requests {
				t.Errorf("%d requests, want %d", n, requests)
			}
		}
		s.SetFault(fakeaws.Down)
		verify(c, iam.Unavailable, 0)
		s.SetFault(nil)
		verify(c, 0, 1)
		s.SetFault(fakeaws.Down)
		for range 14 {
			time.Sleep(time.Minute) //nolint:forbidigo // virtual time
			verify(c, 0, 1)
		}
		time.Sleep(time.Minute) //nolint:forbidigo // virtual time
		verify(c, iam.Expired, 1)
		s.SetFault(nil)

		r.at, r.secret = time.Now(), "another"
		bad := claim("app", r.makeSTS(t))
		verify(bad, iam.BadSignature, 2)
		time.Sleep(9 * time.Second) //nolint:forbidigo // virtual time
		verify(bad, iam.BadSignature, 2)
		time.Sleep(time.Second) //nolint:forbidigo // virtual time
		verify(bad, iam.BadSignature, 3)
	})
}

// TestSTSCachedTokenIsBound: what was answered for one login does not serve another.
func TestSTSCachedTokenIsBound(t *testing.T) {
	v, _ := fakeSTS(t, fixed, iam.Mapping{Match: roleARN, Users: []string{"*"}})
	c := claim("app", goodSTS().makeSTS(t))
	if _, err := v.Verify(t.Context(), c); err != nil {
		t.Fatal(err)
	}
	c.User = "other"
	refused(t, v, c, iam.WrongUser)
	c.User, c.Endpoint = "app", []iam.Address{{Host: "other.example.com", Port: 5432}}
	refused(t, v, c, iam.WrongHost)
}

// stuck is an STS that does not answer.
type stuck struct{ calls chan struct{} }

func (s stuck) RoundTrip(req *http.Request) (*http.Response, error) {
	s.calls <- struct{}{}
	<-req.Context().Done()
	return nil, req.Context().Err()
}

// TestSTSStuck: logins with one token share one question, and end after its time limit at the latest.
func TestSTSStuck(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		calls := make(chan struct{}, 100)
		v, err := iam.NewSTS(iam.STSOptions{Mappings: []iam.Mapping{mapping}, Transport: stuck{calls}})
		if err != nil {
			t.Fatal(err)
		}
		r := goodSTS()
		r.at = time.Now()
		c := claim("app", r.makeSTS(t))
		start := time.Now()
		var wg sync.WaitGroup
		for i := range 20 {
			wg.Go(func() {
				ctx, stop := context.WithTimeout(t.Context(), time.Duration(i+1)*time.Second)
				defer stop()
				_, err := v.Verify(ctx, c)
				if iam.ReasonOf(err) != iam.Unavailable || !errors.Is(err, context.DeadlineExceeded) {
					t.Error(err)
				}
				hides(t, err, c)
			})
		}
		wg.Wait()
		if d := time.Since(start); d != 10*time.Second || len(calls) != 1 {
			t.Errorf("%v, %d questions", d, len(calls))
		}
		synctest.Wait()
	})
}

func TestSTSOptions(t *testing.T) {
	for name, o := range map[string]iam.STSOptions{
		"no mappings":         {},
		"no users":            {Mappings: []iam.Mapping{{Match: roleARN}}},
		"an empty user":       {Mappings: []iam.Mapping{{Match: roleARN, Users: []string{""}}}},
		"a star in a user":    {Mappings: []iam.Mapping{{Match: roleARN, Users: []string{"a*b"}}}},
		"not an ARN":          {Mappings: []iam.Mapping{{Match: "app-role", Users: []string{"a"}}}},
		"everything":          {Mappings: []iam.Mapping{{Match: "*", Users: []string{"a"}}}},
		"any account":         {Mappings: []iam.Mapping{{Match: "arn:aws:iam::*:role/app", Users: []string{"a"}}}},
		"any partition":       {Mappings: []iam.Mapping{{Match: "arn:aws*:iam::123456789012:role/app", Users: []string{"a"}}}},
		"a mark in account":   {Mappings: []iam.Mapping{{Match: "arn:aws:iam::12345678901?:role/app", Users: []string{"a"}}}},
		"a short account":     {Mappings: []iam.Mapping{{Match: "arn:aws:iam::1:role/app", Users: []string{"a"}}}},
		"a session of a role": {Mappings: []iam.Mapping{{Match: "arn:aws:sts::123456789012:assumed-role/app/x", Users: []string{"a"}}}},
		"a role with a path":  {Mappings: []iam.Mapping{{Match: "arn:aws:iam::123456789012:role/path/app", Users: []string{"a"}}}},
		"a bad region":        {Mappings: []iam.Mapping{mapping}, Regions: []string{"evil.example/"}},
	} {
		if _, err := iam.NewSTS(o); err == nil {
			t.Errorf("%s: accepted", name)
		}
	}
	if _, err := iam.NewSTS(iam.STSOptions{Mappings: []iam.Mapping{{Match: "arn:aws:iam::123456789012:role/app-*", Users: []string{"*"}}}}); err != nil {
		t.Error(err)
	}
}

func FuzzSTS(f *testing.F) {
	tok := goodSTS().makeSTS(f)
	f.Add(tok)
	for i := 0; i < len(tok); i += 9 {
		f.Add(tok[:i])
	}
	f.Add(strings.Replace(tok, "sts.", "sts-fips.", 1))
	hosts := map[string]bool{}
	for _, r := range iam.DefaultRegions() {
		hosts["sts."+r+".amazonaws.com"], hosts["sts."+r+".amazonaws.com.cn"], hosts["sts-fips."+r+".amazonaws.com"] = true, true, true
	}
	hosts["sts.amazonaws.com"] = true
	f.Fuzz(func(t *testing.T, token string) {
		// Whatever is sent goes to a host of AWS, asks for the identity, and says what it is for.
		check := round(func(req *http.Request) (*http.Response, error) {
			q := req.URL.Query()
			if !hosts[req.URL.Host] || req.URL.Scheme != "https" || req.URL.Path != "/" || req.Method != "GET" || req.URL.Fragment != "" || req.URL.User != nil ||
				len(q["Action"]) != 1 || q.Get("Action") != "GetCallerIdentity" || req.Header.Get(iam.ServerIDHeader) != serverID || req.Host != req.URL.Host {
				t.Errorf("goes out: %s %v", req.URL, req.Header)
			}
			return nil, errors.New("offline")
		})
		v, err := iam.NewSTS(iam.STSOptions{Mappings: []iam.Mapping{mapping}, Transport: check, Now: fixed})
		if err != nil {
			t.Fatal(err)
		}
		if _, err = v.Verify(t.Context(), claim("app", token)); err == nil {
			t.Errorf("accepted %q", token)
		}
		hides(t, err, claim("app", token))
	})
}

type round func(*http.Request) (*http.Response, error)

func (r round) RoundTrip(req *http.Request) (*http.Response, error) { return r(req) }
