// SPDX-License-Identifier: Apache-2.0

package integration

import (
	"crypto/tls"
	"errors"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/rdsproxy/rdsproxy/test/certs"
	"github.com/rdsproxy/rdsproxy/test/daemonproc"
	"github.com/rdsproxy/rdsproxy/test/pgserver"
)

func authority(t *testing.T) (*certs.Authority, certs.Pair) {
	t.Helper()
	ca, err := certs.NewAuthority("test authority")
	if err != nil {
		t.Fatal(err)
	}
	return ca, issue(t, ca, certs.Request{})
}

func issue(t *testing.T, ca *certs.Authority, r certs.Request) certs.Pair {
	t.Helper()
	pair, err := ca.Issue(r)
	if err != nil {
		t.Fatal(err)
	}
	return pair
}

// connectTLS connects with TLS settings of its own.
func (s *stack) connectTLS(t *testing.T, cfg *tls.Config, params ...string) (*pgx.Conn, error) {
	t.Helper()
	c, err := pgx.ParseConfig(s.dsn(append(params, "sslmode=require")...))
	if err != nil {
		t.Fatal(err)
	}
	c.TLSConfig = cfg
	conn, err := pgx.ConnectConfig(limit(t, 30*time.Second), c)
	if err == nil {
		t.Cleanup(func() { closeNow(conn) })
	}
	return conn, err
}

func TestClientTLS(t *testing.T) {
	ca, pair := authority(t)
	s := newStack(t, 0, daemonproc.Options{Group: connections(1), Certificate: &pair})
	s.daemon.RequireProxy(t)
	for _, version := range []uint16{tls.VersionTLS12, tls.VersionTLS13} {
		conn, err := s.connectTLS(t, &tls.Config{
			RootCAs: ca.Pool(), ServerName: "localhost", MinVersion: version, MaxVersion: version,
		})
		if err != nil {
			t.Fatalf("%s: %v", tls.VersionName(version), err)
		}
		data := strings.Repeat("0123456789abcdef", 1<<18)
		if got := value(t, conn, "SELECT $1::text", data); got != data {
			t.Errorf("%s: the value came back changed", tls.VersionName(version))
		}
	}
	if got := value(t, s.connect(t), "SELECT 'in the clear'"); got != "in the clear" {
		t.Errorf("got %q", got)
	}
	_, err := s.connectTLS(t, &tls.Config{RootCAs: ca.Pool(), ServerName: "localhost", MaxVersion: tls.VersionTLS11, MinVersion: tls.VersionTLS10})
	if err == nil {
		t.Error("TLS 1.1 was accepted")
	}
	_, err = s.connectTLS(t, &tls.Config{RootCAs: ca.Pool(), ServerName: "db.example"})
	if err == nil {
		t.Error("a wrong name was accepted by the client")
	}
}

func TestDirectTLS(t *testing.T) {
	ca, pair := authority(t)
	s := newStack(t, 0, daemonproc.Options{Group: connections(1), Certificate: &pair})
	s.daemon.RequireProxy(t)
	dial := func(protocols ...string) (*tls.Conn, error) {
		c := tls.Client(s.dialRaw(t), &tls.Config{RootCAs: ca.Pool(), ServerName: "localhost", NextProtos: protocols})
		return c, c.HandshakeContext(limit(t, 20*time.Second))
	}
	c, err := dial("postgresql")
	if err != nil {
		t.Fatal(err)
	}
	if got := c.ConnectionState().NegotiatedProtocol; got != "postgresql" {
		t.Errorf("protocol %q", got)
	}
	if _, err := c.Write(startup(protocol30, parameters("user", s.user, "database", s.database))); err != nil {
		t.Fatal(err)
	}
	if kind, _, err := readMessage(c); err != nil || kind != 'R' {
		t.Errorf("%q, %v, want an authentication request", kind, err)
	}
	if c, err := dial(); err == nil {
		// TLS 1.3: the server's refusal comes with the first read.
		if _, err := c.Read(make([]byte, 1)); err == nil {
			t.Error("direct TLS without ALPN was accepted")
		}
	}
}

func TestRequireTLS(t *testing.T) {
	ca, pair := authority(t)
	pg := pgserver.Start(t, pgserver.Options{TLS: &pair})
	s := newStackOn(t, pg, daemonproc.Options{
		Group: connections(2), Certificate: &pair, Top: daemonproc.Map{"require_tls": true},
	})
	s.daemon.RequireProxy(t)
	_, err := s.tryConnect(t, s.dsn())
	wantCode(t, err, "28000")
	conn, err := s.connectTLS(t, &tls.Config{RootCAs: ca.Pool(), ServerName: "localhost"})
	if err != nil {
		t.Fatal(err)
	}
	if got := value(t, conn, "SELECT ssl::text FROM pg_stat_ssl WHERE pid = pg_backend_pid()"); got != "true" {
		t.Error("the database connection has no TLS")
	}
}

