// SPDX-License-Identifier: Apache-2.0

package iam

import (
	"errors"
	"fmt"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"github.com/rdsproxy/rdsproxy/test/daemonproc"
	"github.com/rdsproxy/rdsproxy/test/pgserver"
)

// pgScene is a daemon in front of PostgreSQL with users of each kind.
type pgScene struct {
	*world
	daemon *daemonproc.Daemon
}

func newPgScene(t testing.TB) *pgScene {
	t.Helper()
	w := newWorld(t)
	pg := postgres(t, pgserver.Options{}, "app", "either", "denied", "plain")
	w.hide(pg.Password)
	return &pgScene{w, w.start(t, daemonproc.Options{
		Writer: pg.Addr(),
		Users: []daemonproc.User{
			required("app", password("app")), required("denied", password("denied")), enabled("either", password("either")),
			{Name: "plain", Password: password("plain")},
		},
	})}
}

// endpoint is how clients name the proxy.
func (s *pgScene) endpoint() string { return "localhost:" + port(s.daemon.Addr) }

// psql logs in and asks who it is.
func (s *pgScene) psql(t testing.TB, user, password string) (string, error) {
	t.Helper()
	tools := pgserver.RequireTools(t)
	cmd := exec.CommandContext(limit(t, 30*time.Second), filepath.Join(tools.BinDir, "psql"), "-XAtc", "SELECT current_user",
		fmt.Sprintf("host=localhost port=%s user=%s dbname=%s sslmode=verify-full sslrootcert=%s", port(s.daemon.Addr), user, database, s.caFile))
	cmd.Env = append(cmd.Environ(), "PGPASSWORD="+password)
	out, err := cmd.CombinedOutput()
	return strings.TrimSpace(string(out)), err
}

// pgx logs in and asks who it is.
func (s *pgScene) pgx(t testing.TB, user, password, params string) (string, error) {
	t.Helper()
	cfg, err := pgx.ParseConfig(fmt.Sprintf("host=localhost port=%s user=%s dbname=%s %s", port(s.daemon.Addr), user, database, params))
	if err != nil {
		t.Fatal(err)
	}
	cfg.Password = password
	conn, err := pgx.ConnectConfig(limit(t, 30*time.Second), cfg)
	if err != nil {
		return "", err
	}
	defer conn.Close(t.Context())
	var who string
	err = conn.QueryRow(t.Context(), "SELECT current_user").Scan(&who)
	return who, err
}

func (s *pgScene) verified() string { return "sslmode=verify-full sslrootcert=" + s.caFile }

// TestPostgresTokens: tokens of the SDK log in through psql and pgx, short and long ones.
func TestPostgresTokens(t *testing.T) {
	s := newPgScene(t)
	for name, k := range map[string]key{"plain": plainKey, "long": longKey} {
		for _, user := range []string{"app", "either"} {
			token := k.token(t, s.endpoint(), user)
			if name == "long" && len(token) < 2048 {
				t.Errorf("the token has only %d bytes", len(token))
			}
			if got, err := s.psql(t, user, token); err != nil || got != user {
				t.Errorf("psql, %s key, %s: %s, %v", name, user, got, err)
			}
			if got, err := s.pgx(t, user, token, s.verified()); err != nil || got != user {
				t.Errorf("pgx, %s key, %s: %s, %v", name, user, got, err)
			}
		}
	}
	for _, user := range []string{"either", "plain"} {
		for _, params := range []string{s.verified(), "sslmode=disable"} {
			if got, err := s.pgx(t, user, password(user), params); err != nil || got != user {
				t.Errorf("password of %s, %s: %s, %v", user, params, got, err)
			}
		}
	}
}

