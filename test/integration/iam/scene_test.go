// SPDX-License-Identifier: Apache-2.0

package iam

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/feature/rds/auth"

	"github.com/rdsproxy/rdsproxy/test/certs"
	"github.com/rdsproxy/rdsproxy/test/daemonproc"
	"github.com/rdsproxy/rdsproxy/test/myserver"
	"github.com/rdsproxy/rdsproxy/test/pgserver"
)

func TestMain(m *testing.M) { os.Exit(myserver.Main(runner{m})) }

// runner is what package daemonproc makes of the tests.
type runner struct{ m *testing.M }

func (r runner) Run() int { return daemonproc.Main(r.m) }

const (
	region   = "eu-central-1"
	account  = "123456789012"
	resource = "prx-0123456789abcdef0"
	database = "shop"
)

// key is an access key, whose tokens log in as some users.
type key struct{ id, secret, session string }

var (
	plainKey = key{"AKIAPLAIN00000000001", "plain/secret+key/hidden0001", ""}
	// longKey makes tokens of more than 2 KB, as those of roles are.
	longKey = key{"ASIALONG000000000002", "long/secret+key/hidden0002", "IQoJhidden" + strings.Repeat("SessionTokenPart/+", 90) + "=="}
)

// token is what an application makes that calls the SDK.
func (k key) token(t testing.TB, endpoint, user string) string {
	t.Helper()
	text, err := auth.BuildAuthToken(t.Context(), endpoint, region, user, credentials.NewStaticCredentialsProvider(k.id, k.secret, k.session))
	if err != nil {
		t.Fatal(err)
	}
	return text
}

// world is what a daemon with tokens needs: certificates, keys, policies.
type world struct {
	ca     *certs.Authority
	caFile string
	pair   certs.Pair
	dir    string

	mu sync.Mutex
	// hidden is what the daemon must not print.
	hidden []string
}

func newWorld(t testing.TB) *world {
	t.Helper()
	ca, err := certs.NewAuthority("test authority")
	if err != nil {
		t.Fatal(err)
	}
	w := &world{ca: ca, dir: t.TempDir()}
	if w.pair, err = ca.Issue(certs.Request{}); err != nil {
		t.Fatal(err)
	}
	if w.caFile, err = ca.Write(w.dir, "ca"); err != nil {
		t.Fatal(err)
	}
	for name, k := range map[string]key{"plain": plainKey, "long": longKey} {
		members := map[string]string{"AccessKeyId": k.id, "SecretAccessKey": k.secret}
		if k.session != "" {
			members["SessionToken"] = k.session
			w.hide(k.session)
		}
		text, err := json.Marshal(members)
		if err != nil {
			t.Fatal(err)
		}
		w.write(t, name+".json", string(text))
		w.hide(k.secret)
	}
	arn := fmt.Sprintf("arn:aws:rds-db:%s:%s:dbuser:%s/", region, account, resource)
	w.write(t, "policy.json", `{"Version":"2012-10-17","Statement":[
		{"Effect":"Allow","Action":"rds-db:connect","Resource":"`+arn+`*"},
		{"Effect":"Deny","Action":"rds-db:connect","Resource":"`+arn+`denied"}]}`)
	return w
}

func (w *world) write(t testing.TB, name, text string) string {
	t.Helper()
	file := filepath.Join(w.dir, name)
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return file
}

// hide adds what the daemon must not print.
func (w *world) hide(secrets ...string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.hidden = append(w.hidden, secrets...)
}

// hideHalf hides the end of what is long enough to be recognised.
func (w *world) hideHalf(secret string) {
	if len(secret) > 12 {
		w.hide(secret[len(secret)/2:])
	}
}

// iam is the section of the configuration that takes tokens of both keys.
func (w *world) iam() daemonproc.Map {
	policy := filepath.Join(w.dir, "policy.json")
	return daemonproc.Map{
		"resource": daemonproc.Map{"region": region, "account": account, "id": resource},
		"own_keys": []any{
			daemonproc.Map{"secret": filepath.Join(w.dir, "plain.json"), "policy_file": policy},
			daemonproc.Map{"secret": filepath.Join(w.dir, "long.json"), "policy_file": policy},
		},
		"max_failures": 1000,
	}
}

// start runs a daemon that takes tokens, and holds what it has printed against what it must not print when the test ends.
func (w *world) start(t testing.TB, o daemonproc.Options) *daemonproc.Daemon {
	t.Helper()
	if daemonproc.Direct() {
		t.Skip("RDSPROXY_TEST_DIRECT=1: there is no proxy")
	}
	o.Certificate = &w.pair
	o.Endpoint = merged(daemonproc.Map{"names": []string{"localhost", "127.0.0.1"}}, o.Endpoint)
	o.Top = merged(daemonproc.Map{"iam": w.iam()}, o.Top)
	for _, u := range o.Users {
		w.hide(u.Password)
	}
	var d *daemonproc.Daemon
	t.Cleanup(func() {
		if d != nil {
			w.check(t, "the log", d.Log())
		}
	}) // when the daemon has ended
	d = daemonproc.Start(t, o)
	t.Cleanup(func() { w.pages(t, d) })
	return d
}

// pages holds what the admin listener shows against what must not be shown.
func (w *world) pages(t testing.TB, d *daemonproc.Daemon) {
	for _, page := range []string{"/metrics", "/status", "/readyz?verbose"} {
		_, text, err := d.Get(page)
		if err != nil {
			t.Error(err)
		}
		w.check(t, page, text)
	}
}

func (w *world) check(t testing.TB, where, text string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for i, secret := range w.hidden {
		if secret != "" && strings.Contains(text, secret) {
			t.Errorf("%s shows secret %d", where, i)
		}
	}
	for _, sign := range []string{"X-Amz-Signature=", "X-Amz-Security-Token="} {
		if strings.Contains(text, sign) {
			t.Errorf("%s shows a part of a token: %s", where, sign)
		}
	}
}

func merged(base, over daemonproc.Map) daemonproc.Map {
	maps.Copy(base, over)
	return base
}

// required is a user who has to have a token.
func required(name, password string) daemonproc.User {
	return daemonproc.User{Name: name, Password: password, Settings: daemonproc.Map{"iam_auth": "required"}}
}

// enabled is a user who may have a token.
func enabled(name, password string) daemonproc.User {
	return daemonproc.User{Name: name, Password: password, Settings: daemonproc.Map{"iam_auth": "enabled"}}
}

// port is that of an address.
func port(addr string) string { return addr[strings.LastIndexByte(addr, ':')+1:] }

func limit(t testing.TB, d time.Duration) context.Context {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), d)
	t.Cleanup(cancel)
	return ctx
}

// postgres is a server with some roles, and a database for all of them.
func postgres(t testing.TB, o pgserver.Options, roles ...string) *pgserver.Server {
	t.Helper()
	o.Databases = []string{database}
	for _, r := range roles {
		o.Roles = append(o.Roles, pgserver.Role{Name: r, Password: password(r)})
	}
	return pgserver.Start(t, o)
}

// password is the one of a user at the database.
func password(user string) string { return "pass word's of " + user }
