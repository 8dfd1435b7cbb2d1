// SPDX-License-Identifier: Apache-2.0

package pglogin_test

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/jackc/pgx/v5/pgconn"

	"github.com/rdsproxy/rdsproxy/pkg/auth"
	"github.com/rdsproxy/rdsproxy/pkg/proxy/login"
	"github.com/rdsproxy/rdsproxy/pkg/proxy/pglogin"
	"github.com/rdsproxy/rdsproxy/pkg/wire/postgres"
)

// plainPassword is for pgx, which prepares passwords in a way of its own.
const plainPassword = "secret"

func plainUsers(t *testing.T) users {
	t.Helper()
	u := users{}
	for name, m := range map[string]auth.Method{"ann": auth.SCRAM, "mona": auth.MD5, "clara": auth.Cleartext} {
		c, err := auth.NewCredential(name, plainPassword, m)
		if err != nil {
			t.Fatal(err)
		}
		u[name] = c
	}
	return u
}

// server accepts clients, logs each in and answers with what a session begins with. It returns its address and the
// outcomes, one per client.
func server(t *testing.T, cfg *pglogin.Config) (addr string, outcomes <-chan outcome) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ch := make(chan outcome, 10)
	var running sync.WaitGroup
	t.Cleanup(func() { _ = l.Close(); running.Wait() })
	running.Go(func() {
		for {
			nc, err := l.Accept()
			if err != nil {
				return
			}
			running.Go(func() {
				ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
				defer cancel()
				login, err := pglogin.Serve(ctx, nc, cfg)
				ch <- outcome{login, err}
				if err == nil && login.Kind == pglogin.Session {
					begin(nc, login)
				}
				_ = nc.Close()
			})
		}
	})
	return l.Addr().String(), ch
}

// begin sends what a session begins with and waits for the client to leave.
func begin(nc net.Conn, l *pglogin.Login) {
	if l.TLS != nil {
		nc = l.TLS
	}
	key := make([]byte, 4)
	if l.ProtocolMinor >= 2 {
		key = make([]byte, 32)
	}
	out := postgres.AppendParameterStatus(nil, "server_version", "17.0")
	out = postgres.AppendBackendKeyData(out, 1, key)
	_, _ = nc.Write(postgres.AppendReadyForQuery(out, postgres.TxIdle))
	_, _ = nc.Read(make([]byte, 5))
}

