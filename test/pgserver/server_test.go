// SPDX-License-Identifier: Apache-2.0

package pgserver

import (
	"crypto/tls"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"github.com/rdsproxy/rdsproxy/test/certs"
)

func TestMain(m *testing.M) { os.Exit(Main(m)) }

// login connects with the DSN and returns the answer to one query.
func login(t *testing.T, dsn, query string) (string, error) {
	t.Helper()
	conn, err := pgx.Connect(t.Context(), dsn)
	if err != nil {
		return "", err
	}
	defer conn.Close(t.Context())
	var answer string
	return answer, conn.QueryRow(t.Context(), query).Scan(&answer)
}

func TestVersions(t *testing.T) {
	for _, v := range Versions() {
		t.Run(fmt.Sprint(v), func(t *testing.T) {
			s := Start(t, Options{Version: v})
			got, err := login(t, s.DSN(Superuser, s.Password, "postgres"), "SELECT current_setting('server_version_num')")
			if err != nil {
				t.Fatal(err)
			}
			if want := fmt.Sprint(s.Installation.Version); !strings.HasPrefix(got, want) {
				t.Errorf("server_version_num %s, want %s…", got, want)
			}
			if v != 0 && s.Installation.Version != v {
				t.Errorf("got version %d", s.Installation.Version)
			}
		})
	}
}

func TestRolesAndDatabases(t *testing.T) {
	s := Start(t, Options{
		Roles: []Role{
			{Name: "scram", Password: "p'1"},
			{Name: "old", Password: "p2", Encryption: "md5"},
			{Name: "op", Password: "p3", Attributes: "SUPERUSER REPLICATION"},
		},
		Databases: []string{"shop"},
		HBA:       []string{"host all old all md5", "host all all all scram-sha-256"},
		Settings:  map[string]string{"max_connections": "17", "cluster_name": "it's me"},
	})
	for user, password := range map[string]string{"scram": "p'1", "old": "p2", "op": "p3"} {
		if got, err := login(t, s.DSN(user, password, "shop"), "SELECT current_setting('max_connections')"); err != nil || got != "17" {
			t.Errorf("%s: %q, %v", user, got, err)
		}
		_, err := login(t, s.DSN(user, "wrong", "shop"), "SELECT ''")
		var pgErr *pgconn.PgError
		if !errors.As(err, &pgErr) || pgErr.Code != "28P01" {
			t.Errorf("%s with a wrong password: %v", user, err)
		}
	}
	if got, err := login(t, s.AdminDSN(), "SELECT current_setting('cluster_name')"); err != nil || got != "it's me" {
		t.Errorf("cluster_name: %q, %v", got, err)
	}
	if got, err := login(t, s.AdminDSN(), "SELECT left(rolpassword, 3) FROM pg_authid WHERE rolname = 'old'"); err != nil || got != "md5" {
		t.Errorf("stored form: %q, %v", got, err)
	}
}

func TestTLS(t *testing.T) {
	ca, err := certs.NewAuthority("test authority")
	if err != nil {
		t.Fatal(err)
	}
	pair, err := ca.Issue(certs.Request{})
	if err != nil {
		t.Fatal(err)
	}
	s := Start(t, Options{TLS: &pair, HBA: []string{"hostssl all all all scram-sha-256"}})
	if _, err := login(t, s.DSN(Superuser, s.Password, "postgres"), "SELECT ''"); err == nil {
		t.Error("a login without TLS was let in")
	}
	cfg, err := pgx.ParseConfig(s.DSN(Superuser, s.Password, "postgres", "sslmode=require"))
	if err != nil {
		t.Fatal(err)
	}
	cfg.TLSConfig = &tls.Config{RootCAs: ca.Pool(), ServerName: "localhost"}
	conn, err := pgx.ConnectConfig(t.Context(), cfg)
	if err != nil {
		t.Fatal(err)
	}
	conn.Close(t.Context())
}

