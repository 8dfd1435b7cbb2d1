// SPDX-License-Identifier: Apache-2.0

package integration

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5/pgconn"

	"github.com/rdsproxy/rdsproxy/test/daemonproc"
)

func TestLogin(t *testing.T) {
	s := newStack(t, 0, daemonproc.Options{})
	conn := s.connect(t)
	if got := value(t, conn, "SELECT current_user::text"); got != s.user {
		t.Errorf("current_user %q, want %q", got, s.user)
	}
	if got := value(t, conn, "SELECT current_database()::text"); got != s.database {
		t.Errorf("current_database %q, want %q", got, s.database)
	}
}

// TestDatabaseDefaultsToUser leaves the database out of the start-up message.
func TestDatabaseDefaultsToUser(t *testing.T) {
	s := newStack(t, 0, daemonproc.Options{})
	s.admin(t, fmt.Sprintf(`CREATE DATABASE %q`, s.user))
	t.Cleanup(func() { s.admin(t, fmt.Sprintf(`DROP DATABASE %q WITH (FORCE)`, s.user)) })
	conn, err := s.tryConnect(t, strings.Replace(s.dsn(), "/"+s.database, "/", 1))
	if err != nil {
		t.Fatal(err)
	}
	if got := value(t, conn, "SELECT current_database()::text"); got != s.user {
		t.Errorf("current_database %q, want %q", got, s.user)
	}
}

// TestRefusedLogins shows that a stranger cannot tell an unknown user from a wrong
// password.
func TestRefusedLogins(t *testing.T) {
	s := newStack(t, 0, daemonproc.Options{})
	for _, test := range []struct {
		name, dsn, code string
		user            string
	}{
		{"wrong password", s.daemon.DSN(s.user, "wrong", s.database), "28P01", s.user},
		{"empty password", s.daemon.DSN(s.user, "", s.database), "28P01", s.user},
		{"unknown user", s.daemon.DSN("nobody here", "wrong", s.database), "28P01", "nobody here"},
		{"role without secret", s.daemon.DSN("postgres", s.pg.Password, s.database), "28P01", "postgres"},
		{"unknown user, unknown database", s.daemon.DSN("nobody here", "wrong", "nowhere"), "28P01", "nobody here"},
		{"unknown database", s.daemon.DSN(s.user, s.password, "nowhere"), "3D000", ""},
	} {
		t.Run(test.name, func(t *testing.T) {
			if test.user == "postgres" {
				s.daemon.RequireProxy(t)
			}
			_, err := s.tryConnect(t, test.dsn)
			if code(err) == "" && test.name == "empty password" && daemonproc.Direct() {
				return // pgx does not send it
			}
			wantCode(t, err, test.code)
			var pgErr *pgconn.PgError
			if !errors.As(err, &pgErr) {
				t.Fatal(err)
			}
			if pgErr.Severity != "FATAL" {
				t.Errorf("severity %s", pgErr.Severity)
			}
			want := fmt.Sprintf("password authentication failed for user %q", test.user)
			if test.code == "28P01" && (pgErr.Message != want || pgErr.Detail != "" || pgErr.Hint != "") {
				t.Errorf("got %q %q %q, want %q alone", pgErr.Message, pgErr.Detail, pgErr.Hint, want)
			}
		})
	}
	// None of it may disturb somebody who is entitled.
	if got := value(t, s.connect(t), "SELECT 1::text"); got != "1" {
		t.Errorf("got %q", got)
	}
}

func TestMD5Login(t *testing.T) {
	s := newStack(t, 0, daemonproc.Options{})
	s.daemon.RequireProxy(t)
	o := s.opts
	o.Users = []daemonproc.User{{
		Name: s.user, Password: s.password,
		Settings: daemonproc.Map{"client_password_auth_type": "POSTGRES_MD5"},
	}}
	d := daemonproc.Start(t, o)
	conn, err := s.tryConnect(t, d.DSN(s.user, s.password, s.database))
	if err != nil {
		t.Fatal(err)
	}
	if got := value(t, conn, "SELECT current_user::text"); got != s.user {
		t.Errorf("current_user %q", got)
	}
	_, err = s.tryConnect(t, d.DSN(s.user, "wrong", s.database))
	wantCode(t, err, "28P01")
	_, err = s.tryConnect(t, d.DSN("nobody here", "wrong", s.database))
	wantCode(t, err, "28P01")
}

// TestDatabaseRefusesTheSecret has the wrong password in the daemon's secret: the
// client proves that it knows that one, but the database does not take it.
func TestDatabaseRefusesTheSecret(t *testing.T) {
	s := newStack(t, 0, daemonproc.Options{})
	s.daemon.RequireProxy(t)
	o := s.opts
	o.Users = []daemonproc.User{{Name: s.user, Password: "out of date"}}
	d := daemonproc.Start(t, o)
	_, err := s.tryConnect(t, d.DSN(s.user, "out of date", s.database))
	if code(err) == "" {
		t.Fatalf("got %v, want an error of the protocol", err)
	}
	if strings.Contains(d.Log(), "out of date") {
		t.Error("the password is in the log")
	}
	d.WaitLog(t, "28P01")
}
