// SPDX-License-Identifier: Apache-2.0

package iam

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/rdsproxy/rdsproxy/test/daemonproc"
	"github.com/rdsproxy/rdsproxy/test/myserver"
)

// myScene is a daemon in front of MySQL or MariaDB with users of each kind.
type myScene struct {
	*world
	daemon *daemonproc.Daemon
	server *myserver.Server
}

func newMyScene(t *testing.T, f myserver.Flavor) *myScene {
	t.Helper()
	w := newWorld(t)
	o := myserver.Options{Flavor: f, TLS: &w.pair, Databases: []string{database}}
	for _, u := range []string{"app", "either", "plain"} {
		o.Users = append(o.Users, myserver.User{Name: u, Password: password(u)})
	}
	s := &myScene{world: w, server: myserver.Start(t, o)}
	engine := "mysql"
	if f.IsMariaDB() {
		engine = "mariadb"
	}
	s.daemon = w.start(t, daemonproc.Options{
		Writer: s.server.Addr(),
		Group:  daemonproc.Map{"engine": engine},
		Users: []daemonproc.User{
			required("app", password("app")), enabled("either", password("either")), {Name: "plain", Password: password("plain")},
		},
	})
	return s
}

func (s *myScene) endpoint() string { return "localhost:" + port(s.daemon.Addr) }

// client runs the command line client of an installation, and asks who it is.
func client(t *testing.T, i myserver.Installation, s *myScene, user, password string, tls bool) (string, error) {
	t.Helper()
	program, args := "mysql", []string{"--no-defaults", "--protocol=tcp", "--host=localhost", "--port=" + port(s.daemon.Addr), "--user=" + user, "-BNe", "SELECT CURRENT_USER()", database}
	switch {
	case i.Flavor.IsMariaDB() && tls:
		program, args = "mariadb", append(args[:1:1], append([]string{"--ssl-ca=" + s.caFile, "--ssl-verify-server-cert"}, args[1:]...)...)
	case i.Flavor.IsMariaDB():
		program, args = "mariadb", append(args[:1:1], append([]string{"--skip-ssl"}, args[1:]...)...)
	case tls:
		args = append(args[:1:1], append([]string{"--ssl-mode=VERIFY_IDENTITY", "--ssl-ca=" + s.caFile, "--enable-cleartext-plugin"}, args[1:]...)...)
	default:
		args = append(args[:1:1], append([]string{"--ssl-mode=DISABLED", "--get-server-public-key", "--enable-cleartext-plugin"}, args[1:]...)...)
	}
	cmd := i.Command(limit(t, 30*time.Second), program, args...)
	cmd.Env = append(cmd.Environ(), "MYSQL_PWD="+password)
	out, err := cmd.CombinedOutput()
	return strings.TrimSpace(string(out)), err
}

// TestMySQLTokens: tokens of the SDK log in through the clients of MySQL and MariaDB, short and long ones.
func TestMySQLTokens(t *testing.T) {
	for _, f := range []myserver.Flavor{myserver.MariaDB, myserver.MySQL} {
		t.Run(string(f), func(t *testing.T) {
			s := newMyScene(t, f)
			for _, c := range []myserver.Flavor{myserver.MariaDB, myserver.MySQL} {
				i := myserver.Require(t, c)
				for name, k := range map[string]key{"plain": plainKey, "long": longKey} {
					for _, user := range []string{"app", "either"} {
						token := k.token(t, s.endpoint(), user)
						if got, err := client(t, i, s, user, token, true); err != nil || got != user+"@%" {
							t.Errorf("client of %s, %s key, %s: %s, %v", c, name, user, got, err)
						}
					}
				}
				for _, user := range []string{"either", "plain"} {
					for _, tls := range []bool{true, false} {
						if c == myserver.MySQL && f.IsMariaDB() && (user == "plain" || !tls) {
							continue // MySQL 9 has no mysql_native_password anymore
						}
						if got, err := client(t, i, s, user, password(user), tls); err != nil || got != user+"@%" {
							t.Errorf("client of %s, password of %s, TLS %v: %s, %v", c, user, tls, got, err)
						}
					}
				}
			}
			s.refusals(t)
		})
	}
}

func (s *myScene) refusals(t *testing.T) {
	t.Helper()
	denied := func(user string) string {
		return fmt.Sprintf("1045 (28000): Access denied for user '%s'@'127.0.0.1' (using password: YES)", user)
	}
	for _, tt := range []struct {
		name, user, password string
		tls                  bool
		want, reason         string
	}{
		{"another user's", "app", plainKey.token(t, s.endpoint(), "either"), true, denied("app"), "iam_wrong_user"},
		{"another proxy's", "app", plainKey.token(t, "other:3306", "app"), true, denied("app"), "iam_wrong_host"},
		{"password", "app", password("app"), true, denied("app"), "iam_malformed"},
		{"no TLS", "app", plainKey.token(t, s.endpoint(), "app"), false, "3159 (HY000): This RDS Proxy requires TLS connections.", "tls_required"},
		{"wrong password", "either", "wrong one", true, denied("either"), "wrong_password"},
		{"bad token", "either", plainKey.token(t, s.endpoint(), "app"), true, denied("either"), "iam_wrong_user"},
		{"unknown", "nobody", plainKey.token(t, s.endpoint(), "nobody"), true, denied("nobody"), "unknown_user"},
		{"token of a user with a password", "plain", plainKey.token(t, s.endpoint(), "plain"), true, denied("plain"), "wrong_password"},
	} {
		s.hideHalf(tt.password)
		label := fmt.Sprintf("reason=%q", tt.reason)
		before := s.daemon.Metric(t, setupFailed, label)
		got, err := client(t, s.server.Installation, s, tt.user, tt.password, tt.tls)
		if err == nil || !strings.Contains(got, tt.want) {
			t.Errorf("%s: %s, %v", tt.name, got, err)
		}
		s.daemon.Eventually(t, tt.name+": "+label+" is counted", 10*time.Second, func() bool {
			return s.daemon.Metric(t, setupFailed, label) == before+1
		})
	}
}
