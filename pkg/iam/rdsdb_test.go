// SPDX-License-Identifier: Apache-2.0

package iam_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/feature/rds/auth"

	"github.com/rdsproxy/rdsproxy/pkg/iam"
	"github.com/rdsproxy/rdsproxy/pkg/secret"
)

// TestSDKToken: what the SDK's own BuildAuthToken makes logs in, for all kinds of names.
func TestSDKToken(t *testing.T) {
	long := session + strings.Repeat("A/b+", 400) + "=="
	for _, tt := range []struct {
		at      iam.Address
		user    string
		session string
	}{
		{endpoint, "app", ""},
		{endpoint, "app", session},
		{endpoint, "app", long},
		{iam.Address{Host: "proxy.example.com", Port: 443}, "app", ""},
		{iam.Address{Host: "proxy.example.com", Port: 80}, "app", ""},
		{iam.Address{Host: "2001:db8::1", Port: 5432}, "app", ""},
		{iam.Address{Host: "2001:db8::1", Port: 443}, "app", ""},
		{iam.Address{Host: "127.0.0.1", Port: 6432}, "app", ""},
		{endpoint, "Ünïcode 用户", ""},
		{endpoint, "with space+plus/slash&amp=eq%41?#:@", session},
		{endpoint, "a'b\"c\\d;e,f~g*h(i)!", ""},
		{endpoint, strings.Repeat("u", 63), ""},
	} {
		t.Run(fmt.Sprintf("%s %s %d", tt.at, tt.user, len(tt.session)), func(t *testing.T) {
			token, err := auth.BuildAuthToken(t.Context(), tt.at.String(), region, tt.user,
				credentials.NewStaticCredentialsProvider(keyID, secretKey, tt.session))
			if err != nil {
				t.Fatal(err)
			}
			k := plainKey(t)
			k.Policy = policy(t, `{"Statement":{"Effect":"Allow","Action":"*","Resource":"*"}}`)
			k.SessionToken = secret.NewPassword(tt.session)
			c := claim(tt.user, token)
			c.Endpoint = []iam.Address{{Host: "elsewhere", Port: 1}, tt.at}
			v := ownKeys(t, time.Now(), k)
			if !v.Accepts(token) {
				t.Error("is not taken for a token")
			}
			id, err := v.Verify(t.Context(), c)
			if err != nil {
				t.Fatal(err)
			}
			if id.Method != "rds-db" || id.Principal != keyID || time.Until(id.Expires) < 14*time.Minute {
				t.Errorf("%+v", id)
			}
		})
	}
}

