// SPDX-License-Identifier: Apache-2.0

package preflight_test

import (
	"fmt"
	"path/filepath"
	"strings"
	"testing"

	"github.com/rdsproxy/rdsproxy/internal/preflight"
	"github.com/rdsproxy/rdsproxy/pkg/config"
	"github.com/rdsproxy/rdsproxy/pkg/secret"
)

// TestIAM: access keys, policies and mappings are looked at, and a user without a secret needs none.
func TestIAM(t *testing.T) {
	dir := files(t)
	put(t, dir, "key.json", `{"AccessKeyId":"AKIA","SecretAccessKey":"hunter2"}`, 0o600)
	put(t, dir, "policy.json", `{"Statement":{"Effect":"Allow","Action":"rds-db:connect","Resource":"*"}}`, 0o600)
	put(t, dir, "conditional.json", `{"Statement":{"Effect":"Allow","Action":"*","Resource":"*","Condition":{}}}`, 0o600)
	const text = `
endpoints: [{names: [proxy], tls: {cert_file: good.crt, key_file: good.key}}]
target_groups: [{writer: db, default_auth_scheme: iam_auth}]
auth: [{user: app, iam_auth: required}]
iam:
  resource: {region: eu-central-1, account: "123456789012", id: prx-1}
  own_keys: [{secret: %s, policy_file: %s}]
  sts: {mappings: [{match: '%s', users: [app]}]}
`
	const role = "arn:aws:iam::123456789012:role/app"
	for _, tt := range []struct{ name, key, policy, match, want string }{
		{"all is well", "key.json", "policy.json", role, ""},
		{"no key", "none.json", "policy.json", role, "iam.own_keys[0].secret"},
		{"not a key", "bad.json", "policy.json", role, "iam.own_keys[0].secret"},
		{"no policy", "key.json", "none.json", role, "iam.own_keys[0].policy_file"},
		{"a policy that is not understood", "key.json", "conditional.json", role, "Condition"},
		{"not a role", "key.json", "policy.json", "orders", "iam.sts: mapping of"},
	} {
		c, err := config.Parse(config.Options{
			File: filepath.Join(dir, "proxy.yaml"), Text: fmt.Appendf(nil, text, tt.key, tt.policy, tt.match),
		})
		if err != nil {
			t.Fatal(err)
		}
		r := preflight.Check(t.Context(), c, secret.NewFileStore(secret.FileOptions{}), now)
		got := fmt.Sprint(r.Problems)
		if (len(r.Problems) == 0) != (tt.want == "") || !strings.Contains(got, tt.want) || strings.Contains(got, "hunter2") {
			t.Errorf("%s: %s", tt.name, got)
		}
	}
}
