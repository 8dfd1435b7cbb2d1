// SPDX-License-Identifier: Apache-2.0

package dnsserver_test

import (
	"errors"
	"net"
	"net/netip"
	"slices"
	"testing"
	"time"

	"github.com/miekg/dns"

	"github.com/rdsproxy/rdsproxy/test/dnsserver"
)

const name = "writer.db.test"

func launch(t *testing.T) *dnsserver.Server {
	t.Helper()
	s, err := dnsserver.Launch("127.0.0.1", 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
	return s
}

func set(t *testing.T, s *dnsserver.Server, addresses ...string) {
	t.Helper()
	if err := s.Set(name, 5*time.Second, addresses...); err != nil {
		t.Fatal(err)
	}
}

func lookUp(t *testing.T, s *dnsserver.Server, want ...string) {
	t.Helper()
	found, err := s.Resolver().LookupNetIP(t.Context(), "ip", name+".")
	if err != nil {
		t.Fatal(err)
	}
	slices.SortFunc(found, netip.Addr.Compare)
	var got []string
	for _, a := range found {
		got = append(got, a.String())
	}
	if !slices.Equal(got, want) {
		t.Errorf("found %v, want %v", got, want)
	}
}

func TestNameMoves(t *testing.T) {
	s := launch(t)
	set(t, s, "127.0.0.2")
	lookUp(t, s, "127.0.0.2")
	set(t, s, "127.0.0.3", "::3")
	lookUp(t, s, "127.0.0.3", "::3")
	if n := s.Queries(name); n < 2 {
		t.Errorf("%d queries were counted", n)
	}
	if err := s.Set(name, time.Second, "localhost"); err == nil {
		t.Error("a name was taken for an address")
	}
}

func TestNoSuchName(t *testing.T) {
	s := launch(t)
	_, err := s.Resolver().LookupNetIP(t.Context(), "ip", name+".")
	if e, ok := errors.AsType[*net.DNSError](err); !ok || !e.IsNotFound {
		t.Errorf("got %v", err)
	}
}

// TestTTL: over both transports the answer says for how long it may be kept.
func TestTTL(t *testing.T) {
	s := launch(t)
	set(t, s, "127.0.0.2")
	for _, network := range []string{"udp", "tcp"} {
		query := new(dns.Msg)
		query.SetQuestion(name+".", dns.TypeA)
		c := &dns.Client{Net: network}
		reply, _, err := c.ExchangeContext(t.Context(), query, s.Addr)
		if err != nil {
			t.Fatal(network, err)
		}
		if len(reply.Answer) != 1 || reply.Answer[0].Header().Ttl != 5 {
			t.Errorf("%s: %v", network, reply.Answer)
		}
	}
}