// TestOtherSigners: forms in which the tools of other languages write the same token.
func TestOtherSigners(t *testing.T) {
	v := ownKeys(t, begin, plainKey(t))
	r := good()
	upper := r
	upper.host = "Proxy.Example.COM:5432"
	for name, token := range map[string]string{
		"with a slash":              r.make(t),
		"without a slash":           strings.Replace(r.make(t), "/?", "?", 1),
		"other letter case":         upper.make(t),
		"Python: lower case signs":  strings.Replace(r.make(t), "proxy.example.com", "Proxy.example.com", 1),
		"hexadecimal in lower case": strings.ReplaceAll(r.make(t), "%2F", "%2f"),
		"other order":               reordered(r.make(t)),
		"shorter life":              recipe{method: "GET", host: r.host, path: "/", query: "Action=connect&DBUser=app&X-Amz-Expires=1", key: keyID, secret: secretKey, region: region, service: "rds-db", at: begin, payload: emptySHA}.make(t),
	} {
		if _, err := v.Verify(t.Context(), claim("app", token)); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// reordered puts the first parameter last, which signatures do not see.
func reordered(token string) string {
	head, query, _ := strings.Cut(token, "?")
	first, rest, _ := strings.Cut(query, "&")
	return head + "?" + rest + "&" + first
}

// altered is a recipe with one change.
func altered(t *testing.T, change func(*recipe)) string {
	t.Helper()
	r := good()
	change(&r)
	return r.make(t)
}

func query(q string) func(*recipe) { return func(r *recipe) { r.query = q } }

// TestBadTokens: everything that is not exactly a token for this login is refused. Tokens of the first kind were signed as they
// are, so nothing but the rule that is tested refuses them; those of the second kind were changed afterwards.
func TestBadTokens(t *testing.T) {
	const base = "Action=connect&DBUser=app&X-Amz-Expires=900"
	tok := goodToken(t)
	authority, rest, _ := strings.Cut(tok, "/?")
	signed := map[string]struct {
		change func(*recipe)
		want   iam.Reason
	}{
		"method POST":              {func(r *recipe) { r.method = "POST" }, iam.BadSignature},
		"method HEAD":              {func(r *recipe) { r.method = "HEAD" }, iam.BadSignature},
		"another host":             {func(r *recipe) { r.host = "other.example.com:5432" }, iam.WrongHost},
		"a host below":             {func(r *recipe) { r.host = "x.proxy.example.com:5432" }, iam.WrongHost},
		"a host that begins so":    {func(r *recipe) { r.host = "proxy.example.com.evil.example:5432" }, iam.WrongHost},
		"a host with a last dot":   {func(r *recipe) { r.host = "proxy.example.com.:5432" }, iam.WrongHost},
		"another port":             {func(r *recipe) { r.host = "proxy.example.com:3306" }, iam.WrongHost},
		"a port with a zero":       {func(r *recipe) { r.host = "proxy.example.com:05432" }, iam.WrongHost},
		"no port":                  {func(r *recipe) { r.host = "proxy.example.com" }, iam.WrongHost},
		"a path":                   {func(r *recipe) { r.path = "/x" }, iam.Malformed},
		"two slashes":              {func(r *recipe) { r.path = "//" }, iam.Malformed},
		"another service":          {func(r *recipe) { r.service = "rds" }, iam.Malformed},
		"service sts":              {func(r *recipe) { r.service = "sts" }, iam.Malformed},
		"service in upper case":    {func(r *recipe) { r.service = "RDS-DB" }, iam.Malformed},
		"another region":           {func(r *recipe) { r.region = "us-east-1" }, iam.WrongRegion},
		"region in upper case":     {func(r *recipe) { r.region = "EU-CENTRAL-1" }, iam.Malformed},
		"region with a dot":        {func(r *recipe) { r.region = "eu-central-1.evil" }, iam.Malformed},
		"no region":                {func(r *recipe) { r.region = "" }, iam.Malformed},
		"another user":             {query("Action=connect&DBUser=other&X-Amz-Expires=900"), iam.WrongUser},
		"user in upper case":       {query("Action=connect&DBUser=APP&X-Amz-Expires=900"), iam.WrongUser},
		"user with a blank":        {query("Action=connect&DBUser=app%20&X-Amz-Expires=900"), iam.WrongUser},
		"user with a NUL":          {query("Action=connect&DBUser=app%00&X-Amz-Expires=900"), iam.Malformed},
		"user that is not UTF-8":   {query("Action=connect&DBUser=app%FF&X-Amz-Expires=900"), iam.Malformed},
		"no user":                  {query("Action=connect&X-Amz-Expires=900"), iam.Malformed},
		"empty user":               {query("Action=connect&DBUser=&X-Amz-Expires=900"), iam.Malformed},
		"another action":           {query("Action=Connect&DBUser=app&X-Amz-Expires=900"), iam.Malformed},
		"no action":                {query("DBUser=app&X-Amz-Expires=900"), iam.Malformed},
		"another parameter":        {query(base + "&Extra=1"), iam.Malformed},
		"a version":                {query(base + "&Version=2014-10-31"), iam.Malformed},
		"two users":                {query(base + "&DBUser=other"), iam.Malformed},
		"two users, other case":    {query(base + "&dbuser=other"), iam.Malformed},
		"two actions, other case":  {query(base + "&action=connect"), iam.Malformed},
		"two expiries, other case": {query(base + "&x-amz-expires=900"), iam.Malformed},
		"a date in other case":     {query(base + "&x-amz-date=20261123T043000Z"), iam.Malformed},
		"user in other case only":  {query("Action=connect&dbuser=app&X-Amz-Expires=900"), iam.Malformed},
		"expiry of 901":            {query("Action=connect&DBUser=app&X-Amz-Expires=901"), iam.Malformed},
		"expiry of a week":         {query("Action=connect&DBUser=app&X-Amz-Expires=604800"), iam.Malformed},
		"expiry of 0":              {query("Action=connect&DBUser=app&X-Amz-Expires=0"), iam.Malformed},
		"expiry below 0":           {query("Action=connect&DBUser=app&X-Amz-Expires=-1"), iam.Malformed},
		"expiry with a zero":       {query("Action=connect&DBUser=app&X-Amz-Expires=0900"), iam.Malformed},
		"expiry with a sign":       {query("Action=connect&DBUser=app&X-Amz-Expires=%2B900"), iam.Malformed},
		"expiry with a fraction":   {query("Action=connect&DBUser=app&X-Amz-Expires=9e2"), iam.Malformed},
		"expiry that overflows":    {query("Action=connect&DBUser=app&X-Amz-Expires=18446744073709552516"), iam.Malformed},
		"no expiry":                {query("Action=connect&DBUser=app"), iam.Malformed},
		"expired":                  {func(r *recipe) { r.at = begin.Add(-15 * time.Minute) }, iam.Expired},
		"long expired":             {func(r *recipe) { r.at = begin.AddDate(-1, 0, 0) }, iam.Expired},
		"a short one, expired":     {func(r *recipe) { r.at, r.query = begin.Add(-time.Minute), "Action=connect&DBUser=app&X-Amz-Expires=60" }, iam.Expired},
		"in the future":            {func(r *recipe) { r.at = begin.Add(5*time.Minute + time.Second) }, iam.NotYetValid},
		"next year":                {func(r *recipe) { r.at = begin.AddDate(1, 0, 0) }, iam.NotYetValid},
		"an unknown key":           {func(r *recipe) { r.key = "AKIDEXAMPLE9999999999" }, iam.UnknownKey},
		"a key in lower case":      {func(r *recipe) { r.key = strings.ToLower(keyID) }, iam.UnknownKey},
		"a short key":              {func(r *recipe) { r.key = "AKID" }, iam.Malformed},
		"a key with a slash":       {func(r *recipe) { r.key = "AKIDEXAMPLE/0123456789" }, iam.Malformed},
		"another secret":           {func(r *recipe) { r.secret = "x" + secretKey }, iam.BadSignature},
		"no secret":                {func(r *recipe) { r.secret = " " }, iam.BadSignature},
		"a session token too many": {func(r *recipe) { r.session = session }, iam.BadSession},
		"another signed header":    {func(r *recipe) { r.header = http.Header{"X-Other": {"1"}} }, iam.Malformed},
		"signed content type":      {func(r *recipe) { r.header = http.Header{"Content-Type": {"text/plain"}} }, iam.Malformed},
		"a hoisted header":         {func(r *recipe) { r.header = http.Header{"X-Amz-Target": {"x"}} }, iam.Malformed},
		"another payload":          {func(r *recipe) { r.payload = "UNSIGNED-PAYLOAD" }, iam.BadSignature},
		"an STS token":             {query("Action=GetCallerIdentity&Version=2011-06-15&X-Amz-Expires=900"), iam.Malformed},
	}
	changed := map[string]struct {
		token string
		want  iam.Reason
	}{
		"nothing":                       {"", iam.Malformed},
		"a password":                    {"hidden correct horse", iam.Malformed},
		"a password with a question":    {"hidden?correct=horse", iam.Malformed},
		"a scheme":                      {"https://" + tok, iam.Malformed},
		"plain http":                    {"http://" + tok, iam.Malformed},
		"a user in the authority":       {"app@" + tok, iam.Malformed},
		"a user and another host":       {"proxy.example.com:5432@evil.example/?" + rest, iam.Malformed},
		"an encoded host":               {strings.Replace(tok, "proxy", "%70roxy", 1), iam.Malformed},
		"no host":                       {"/?" + rest, iam.Malformed},
		"the query alone":               {"?" + rest, iam.Malformed},
		"no query":                      {authority, iam.Malformed},
		"an empty query":                {authority + "?", iam.Malformed},
		"a fragment":                    {tok + "#x", iam.Malformed},
		"a fragment before the query":   {strings.Replace(tok, "/?", "/#?", 1), iam.Malformed},
		"a second query":                {tok + "?x=1", iam.Malformed},
		"a blank behind":                {tok + " ", iam.Malformed},
		"a newline behind":              {tok + "\n", iam.Malformed},
		"a NUL behind":                  {tok + "\x00", iam.Malformed},
		"a blank before":                {" " + tok, iam.Malformed},
		"an ampersand behind":           {tok + "&", iam.Malformed},
		"two ampersands":                {strings.Replace(tok, "&", "&&", 1), iam.Malformed},
		"a semicolon between":           {strings.Replace(tok, "&DBUser", ";DBUser", 1), iam.Malformed},
		"a parameter without value":     {tok + "&X", iam.Malformed},
		"an encoded name":               {strings.Replace(tok, "X-Amz-Date", "X%2DAmz-Date", 1), iam.Malformed},
		"name in lower case":            {strings.Replace(tok, "X-Amz-Date", "x-amz-date", 1), iam.Malformed},
		"a plus sign":                   {set(t, tok, "DBUser", "a+p"), iam.Malformed},
		"a slash that is not encoded":   {strings.ReplaceAll(tok, "%2F", "/"), iam.Malformed},
		"half an escape":                {set(t, tok, "DBUser", "app%"), iam.Malformed},
		"a bad escape":                  {set(t, tok, "DBUser", "app%zz"), iam.Malformed},
		"escaped twice":                 {set(t, tok, "DBUser", "%2561pp"), iam.WrongUser},
		"no algorithm":                  {set(t, tok, "X-Amz-Algorithm", ""), iam.Malformed},
		"algorithm with SHA-1":          {set(t, tok, "X-Amz-Algorithm", "AWS4-HMAC-SHA1"), iam.Malformed},
		"algorithm of SigV4A":           {set(t, tok, "X-Amz-Algorithm", "AWS4-ECDSA-P256-SHA256"), iam.Malformed},
		"algorithm none":                {set(t, tok, "X-Amz-Algorithm", "none"), iam.Malformed},
		"algorithm in lower case":       {set(t, tok, "X-Amz-Algorithm", "aws4-hmac-sha256"), iam.Malformed},
		"no credential":                 {set(t, tok, "X-Amz-Credential", ""), iam.Malformed},
		"credential with four parts":    {set(t, tok, "X-Amz-Credential", keyID+"%2F20261123%2Feu-central-1%2Frds-db"), iam.Malformed},
		"credential with six parts":     {set(t, tok, "X-Amz-Credential", keyID+"%2F20261123%2Feu-central-1%2Frds-db%2Faws4_request%2F"), iam.Malformed},
		"credential with another end":   {set(t, tok, "X-Amz-Credential", keyID+"%2F20261123%2Feu-central-1%2Frds-db%2Faws5_request"), iam.Malformed},
		"credential of another day":     {set(t, tok, "X-Amz-Credential", keyID+"%2F20261122%2Feu-central-1%2Frds-db%2Faws4_request"), iam.Malformed},
		"no date":                       {set(t, tok, "X-Amz-Date", ""), iam.Malformed},
		"a later date":                  {set(t, tok, "X-Amz-Date", "20261123T043001Z"), iam.BadSignature},
		"a date without zone":           {set(t, tok, "X-Amz-Date", "20261123T043000"), iam.Malformed},
		"a date of RFC 3339":            {set(t, tok, "X-Amz-Date", "2026-11-23T04%3A30%3A00Z"), iam.Malformed},
		"a date that is none":           {set(t, tok, "X-Amz-Date", "20261323T043000Z"), iam.Malformed},
		"a date with a fraction":        {set(t, tok, "X-Amz-Date", "20261123T043000.5Z"), iam.Malformed},
		"a shorter expiry":              {set(t, tok, "X-Amz-Expires", "899"), iam.BadSignature},
		"no signed headers":             {set(t, tok, "X-Amz-SignedHeaders", ""), iam.Malformed},
		"two signed headers":            {set(t, tok, "X-Amz-SignedHeaders", "host%3Bx-other"), iam.Malformed},
		"a signed header in upper case": {set(t, tok, "X-Amz-SignedHeaders", "Host"), iam.Malformed},
		"a semicolon in signed headers": {set(t, tok, "X-Amz-SignedHeaders", "host%3B"), iam.Malformed},
		"no signature":                  {set(t, tok, "X-Amz-Signature", ""), iam.Malformed},
		"a signature of zeros":          {set(t, tok, "X-Amz-Signature", strings.Repeat("0", 64)), iam.BadSignature},
		"a short signature":             {tok[:len(tok)-1], iam.Malformed},
		"a long signature":              {tok + "00", iam.Malformed},
		"a signature that is not hex":   {tok[:len(tok)-1] + "g", iam.Malformed},
		"a signature in upper case":     {set(t, tok, "X-Amz-Signature", strings.Repeat("A", 64)), iam.Malformed},
		"two signatures":                {tok + "&X-Amz-Signature=" + strings.Repeat("0", 64), iam.Malformed},
		"two signatures, other case":    {tok + "&x-amz-signature=" + strings.Repeat("0", 64), iam.Malformed},
		"a session token put on":        {tok + "&X-Amz-Security-Token=hidden", iam.BadSignature},
		"an empty session token":        {tok + "&X-Amz-Security-Token=", iam.Malformed},
		"the user changed":              {set(t, tok, "DBUser", "other"), iam.WrongUser},
		"the token twice":               {tok + tok, iam.Malformed},
		"a token of 8193 bytes":         {tok + "&X-Amz-Security-Token=" + strings.Repeat("A", iam.MaxToken+1-len(tok)-len("&X-Amz-Security-Token=")), iam.Malformed},
		"many parameters":               {tok + strings.Repeat("&a=b", 100), iam.Malformed},
		"a megabyte":                    {strings.Repeat("A", 1<<20), iam.Malformed},
		"a JWT":                         {"eyJhbGciOiJub25lIn0.e30.hidden", iam.Malformed},
	}
	v := ownKeys(t, begin, plainKey(t))
	if _, err := v.Verify(t.Context(), claim("app", tok)); err != nil {
		t.Fatalf("the good one: %v", err)
	}
	for name, tt := range signed {
		t.Run("signed/"+name, func(t *testing.T) { refused(t, v, claim("app", altered(t, tt.change)), tt.want) })
	}
	for name, tt := range changed {
		t.Run("changed/"+name, func(t *testing.T) { refused(t, v, claim("app", tt.token), tt.want) })
	}
	if n := len(signed) + len(changed); n < 60 {
		t.Errorf("only %d bad tokens", n)
	}
}

// TestEveryByteCounts: a token with any one bit changed is refused, but where a letter case means nothing.
func TestEveryByteCounts(t *testing.T) {
	v := ownKeys(t, begin, plainKey(t))
	tok := goodToken(t)
	for i := range len(tok) {
		for bit := range 8 {
			b := []byte(tok)
			b[i] ^= 1 << bit
			if bit == 5 && (i < strings.Index(tok, "/") || i > 0 && tok[i-1] == '%' || i > 1 && tok[i-2] == '%') {
				continue
			}
			if _, err := v.Verify(t.Context(), claim("app", string(b))); err == nil {
				t.Errorf("accepted with byte %d as %q: %s", i, b[i], b)
			}
		}
	}
}

// TestReplay: a token logs in until it ends, and not a moment longer; nor anywhere else.
func TestReplay(t *testing.T) {
	tok := goodToken(t)
	for _, tt := range []struct {
		after time.Duration
		want  iam.Reason
	}{
		{-5*time.Minute - time.Second, iam.NotYetValid},
		{-5 * time.Minute, 0},
		{0, 0},
		{time.Minute, 0},
		{15*time.Minute - 1, 0},
		{15 * time.Minute, iam.Expired},
		{24 * time.Hour, iam.Expired},
	} {
		_, err := ownKeys(t, begin.Add(tt.after), plainKey(t)).Verify(t.Context(), claim("app", tok))
		if iam.ReasonOf(err) != tt.want {
			t.Errorf("after %v: %v", tt.after, err)
		}
	}
	c := claim("app", tok)
	c.Endpoint = []iam.Address{{Host: "another-proxy.example.com", Port: 5432}}
	refused(t, ownKeys(t, begin, plainKey(t)), c, iam.WrongHost)
	c.Endpoint = nil
	refused(t, ownKeys(t, begin, plainKey(t)), c, iam.WrongHost)
}

// TestKeys: what a key has to be for its tokens to count.
func TestKeys(t *testing.T) {
	withSession := altered(t, func(r *recipe) { r.session = session })
	otherSession := altered(t, func(r *recipe) { r.session = "x" + session })
	for name, tt := range map[string]struct {
		token  string
		change func(*iam.Key)
		want   iam.Reason
	}{
		"temporary":                {withSession, func(k *iam.Key) { k.SessionToken = secret.NewPassword(session) }, 0},
		"temporary, none comes":    {goodToken(t), func(k *iam.Key) { k.SessionToken = secret.NewPassword(session) }, iam.BadSession},
		"temporary, another":       {otherSession, func(k *iam.Key) { k.SessionToken = secret.NewPassword(session) }, iam.BadSession},
		"not ended yet":            {goodToken(t), func(k *iam.Key) { k.Expires = begin.Add(time.Nanosecond) }, 0},
		"ended":                    {goodToken(t), func(k *iam.Key) { k.Expires = begin }, iam.Expired},
		"without policy":           {goodToken(t), func(k *iam.Key) { k.Policy = nil }, iam.Denied},
		"with an empty policy":     {goodToken(t), func(k *iam.Key) { k.Policy = &iam.Policy{} }, iam.Denied},
		"for another user":         {goodToken(t), func(k *iam.Key) { k.Policy = allowing(t, "other") }, iam.Denied},
		"for all users":            {goodToken(t), func(k *iam.Key) { k.Policy = allowing(t, "*") }, 0},
		"without secret":           {goodToken(t), func(k *iam.Key) { k.Secret = secret.Password{} }, iam.UnknownKey},
		"with another secret":      {goodToken(t), func(k *iam.Key) { k.Secret = secret.NewPassword("x") }, iam.BadSignature},
		"that is called otherwise": {goodToken(t), func(k *iam.Key) { k.ID = "x" }, iam.UnknownKey},
	} {
		t.Run(name, func(t *testing.T) {
			k := plainKey(t)
			tt.change(&k)
			v, err := iam.NewOwnKeys(iam.OwnKeysOptions{Keys: keys{keyID: k}, Resource: resource, Now: func() time.Time { return begin }})
			if err != nil {
				t.Fatal(err)
			}
			if tt.want == 0 {
				if _, err := v.Verify(t.Context(), claim("app", tt.token)); err != nil {
					t.Fatal(err)
				}
				return
			}
			refused(t, v, claim("app", tt.token), tt.want)
		})
	}
}

// TestEmptySecretSignsNothing: a token signed with the empty key, which stands in for unknown keys, is refused.
func TestEmptySecretSignsNothing(t *testing.T) {
	v := ownKeys(t, begin)
	refused(t, v, claim("app", altered(t, func(r *recipe) { r.secret = "" })), iam.UnknownKey)
}

type brokenKeys struct{}

func (brokenKeys) Key(context.Context, string) (iam.Key, error) {
	return iam.Key{}, errors.New("the store is on fire")
}

func TestKeysThatCannotBeRead(t *testing.T) {
	v, err := iam.NewOwnKeys(iam.OwnKeysOptions{Keys: brokenKeys{}, Resource: resource, Now: func() time.Time { return begin }})
	if err != nil {
		t.Fatal(err)
	}
	refused(t, v, claim("app", goodToken(t)), iam.Unavailable)
}

func TestResourceIsChecked(t *testing.T) {
	for _, r := range []iam.Resource{
		{},
		{Region: region, Account: account},
		{Region: region, ID: "x"},
		{Account: account, ID: "x"},
		{Region: "EU", Account: account, ID: "x"},
		{Region: region, Account: "12345678901", ID: "x"},
		{Region: region, Account: account, ID: "a/b"},
		{Region: region, Account: account, ID: "*"},
		{Partition: "aws:", Region: region, Account: account, ID: "x"},
		{Region: "*", Account: account, ID: "x"},
	} {
		if _, err := iam.NewOwnKeys(iam.OwnKeysOptions{Keys: keys{}, Resource: r}); err == nil {
			t.Errorf("accepted %+v", r)
		}
	}
}

func BenchmarkOwnKeys(b *testing.B) {
	v := ownKeys(b, begin, plainKey(b))
	c := claim("app", goodToken(b))
	b.ReportAllocs()
	for b.Loop() {
		if _, err := v.Verify(b.Context(), c); err != nil {
			b.Fatal(err)
		}
	}
}

func FuzzOwnKeys(f *testing.F) {
	f.Add(goodToken(f))
	f.Add(strings.ReplaceAll(goodToken(f), "%2F", "/"))
	r := good()
	r.session = session
	f.Add(r.make(f))
	tok := goodToken(f)
	for i := 0; i < len(tok); i += 9 {
		f.Add(tok[:i])
	}
	v := ownKeys(f, begin, plainKey(f))
	f.Fuzz(func(t *testing.T, token string) {
		id, err := v.Verify(t.Context(), claim("app", token))
		if err != nil {
			hides(t, err, claim("app", token))
			return
		}
		// Whatever is accepted says what the login said, and was signed with the key: the SDK's signature over it is the same.
		if !strings.Contains(token, "DBUser=") || id.Principal != keyID || !strings.HasPrefix(strings.ToLower(token), "proxy") {
			t.Errorf("accepted %q", token)
		}
	})
}
