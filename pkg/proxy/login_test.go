// SPDX-License-Identifier: Apache-2.0

package proxy_test

import (
	"context"
	"crypto/tls"
	"net"
	"net/netip"
	"sync/atomic"
	"testing"
	"time"

	"github.com/rdsproxy/rdsproxy/pkg/auth"
	"github.com/rdsproxy/rdsproxy/pkg/proxy"
	"github.com/rdsproxy/rdsproxy/test/certs"
)

// TestAdmission: every way in, and every way not to get in, gives its place back.
func TestAdmission(t *testing.T) {
	s := newScene(t, plan{settings: func(o *proxy.Settings) {
		o.MaxClients, o.MaxUnauthenticated, o.LoginTimeout = 3, 2, 500*time.Millisecond
	}})
	failed := func(reason string) uint64 { return s.stats().Endpoints[0].Failed[reason] }
	// Too many that have not logged in.
	silent := make([]net.Conn, 2)
	for i := range silent {
		nc, err := s.dial()
		if err != nil {
			t.Fatal(err)
		}
		defer nc.Close()
		silent[i] = nc
	}
	eventually(t, "both are there", func() bool { return s.stats().Endpoints[0].Unauthenticated == 2 })
	if nc, err := s.dial(); err == nil {
		if _, err := nc.Read(make([]byte, 1)); err == nil {
			t.Error("a third one was answered")
		}
		nc.Close()
	}
	eventually(t, "it is counted", func() bool { return failed("too_many_unauthenticated") == 1 })
	// Their time runs out.
	eventually(t, "they are sent away", func() bool { return failed("timeout") == 2 })
	// Garbage, a wrong user, a client that leaves.
	for i, text := range []string{"GET / HTTP/1.1\r\n\r\n", "\x00\x00\x00\x04", "\x16\x03\x01\x00\x05hello", ""} {
		nc, err := s.dial()
		if err != nil {
			t.Fatal(err)
		}
		if _, err := nc.Write([]byte(text)); err != nil {
			t.Error(err)
		}
		if i == 3 {
			nc.Close()
		}
		_, _ = nc.Read(make([]byte, 100))
		nc.Close()
	}
	nobody := func() {
		t.Helper()
		eventually(t, "nobody logs in", func() bool { return s.stats().Endpoints[0].Unauthenticated == 0 })
	}
	nobody()
	_, err := s.tryClient("stranger")
	s.wantState(err, "28P01")
	// As many as may be, and one more.
	nobody()
	clients := s.spread(3)
	_, err = s.tryClient("app")
	s.wantState(err, "53300")
	if n := failed("too_many_clients"); n != 1 {
		t.Errorf("%d clients too many", n)
	}
	hangUpNow(clients[0])
	eventually(t, "there is room again", func() bool { return s.clients() == 2 })
	nobody()
	s.client()
}

// TestAddresses: who comes from the wrong place is not even asked.
func TestAddresses(t *testing.T) {
	var open atomic.Bool
	s := newScene(t, plan{settings: func(o *proxy.Settings) {
		o.Admits = func(a netip.Addr) bool { return open.Load() && a.IsLoopback() && a.Is4() }
	}})
	if _, err := s.tryClient("app"); err == nil {
		t.Error("let in")
	}
	if n := s.stats().Endpoints[0].Failed["address_not_allowed"]; n == 0 {
		t.Error("not counted")
	}
	open.Store(true)
	s.must(s.client(), "x")
}

// crashing has a defect for one user.
type crashing struct{ everybody }

func (l crashing) Lookup(user string) (auth.Credential, bool) {
	if user == "crash" {
		panic("injected")
	}
	return l.everybody.Lookup(user)
}

func TestPanicInLogin(t *testing.T) {
	s := newScene(t, plan{endpoint: func(o *proxy.EndpointOptions) { o.Users = crashing{} }})
	c := s.client()
	if _, err := s.tryClient("crash"); err == nil {
		t.Error("let in")
	}
	s.must(c, "x")
	if n := s.stats().Endpoints[0].Failed["panic"]; n == 0 {
		t.Error("not counted")
	}
	hangUpNow(c)
	s.settled()
}

func serverTLS(t testing.TB) *tls.Config {
	t.Helper()
	ca, err := certs.NewAuthority("test")
	if err != nil {
		t.Fatal(err)
	}
	pair, err := ca.Issue(certs.Request{})
	if err != nil {
		t.Fatal(err)
	}
	cert, err := tls.X509KeyPair(pair.CertPEM, pair.KeyPEM)
	if err != nil {
		t.Fatal(err)
	}
	return &tls.Config{Certificates: []tls.Certificate{cert}}
}

// TestTLS: clients with and without TLS are counted apart, and a big result comes
// through.
func TestTLS(t *testing.T) {
	conf := serverTLS(t)
	s := newScene(t, plan{max: 2, endpoint: func(o *proxy.EndpointOptions) { o.TLS = func() *tls.Config { return conf } }})
	encrypted := s.client("sslmode=require")
	if _, ok := encrypted.Conn().(*tls.Conn); !ok {
		t.Fatal("no TLS")
	}
	ctx, stop := context.WithTimeout(context.Background(), patience)
	defer stop()
	plain := s.client()
	s.must(encrypted, "encrypted")
	s.must(plain, "plain")
	results, err := encrypted.Exec(ctx, "SELECT 'do:rows 500 20000'").ReadAll()
	if err != nil || len(results[0].Rows) != 500 {
		t.Errorf("%v, %d rows", err, len(results[0].Rows))
	}
	if e := s.stats().Endpoints[0]; e.Open != [2]uint64{1, 1} || e.Simple != [2]uint64{1, 2} {
		t.Errorf("open %v, queries %v", e.Open, e.Simple)
	}
	hangUpNow(encrypted)
	hangUpNow(plain)
	s.settled()
}