func TestPgconn(t *testing.T) {
	certificates := map[string]tls.Certificate{}
	for _, kind := range []string{"ecdsa", "rsa", "ed25519"} {
		certificates[kind] = certificate(kind)
	}
	for _, c := range []struct {
		name, user, dsn string
		certificate     string // offered; "" for none
		version         uint16 // of TLS, at most
		require         bool
		want            string // method, minor, settings; or the error
	}{
		{"scram", "ann", "sslmode=disable", "", 0, false, "scram-sha-256 0"},
		{"scram, 3.2", "ann", "sslmode=disable min_protocol_version=3.2", "", 0, false, "scram-sha-256 2"},
		{"scram, up to 3.2", "ann", "sslmode=disable max_protocol_version=3.2", "", 0, false, "scram-sha-256 2"},
		{"md5", "mona", "sslmode=disable", "", 0, false, "md5 0"},
		{
			"settings", "ann", "sslmode=disable application_name=a options='-c jit=off'", "", 0, false,
			"scram-sha-256 0 jit=off application_name=a",
		},
		{"prefer TLS, none there", "ann", "sslmode=prefer", "", 0, false, "scram-sha-256 0"},
		{"TLS 1.3", "ann", "sslmode=require", "ecdsa", 0, true, "scram-sha-256-plus 0"},
		{"TLS 1.2", "ann", "sslmode=require", "ecdsa", tls.VersionTLS12, true, "scram-sha-256-plus 0"},
		{"verified", "ann", "sslmode=verify-full", "rsa", 0, true, "scram-sha-256-plus 0"},
		{"3.2 over TLS", "ann", "sslmode=require min_protocol_version=3.2", "rsa", 0, true, "scram-sha-256-plus 2"},
		{
			"channel binding required", "ann", "sslmode=require channel_binding=require", "ecdsa", 0, true,
			"scram-sha-256-plus 0",
		},
		{
			"channel binding required, RSA, TLS 1.2", "ann", "sslmode=require channel_binding=require", "rsa",
			tls.VersionTLS12, true, "scram-sha-256-plus 0",
		},
		{
			"channel binding disabled", "ann", "sslmode=require channel_binding=disable", "ecdsa", 0, true,
			"scram-sha-256 0",
		},
		{
			"no binding for Ed25519", "ann", "sslmode=require channel_binding=disable", "ed25519", 0, true,
			"scram-sha-256 0",
		},
		{"direct TLS", "ann", "sslmode=require sslnegotiation=direct", "ecdsa", 0, true, "scram-sha-256-plus 0"},
		{
			"direct TLS 1.2", "ann", "sslmode=require sslnegotiation=direct", "rsa", tls.VersionTLS12, true,
			"scram-sha-256-plus 0",
		},
		{"md5 over TLS", "mona", "sslmode=require", "ecdsa", 0, true, "md5 0"},
		{"cleartext over TLS", "clara", "sslmode=require", "ecdsa", 0, true, "password 0"},
		{"TLS required", "ann", "sslmode=disable", "ecdsa", 0, true, "28000: This RDS Proxy requires TLS connections"},
		{
			"wrong password", "ann", "sslmode=disable password=x", "", 0, false,
			`28P01: password authentication failed for user "ann"`,
		},
		{
			"unknown user", "nobody", "sslmode=disable", "", 0, false,
			`28P01: password authentication failed for user "nobody"`,
		},
		{
			"wrong password over TLS", "ann", "sslmode=require password=x", "ecdsa", 0, true,
			`28P01: password authentication failed for user "ann"`,
		},
	} {
		t.Run(c.name, func(t *testing.T) {
			cfg := &pglogin.Config{Users: plainUsers(t), RequireTLS: c.require}
			if c.certificate != "" {
				cfg.TLS = offer(certificates[c.certificate])
			}
			addr, outcomes := server(t, cfg)
			host, port, _ := strings.Cut(addr, ":")
			dsn := fmt.Sprintf("host=%s port=%s user=%s password=%s dbname=shop connect_timeout=5 %s",
				host, port, c.user, plainPassword, c.dsn)
			got, err := connect(t, dsn, certificates[c.certificate], c.version)
			var refused *pgconn.PgError
			switch {
			case errors.As(err, &refused):
				got = refused.Code + ": " + refused.Message
			case err != nil:
				t.Fatal(err)
			}
			o := <-outcomes
			var left *login.Error
			if err == nil && errors.As(o.err, &left) && left.Reason == login.Disconnected {
				o = <-outcomes // sslmode=prefer comes again when there is no TLS
			}
			if o.err == nil {
				got = fmt.Sprint(o.login.AuthMethod, " ", o.login.ProtocolMinor)
				for _, s := range o.login.Settings {
					got += " " + s.Name + "=" + s.Value
				}
				if o.login.User != c.user || o.login.Database != "shop" || (o.login.TLS != nil) != (c.certificate != "") {
					t.Errorf("%+v", o.login)
				}
			}
			contains(t, o.err, plainPassword)
			if got != c.want {
				t.Errorf("%q, want %q (%v)", got, c.want, o.err)
			}
		})
	}
}

// connect logs in with pgconn and leaves.
func connect(t *testing.T, dsn string, cert tls.Certificate, version uint16) (string, error) {
	t.Helper()
	conf, err := pgconn.ParseConfig(dsn)
	if err != nil {
		t.Fatal(err)
	}
	if conf.TLSConfig != nil {
		conf.TLSConfig.MaxVersion = version
		if len(cert.Certificate) > 0 {
			leaf, err := x509.ParseCertificate(cert.Certificate[0])
			if err != nil {
				t.Fatal(err)
			}
			conf.TLSConfig.RootCAs = x509.NewCertPool()
			conf.TLSConfig.RootCAs.AddCert(leaf)
		}
	}
	c, err := pgconn.ConnectConfig(t.Context(), conf)
	if err != nil {
		return "", err
	}
	return "", c.Close(t.Context())
}