// TestChannelBinding needs a client that insists on SCRAM-SHA-256-PLUS.
func TestChannelBinding(t *testing.T) {
	ca, pair := authority(t)
	s := newStack(t, 0, daemonproc.Options{Group: connections(1), Certificate: &pair})
	s.daemon.RequireProxy(t)
	root, err := ca.Write(t.TempDir(), "root")
	if err != nil {
		t.Fatal(err)
	}
	for _, binding := range []string{"disable", "prefer", "require"} {
		out := s.runTool(t, "psql", "-X", "-A", "-t", "-c", "SELECT 'bound'",
			"sslmode=verify-full sslrootcert="+root+" channel_binding="+binding)
		if out != "bound\n" {
			t.Errorf("channel_binding=%s: %q", binding, out)
		}
	}
}

// TestCertificateIsReloaded replaces the files under a running daemon.
func TestCertificateIsReloaded(t *testing.T) {
	ca, pair := authority(t)
	s := newStack(t, 0, daemonproc.Options{Group: connections(1), Certificate: &pair})
	s.daemon.RequireProxy(t)
	old, err := s.connectTLS(t, &tls.Config{RootCAs: ca.Pool(), ServerName: "localhost"})
	if err != nil {
		t.Fatal(err)
	}
	next, nextPair := authority(t)
	if _, _, err := nextPair.Write(s.daemon.Dir, "server"); err != nil {
		t.Fatal(err)
	}
	eventually(t, "the new certificate is shown", func() bool {
		_, err := s.connectTLS(t, &tls.Config{RootCAs: next.Pool(), ServerName: "localhost"})
		return err == nil
	})
	if got := value(t, old, "SELECT 'still here'"); got != "still here" {
		t.Errorf("got %q", got)
	}
	// A file that is no certificate must not take away the one in use.
	if err := os.WriteFile(filepath.Join(s.daemon.Dir, "server.crt"), []byte("nonsense"), 0o600); err != nil {
		t.Fatal(err)
	}
	for range 20 {
		if _, err := s.connectTLS(t, &tls.Config{RootCAs: next.Pool(), ServerName: "localhost"}); err != nil {
			t.Fatalf("after a broken file: %v", err)
		}
	}
}

// TestDatabaseTLS goes through libpq's modes towards databases with and without TLS.
func TestDatabaseTLS(t *testing.T) {
	ca, pair := authority(t)
	strangers, _ := authority(t)
	dir := t.TempDir()
	caFile, err := ca.Write(dir, "ca")
	if err != nil {
		t.Fatal(err)
	}
	strangersFile, err := strangers.Write(dir, "strangers")
	if err != nil {
		t.Fatal(err)
	}
	withTLS := pgserver.Start(t, pgserver.Options{TLS: &pair})
	plain := pgserver.Shared(t, 0)
	for _, test := range []struct {
		name     string
		pg       *pgserver.Server
		tls      daemonproc.Map
		ok, used bool
	}{
		{"disable", withTLS, daemonproc.Map{"mode": "disable"}, true, false},
		{"prefer", withTLS, daemonproc.Map{"mode": "prefer"}, true, true},
		{"require", withTLS, daemonproc.Map{"mode": "require"}, true, true},
		{"verify-ca", withTLS, daemonproc.Map{"mode": "verify-ca", "ca_file": caFile}, true, true},
		{"verify-ca, other authority", withTLS, daemonproc.Map{"mode": "verify-ca", "ca_file": strangersFile}, false, false},
		{"verify-full", withTLS, daemonproc.Map{"mode": "verify-full", "ca_file": caFile}, true, true},
		{"verify-full, other authority", withTLS, daemonproc.Map{"mode": "verify-full", "ca_file": strangersFile}, false, false},
		{"verify-full, other name", withTLS, daemonproc.Map{"mode": "verify-full", "ca_file": caFile, "server_name": "db.example"}, false, false},
		{"prefer without", plain, daemonproc.Map{"mode": "prefer"}, true, false},
		{"require without", plain, daemonproc.Map{"mode": "require"}, false, false},
	} {
		t.Run(test.name, func(t *testing.T) {
			s := &stack{pg: test.pg}
			s.makeOwner(t, "")
			group := connections(1)
			group["tls"] = test.tls
			group["connection_borrow_timeout"] = "3s"
			s.opts = daemonproc.Options{
				Writer: test.pg.Addr(), Group: group,
				Users: []daemonproc.User{{Name: s.user, Password: s.password}},
			}
			s.daemon = daemonproc.Spawn(t, s.opts)
			s.daemon.RequireProxy(t)
			var conn *pgx.Conn
			var err error
			eventually(t, "the daemon answers", func() bool {
				conn, err = s.tryConnect(t, s.dsn())
				return !isRefused(err)
			})
			if err == nil {
				var used string
				used, err = tryValue(limit(t, 20*time.Second), conn, "SELECT ssl::text FROM pg_stat_ssl WHERE pid = pg_backend_pid()")
				if err == nil && (used == "true") != test.used {
					t.Errorf("TLS is used: %s", used)
				}
			}
			if (err == nil) != test.ok {
				t.Errorf("got %v", err)
			}
			if err != nil && code(err) == "" {
				t.Errorf("got %v, want an error of the protocol", err)
			}
		})
	}
}

// isRefused tells whether nobody listens yet.
func isRefused(err error) bool {
	var op *net.OpError
	return errors.As(err, &op) && op.Op == "dial"
}
