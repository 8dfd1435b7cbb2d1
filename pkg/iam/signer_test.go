// SPDX-License-Identifier: Apache-2.0

package iam_test

import (
	"net/url"
	"strings"
	"testing"
	"unicode/utf8"

	"pgregory.net/rapid"

	"github.com/rdsproxy/rdsproxy/pkg/iam"
	"github.com/rdsproxy/rdsproxy/pkg/secret"
)

// TestSDKSigner: whatever user, host, port and session token there are, the SDK's signer and this package agree on the signature,
// and on nothing but the same user and host.
func TestSDKSigner(t *testing.T) {
	all := policy(t, `{"Statement":{"Effect":"Allow","Action":"*","Resource":"*"}}`)
	rapid.Check(t, func(rt *rapid.T) {
		user := rapid.StringN(1, 40, 63).Filter(func(s string) bool { return utf8.ValidString(s) && !strings.ContainsRune(s, 0) }).Draw(rt, "user")
		sessionToken := rapid.StringMatching(`([A-Za-z0-9+/]{1,200}={0,2})?`).Draw(rt, "session")
		at := iam.Address{
			Host: rapid.StringMatching(`[A-Za-z0-9]([A-Za-z0-9-]{0,20}\.){0,3}[a-z]{1,9}`).Draw(rt, "host"),
			Port: rapid.Uint16Min(1).Draw(rt, "port"),
		}
		r := good()
		r.host, r.session = at.String(), sessionToken
		r.query = url.Values{"Action": {"connect"}, "DBUser": {user}, "X-Amz-Expires": {"900"}}.Encode()
		k := plainKey(t)
		k.Policy, k.SessionToken = all, secret.NewPassword(sessionToken)
		v := ownKeys(t, begin, k)
		c := claim(user, r.make(t))
		c.Endpoint = []iam.Address{at}
		if _, err := v.Verify(t.Context(), c); err != nil {
			rt.Errorf("%v: %s", err, c.Token.Reveal())
		}
		c.User += "x"
		if _, err := v.Verify(t.Context(), c); iam.ReasonOf(err) != iam.WrongUser {
			rt.Error(err)
		}
	})
}
