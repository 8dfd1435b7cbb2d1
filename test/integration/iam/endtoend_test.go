// SPDX-License-Identifier: Apache-2.0

package iam

import (
	"fmt"
	"testing"

	"github.com/rdsproxy/rdsproxy/test/daemonproc"
	"github.com/rdsproxy/rdsproxy/test/myserver"
	"github.com/rdsproxy/rdsproxy/test/pgserver"
)

// TestEndToEnd: a user without a secret. Instead of RDS there is a second daemon, which checks the tokens of the first one just
// as it checks those of any client.
func TestEndToEnd(t *testing.T) {
	for engine, database := range map[string]func(t *testing.T, w *world) string{
		"postgresql": func(t *testing.T, _ *world) string { return postgres(t, pgserver.Options{}, "app", "kept").Addr() },
		"mysql": func(t *testing.T, w *world) string {
			return myserver.Start(t, myserver.Options{
				Flavor: myserver.MySQL, TLS: &w.pair, Databases: []string{database},
				Users: []myserver.User{{Name: "app", Password: password("app")}, {Name: "kept", Password: password("kept")}},
			}).Addr()
		},
		"mariadb": func(t *testing.T, w *world) string {
			return myserver.Start(t, myserver.Options{
				Databases: []string{database},
				Users:     []myserver.User{{Name: "app", Password: password("app")}, {Name: "kept", Password: password("kept")}},
			}).Addr()
		},
	} {
		t.Run(engine, func(t *testing.T) {
			w := newWorld(t)
			far := w.start(t, daemonproc.Options{
				Writer: database(t, w),
				Group:  daemonproc.Map{"engine": engine},
				Users:  []daemonproc.User{required("app", password("app")), {Name: "kept", Password: password("kept")}},
			})
			noSecret := required("app", "")
			noSecret.Settings["secret"] = ""
			near := w.start(t, daemonproc.Options{
				Writer: "localhost:" + port(far.Addr),
				Group: daemonproc.Map{
					"engine": engine, "default_auth_scheme": "iam_auth", "region": region, "tls": daemonproc.Map{"mode": "verify-full", "ca_file": w.caFile},
				},
				Users: []daemonproc.User{noSecret, required("kept", password("kept"))},
				Env: []string{
					"AWS_ACCESS_KEY_ID=" + longKey.id, "AWS_SECRET_ACCESS_KEY=" + longKey.secret, "AWS_SESSION_TOKEN=" + longKey.session,
					"AWS_CONFIG_FILE=/dev/null", "AWS_SHARED_CREDENTIALS_FILE=/dev/null", "AWS_EC2_METADATA_DISABLED=true",
				},
			})
			// The one without a secret by a token, the one with a secret by the password.
			for _, user := range []string{"app", "kept"} {
				token := plainKey.token(t, "localhost:"+port(near.Addr), user)
				if engine == "postgresql" {
					if got, err := (&pgScene{w, near}).pgx(t, user, token, "sslmode=verify-full sslrootcert="+w.caFile); err != nil || got != user {
						t.Errorf("%s: %s, %v", user, got, err)
					}
					continue
				}
				s := &myScene{world: w, daemon: near}
				if got, err := client(t, myserver.Require(t, myserver.MariaDB), s, user, token, true); err != nil || got != user+"@%" {
					t.Errorf("%s: %s, %v", user, got, err)
				}
			}
			far.WaitLog(t, fmt.Sprintf(`"principal":%q`, longKey.id))
		})
	}
}