func TestStopKillRestart(t *testing.T) {
	s := Start(t, Options{})
	dsn := s.DSN(Superuser, s.Password, "postgres")
	for name, restart := range map[string]func() error{
		"fast":      func() error { return s.Restart(t.Context(), Fast) },
		"immediate": func() error { return s.Restart(t.Context(), Immediate) },
		"kill":      func() error { s.Kill(); return s.Start(t.Context()) },
	} {
		conn, err := pgx.Connect(t.Context(), dsn)
		if err != nil {
			t.Fatalf("before %s: %v", name, err)
		}
		if err := restart(); err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		if err := conn.Ping(t.Context()); err == nil {
			t.Errorf("%s: the old connection survived", name)
		}
		conn.Close(t.Context())
		if _, err := login(t, dsn, "SELECT ''"); err != nil {
			t.Errorf("after %s: %v", name, err)
		}
	}
	if err := s.Stop(Fast); err != nil {
		t.Error(err)
	}
	if err := s.Stop(Fast); err != nil {
		t.Errorf("second stop: %v", err)
	}
}

func TestFreeze(t *testing.T) {
	s := Start(t, Options{})
	conn, err := pgx.Connect(t.Context(), s.DSN(Superuser, s.Password, "postgres"))
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close(t.Context())
	s.Freeze()
	answered := make(chan error, 1)
	go func() { answered <- conn.Ping(t.Context()) }()
	select {
	case err := <-answered:
		t.Errorf("a frozen server answered: %v", err)
	default:
	}
	s.Thaw()
	if err := <-answered; err != nil {
		t.Error(err)
	}
}

func TestNothingLeftBehind(t *testing.T) {
	s, err := Launch(t.Context(), Options{})
	if errors.Is(err, ErrUnavailable) {
		shared.Missing(t, err)
	}
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Close(); err != nil {
		t.Error(err)
	}
	if _, err := os.Stat(s.Dir); !os.IsNotExist(err) {
		t.Errorf("folder is still there: %v", err)
	}
}

func TestFailedStartSaysWhy(t *testing.T) {
	_, err := Launch(t.Context(), Options{Settings: map[string]string{"no_such_setting": "1"}})
	if errors.Is(err, ErrUnavailable) {
		shared.Missing(t, err)
	}
	if err == nil || !strings.Contains(err.Error(), "no_such_setting") {
		t.Errorf("got %v", err)
	}
}

func TestUnknownVersionIsUnavailable(t *testing.T) {
	if _, err := Find(t.Context(), 9); !errors.Is(err, ErrUnavailable) {
		t.Errorf("got %v", err)
	}
}

func TestTools(t *testing.T) {
	inst := RequireTools(t)
	for _, p := range []string{"psql", "pgbench", "pg_dump", "pg_restore", "pg_receivewal"} {
		if _, err := os.Stat(filepath.Join(inst.BinDir, p)); err != nil {
			t.Error(err)
		}
	}
}

func TestShared(t *testing.T) {
	a, b := Shared(t, 0), Shared(t, 0)
	if a != b {
		t.Error("two servers")
	}
}

func TestRestoreLinks(t *testing.T) {
	for _, test := range []struct {
		name, list string
		ok         bool
	}{
		{"link", `[{"source":"native/lib/a.so.1","target":"native/lib/a.so"}]`, true},
		{"upwards", `[{"source":"native/lib/a.so.1","target":"native/../../a.so"}]`, false},
		{"absolute", `[{"source":"/etc/passwd","target":"native/lib/a.so"}]`, false},
		{"not a list", `{}`, false},
	} {
		t.Run(test.name, func(t *testing.T) {
			dir := t.TempDir()
			if err := os.Mkdir(filepath.Join(dir, "lib"), 0o700); err != nil {
				t.Fatal(err)
			}
			for name, text := range map[string]string{"lib/a.so.1": "x", "pg-symlinks.json": test.list} {
				if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
					t.Fatal(err)
				}
			}
			err := restoreLinks(dir)
			if (err == nil) != test.ok {
				t.Fatalf("got %v", err)
			}
			if !test.ok {
				return
			}
			if text, err := os.ReadFile(filepath.Join(dir, "lib/a.so")); err != nil || string(text) != "x" {
				t.Errorf("link: %q, %v", text, err)
			}
			if err := restoreLinks(dir); err != nil {
				t.Errorf("second time: %v", err)
			}
		})
	}
}
