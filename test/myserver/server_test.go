// SPDX-License-Identifier: Apache-2.0

package myserver

import (
	"context"
	"crypto/tls"
	"errors"
	"net"
	"os"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/go-mysql-org/go-mysql/client"
	"github.com/go-mysql-org/go-mysql/mysql"

	"github.com/rdsproxy/rdsproxy/test/certs"
)

func TestMain(m *testing.M) { os.Exit(Main(m)) }

// login connects over TCP and returns the answer to one query.
func login(t *testing.T, s *Server, user, password, query string, options ...client.Option) (string, error) {
	t.Helper()
	dialer := &net.Dialer{Timeout: 10 * time.Second}
	conn, err := client.ConnectWithDialer(t.Context(), "tcp", s.Addr(), user, password, "", dialer.DialContext, options...)
	if err != nil {
		return "", err
	}
	defer conn.Close()
	r, err := conn.Execute(query)
	if err != nil {
		return "", err
	}
	return r.GetString(0, 0)
}

func code(err error) uint16 {
	if e, ok := errors.AsType[*mysql.MyError](err); ok {
		return e.Code
	}
	return 0
}

func TestFlavors(t *testing.T) {
	for _, f := range Flavors() {
		t.Run(string(f), func(t *testing.T) {
			t.Parallel()
			users := []User{{Name: "plain", Password: `p'1\`}}
			if f.IsMariaDB() {
				users = append(users, User{Name: "native", Password: "p2", Plugin: Native}, User{Name: "ed", Password: "p3", Plugin: Ed25519})
			} else {
				users = append(users, User{Name: "caching", Password: "p2", Plugin: CachingSHA2}, User{Name: "sha", Password: "p3", Plugin: SHA256})
			}
			s := Start(t, Options{Flavor: f, Users: users, Databases: []string{"shop"}, Config: []string{"max_connections=17"}})
			for _, u := range append(users, User{Name: Superuser, Password: s.Password}) {
				got, err := login(t, s, u.Name, u.Password, "SELECT CONCAT(VERSION(), ' ', @@max_connections, ' ', @@port)")
				if err != nil || !strings.HasPrefix(got, s.Version) || !strings.Contains(got, " 17 ") {
					t.Errorf("%s: %q, %v", u.Name, got, err)
				}
				if _, err := login(t, s, u.Name, "wrong", "SELECT 1"); code(err) != mysql.ER_ACCESS_DENIED_ERROR {
					t.Errorf("%s with a wrong password: %v", u.Name, err)
				}
			}
			if got, err := s.Query(t.Context(), "SELECT COUNT(*) FROM information_schema.schemata WHERE schema_name = 'shop'"); err != nil || got != "1" {
				t.Errorf("database: %q, %v", got, err)
			}
			if _, err := login(t, s, "", "", "SELECT 1"); err == nil {
				t.Error("an anonymous user was let in")
			}
		})
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
	for _, f := range Flavors() {
		t.Run(string(f), func(t *testing.T) {
			s := Start(t, Options{Flavor: f, TLS: &pair, Users: []User{{Name: "u", Password: "p", Attributes: "REQUIRE SSL"}}})
			if _, err := login(t, s, "u", "p", "SELECT 1"); err == nil {
				t.Error("a login without TLS was let in")
			}
			verified := func(c *client.Conn) error {
				c.SetTLSConfig(&tls.Config{RootCAs: ca.Pool(), ServerName: "localhost"})
				return nil
			}
			if _, err := login(t, s, "u", "p", "SELECT 1", verified); err != nil {
				t.Error(err)
			}
			if err := Start(t, Options{Flavor: f}).Exec(t.Context(), "SELECT 1"); err != nil {
				t.Error(err)
			}
		})
	}
}

func TestStopKillRestart(t *testing.T) {
	for _, f := range []Flavor{MariaDB, MySQL} {
		t.Run(string(f), func(t *testing.T) {
			s := Start(t, Options{Flavor: f})
			if err := s.Exec(t.Context(), "CREATE DATABASE kept"); err != nil {
				t.Fatal(err)
			}
			for name, restart := range map[string]func() error{
				"stop": func() error { return s.Restart(t.Context()) },
				"kill": func() error { s.Kill(); return s.Start(t.Context()) },
			} {
				conn, err := s.Connect(t.Context())
				if err != nil {
					t.Fatalf("before %s: %v", name, err)
				}
				if err := restart(); err != nil {
					t.Fatalf("%s: %v", name, err)
				}
				if err := conn.Ping(); err == nil {
					t.Errorf("%s: the old connection survived", name)
				}
				conn.Close()
				if err := s.Exec(t.Context(), "USE kept"); err != nil {
					t.Errorf("after %s: %v", name, err)
				}
			}
			s.Freeze()
			ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
			defer cancel()
			if _, err := greeted(ctx, s); err == nil {
				t.Error("a frozen server answered")
			}
			s.Thaw()
			if err := s.Exec(t.Context(), "USE kept"); err != nil {
				t.Error(err)
			}
			if err := errors.Join(s.Stop(), s.Stop()); err != nil {
				t.Error(err)
			}
		})
	}
}

// greeted tells whether the server greets within the time of ctx.
func greeted(ctx context.Context, s *Server) (int, error) {
	conn, err := (&net.Dialer{}).DialContext(ctx, "tcp", s.Addr())
	if err != nil {
		return 0, err
	}
	defer conn.Close()
	if deadline, ok := ctx.Deadline(); ok {
		if err := conn.SetDeadline(deadline); err != nil {
			return 0, err
		}
	}
	return conn.Read(make([]byte, 1))
}

func TestNothingLeftBehind(t *testing.T) {
	s := Start(t, Options{})
	pid := s.PID()
	if err := s.Close(); err != nil {
		t.Error(err)
	}
	if _, err := os.Stat(s.Dir); !os.IsNotExist(err) {
		t.Errorf("folder is still there: %v", err)
	}
	if err := syscall.Kill(pid, 0); !errors.Is(err, syscall.ESRCH) {
		t.Errorf("the process is still there: %v", err)
	}
}

func TestFailedStartSaysWhy(t *testing.T) {
	for _, f := range []Flavor{MariaDB, MySQL} {
		_, err := Launch(t.Context(), Options{Flavor: f, Config: []string{"no_such_setting=1"}})
		if errors.Is(err, ErrUnavailable) {
			shared.Missing(t, err)
		}
		if err == nil || !strings.Contains(err.Error(), "no_such_setting") {
			t.Errorf("got %v", err)
		}
	}
}

func TestUnknownFlavorIsUnavailable(t *testing.T) {
	if _, err := Find(t.Context(), "Oracle"); !errors.Is(err, ErrUnavailable) {
		t.Errorf("got %v", err)
	}
}

func TestClients(t *testing.T) {
	for flavor, programs := range map[Flavor][]string{
		MariaDB:       {"mariadb", "mariadb-dump"},
		NewestMariaDB: {"mariadb"},
		MySQL:         {"mysql", "mysqldump"},
	} {
		inst := Require(t, flavor)
		for _, p := range programs {
			if out, err := inst.Command(t.Context(), p, "--version").CombinedOutput(); err != nil {
				t.Errorf("%s of %s: %v\n%s", p, flavor, err, out)
			}
		}
	}
}

func TestShared(t *testing.T) {
	a, b := Shared(t, MariaDB), Shared(t, MariaDB)
	if a != b {
		t.Error("two servers")
	}
}

func TestAtLeast(t *testing.T) {
	for v, want := range map[string]bool{"10.11.14": true, "11.8.9": true, "10.6.1": false, "9.7.4": false, "": false, "x.y": false, "10.11": true} {
		if got := (Installation{Version: v}).AtLeast(10, 11); got != want {
			t.Errorf("%q: %v", v, got)
		}
	}
}