// TestPostgresRefusals: what clients are told, what the log says, and what is counted.
func TestPostgresRefusals(t *testing.T) {
	s := newPgScene(t)
	good := plainKey.token(t, s.endpoint(), "app")
	refused := func(user string) string {
		return "28000 IAM authentication failed for user " + user + ". Check the IAM token for this user and try again."
	}
	wrong := func(user string) string { return fmt.Sprintf("28P01 password authentication failed for user %q", user) }
	for _, tt := range []struct {
		name, user, password, params string
		want, reason                 string
	}{
		{"another user's", "app", plainKey.token(t, s.endpoint(), "either"), s.verified(), refused("app"), "iam_wrong_user"},
		{"another proxy's", "app", plainKey.token(t, "other.example.com:5432", "app"), s.verified(), refused("app"), "iam_wrong_host"},
		{"another port's", "app", plainKey.token(t, "localhost:1", "app"), s.verified(), refused("app"), "iam_wrong_host"},
		{"denied", "denied", plainKey.token(t, s.endpoint(), "denied"), s.verified(), refused("denied"), "iam_policy_denies"},
		{"altered", "app", good[:len(good)-1] + flip(good[len(good)-1]), s.verified(), refused("app"), "iam_bad_signature"},
		{"unknown key", "app", key{"AKIAUNKNOWN000000000", "x", ""}.token(t, s.endpoint(), "app"), s.verified(), refused("app"), "iam_unknown_key"},
		{"session of nobody", "app", key{plainKey.id, plainKey.secret, "s"}.token(t, s.endpoint(), "app"), s.verified(), refused("app"), "iam_bad_session_token"},
		{"password", "app", password("app"), s.verified(), refused("app"), "iam_malformed"},
		{"no TLS", "app", good, "sslmode=disable", "28000 IAM authentication is allowed only with SSL connections.", "iam_no_tls"},
		{"token of a user with a password", "plain", plainKey.token(t, s.endpoint(), "plain"), s.verified(), wrong("plain"), "wrong_password"},
		{"unknown user", "nobody", plainKey.token(t, s.endpoint(), "nobody"), s.verified(), refused("nobody"), "unknown_user"},
		{"unknown user, no TLS", "nobody", good, "sslmode=disable", "28000 IAM authentication is allowed only with SSL connections.", "iam_no_tls"},
		{"wrong password", "either", "x", s.verified(), wrong("either"), "wrong_password"},
		{"wrong password, no TLS", "either", "x", "sslmode=disable", wrong("either"), "wrong_password"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			s.hideHalf(tt.password)
			label := fmt.Sprintf("reason=%q", tt.reason)
			before := s.daemon.Metric(t, setupFailed, label)
			_, err := s.pgx(t, tt.user, tt.password, tt.params)
			told := (*pgconn.PgError)(nil)
			if !errors.As(err, &told) || told.Code+" "+told.Message != tt.want {
				t.Errorf("got %v, want %s", err, tt.want)
			}
			s.daemon.Eventually(t, label+" is counted", 10*time.Second, func() bool {
				return s.daemon.Metric(t, setupFailed, label) == before+1
			})
		})
	}
}

// setupFailed counts logins that failed.
const setupFailed = "rdsproxy_client_connections_setup_failed_total"

func flip(c byte) string {
	if c == '0' {
		return "1"
	}
	return "0"
}

// TestTokenCommands: the daemon's own command, and AWS's where it is installed, make tokens that log in.
func TestTokenCommands(t *testing.T) {
	s := newPgScene(t)
	for _, command := range [][]string{{daemonproc.Binary(t), "token"}, {"aws", "rds", "generate-db-auth-token"}} {
		program, err := exec.LookPath(command[0])
		if err != nil {
			t.Logf("%s is not installed", command[0])
			continue
		}
		args := append(slices.Clone(command[1:]), "--hostname", "localhost", "--port", port(s.daemon.Addr), "--username", "app", "--region", region)
		cmd := exec.CommandContext(limit(t, time.Minute), program, args...)
		own := func(e string) bool { return strings.HasPrefix(e, "AWS_") }
		cmd.Env = append(slices.DeleteFunc(cmd.Environ(), own), "AWS_ACCESS_KEY_ID="+plainKey.id, "AWS_SECRET_ACCESS_KEY="+plainKey.secret,
			"AWS_CONFIG_FILE=/dev/null", "AWS_SHARED_CREDENTIALS_FILE=/dev/null")
		token, err := cmd.Output()
		if err != nil {
			t.Fatal(err)
		}
		if got, err := s.psql(t, "app", strings.TrimSpace(string(token))); err != nil || got != "app" {
			t.Errorf("%v: %s, %v", command, got, err)
		}
	}
}