// TestPgconnCancel: the cancel request of a real client arrives, with a long key too.
func TestPgconnCancel(t *testing.T) {
	for _, c := range []struct {
		version string
		length  int
	}{{"3.0", 4}, {"3.2", 32}} {
		addr, outcomes := server(t, &pglogin.Config{Users: plainUsers(t)})
		host, port, _ := strings.Cut(addr, ":")
		conn, err := pgconn.Connect(t.Context(), fmt.Sprintf("host=%s port=%s user=ann password=%s sslmode=disable "+
			"min_protocol_version=%s max_protocol_version=%s", host, port, plainPassword, c.version, c.version))
		if err != nil {
			t.Fatal(err)
		}
		if o := <-outcomes; o.err != nil {
			t.Fatal(o.err)
		}
		if err := conn.CancelRequest(t.Context()); err != nil {
			t.Errorf("%s: %v", c.version, err)
		}
		o := <-outcomes
		if o.err != nil || o.login.Kind != pglogin.Cancel || o.login.CancelPID != 1 || len(o.login.CancelSecret) != c.length {
			t.Errorf("%s: %+v", c.version, o)
		}
		_ = conn.Close(t.Context())
	}
}

// TestCertificateOfTheConnection: with several certificates, the binding is that of the one which was shown.
func TestCertificateOfTheConnection(t *testing.T) {
	rsa, ecdsa := certificate("rsa"), certificate("ecdsa")
	for name, base := range map[string]*tls.Config{
		"list":     {Certificates: []tls.Certificate{rsa, ecdsa}},
		"function": {GetCertificate: func(*tls.ClientHelloInfo) (*tls.Certificate, error) { return &ecdsa, nil }},
		"function that leaves it to the list": {
			Certificates:   []tls.Certificate{rsa},
			GetCertificate: func(*tls.ClientHelloInfo) (*tls.Certificate, error) { return nil, nil },
		},
		"configuration per client, not used": {
			Certificates:       []tls.Certificate{rsa},
			GetConfigForClient: func(*tls.ClientHelloInfo) (*tls.Config, error) { return nil, errors.New("used") },
		},
	} {
		t.Run(name, func(t *testing.T) {
			addr, outcomes := server(t, &pglogin.Config{Users: plainUsers(t), TLS: func() *tls.Config { return base }})
			host, port, _ := strings.Cut(addr, ":")
			_, err := connect(t, fmt.Sprintf("host=%s port=%s user=ann password=%s sslmode=require channel_binding=require",
				host, port, plainPassword), tls.Certificate{}, 0)
			if o := <-outcomes; err != nil || o.err != nil || o.login.AuthMethod != "scram-sha-256-plus" {
				t.Errorf("%v, %+v", err, o)
			}
		})
	}
	for name, base := range map[string]*tls.Config{
		"none":   {},
		"broken": {GetCertificate: func(*tls.ClientHelloInfo) (*tls.Certificate, error) { return nil, errors.New("gone") }},
	} {
		addr, outcomes := server(t, &pglogin.Config{Users: plainUsers(t), TLS: func() *tls.Config { return base }})
		host, port, _ := strings.Cut(addr, ":")
		if _, err := connect(t, fmt.Sprintf("host=%s port=%s user=ann sslmode=require", host, port),
			tls.Certificate{}, 0); err == nil {
			t.Errorf("%s: connected", name)
		}
		var e *login.Error
		if o := <-outcomes; !errors.As(o.err, &e) || e.Reason != login.TLSHandshake {
			t.Errorf("%s: %v", name, o.err)
		}
	}
}

// TestRenewedCertificate: the next client sees the certificate that was put in place, bound to it.
func TestRenewedCertificate(t *testing.T) {
	old, renewed := certificate("ecdsa"), certificate("rsa")
	var current atomic.Pointer[tls.Config]
	addr, outcomes := server(t, &pglogin.Config{Users: plainUsers(t), TLS: current.Load})
	host, port, _ := strings.Cut(addr, ":")
	for _, cert := range []tls.Certificate{old, old, renewed, renewed, old} {
		if c := current.Load(); c == nil || &c.Certificates[0].Certificate[0][0] != &cert.Certificate[0][0] {
			current.Store(&tls.Config{Certificates: []tls.Certificate{cert}})
		}
		_, err := connect(t, fmt.Sprintf("host=%s port=%s user=ann password=%s sslmode=verify-full channel_binding=require",
			host, port, plainPassword), cert, 0)
		if o := <-outcomes; err != nil || o.err != nil {
			t.Errorf("%v, %v", err, o.err)
		}
	}
}
