// SPDX-License-Identifier: Apache-2.0

package iam

import (
	"strings"
	"testing"
	"time"

	"github.com/rdsproxy/rdsproxy/test/daemonproc"
	"github.com/rdsproxy/rdsproxy/test/fakeaws"
	"github.com/rdsproxy/rdsproxy/test/pgserver"
)

// TestSecrets: secrets that are missing, or hold nothing of use, are named in /readyz, in the log, and keep out one user each.
// When Secrets Manager is down those who are known stay, and when it is back the others come.
func TestSecrets(t *testing.T) {
	w, f := newWorld(t), newFake(t)
	pg := postgres(t, pgserver.Options{}, "app", "late", "broken", "listed")
	f.PutSecret("prod/app", secretText("app", password("app")))
	f.PutSecret("prod/broken", "hidden, and not JSON")
	f.PutSecret("prod/listed", `{"username": "listed", "passwort": "hidden in the wrong member"}`)
	w.hide(password("app"), password("late"), "hidden", secretKeys.Secret)
	user := func(name, secret string) daemonproc.User {
		return daemonproc.User{Name: name, Settings: daemonproc.Map{"secret": secret}}
	}
	d := w.start(t, daemonproc.Options{
		Writer: pg.Addr(),
		Users: []daemonproc.User{
			user("app", fakeaws.ARN(region, account, "prod/app")), user("late", "secretsmanager:prod/late"),
			user("broken", "secretsmanager:prod/broken"), user("listed", "secretsmanager:prod/listed"),
		},
		Top: daemonproc.Map{"secrets_manager": f.settings},
		Env: f.env,
	})
	s := &pgScene{w, d}
	in := func(name string) error {
		_, err := s.pgx(t, name, password(name), "sslmode=disable")
		return err
	}
	if err := in("app"); err != nil {
		t.Error(err)
	}
	_, ready, err := d.Get("/readyz?verbose")
	if err != nil {
		t.Fatal(err)
	}
	for name, why := range map[string]string{"late": "not found", "broken": "malformed", "listed": `has no member \"password\"`} {
		if !strings.Contains(ready, "prod/"+name) || !strings.Contains(ready, strings.ReplaceAll(why, `\`, "")) && !strings.Contains(ready, why) {
			t.Errorf("/readyz says nothing of %s: %s", name, ready)
		}
		if _, status, err := d.Get("/status"); err != nil || !strings.Contains(status, "prod/"+name) {
			t.Errorf("the target's health says nothing of %s: %v", name, err)
		}
		if !strings.Contains(d.Log(), "secretsmanager:prod/"+name) {
			t.Errorf("the log says nothing of %s", name)
		}
		before := d.Metric(t, setupFailed, `reason="no_secret"`)
		if err := in(name); err == nil || !strings.Contains(err.Error(), "password authentication failed") {
			t.Errorf("%s: %v", name, err)
		}
		d.Eventually(t, "the reason is counted", 10*time.Second, func() bool { return d.Metric(t, setupFailed, `reason="no_secret"`) == before+1 })
	}
	f.SetFault(fakeaws.Down)
	d.WaitLog(t, "secret cannot be refreshed, the last good value stays in use")
	if err := in("app"); err != nil {
		t.Errorf("while Secrets Manager is down: %v", err)
	}
	f.PutSecret("prod/late", secretText("late", password("late")))
	f.SetFault(nil)
	d.Eventually(t, "the secret that came late is in use", 90*time.Second, func() bool { return in("late") == nil })
}
