// SPDX-License-Identifier: Apache-2.0

package config_test

import (
	"net/netip"
	"testing"

	"github.com/rdsproxy/rdsproxy/pkg/config"
)

func TestAllowsClient(t *testing.T) {
	private := []string{
		"127.0.0.1", "127.9.9.9", "::1", "10.1.2.3", "172.16.0.1", "172.31.255.255", "192.168.1.1", "169.254.1.1",
		"fe80::1%eth0", "fd00::1", "100.64.0.1", "100.127.255.255", "::ffff:10.1.2.3",
	}
	public := []string{
		"8.8.8.8", "172.32.0.1", "172.15.255.255", "100.63.255.255", "100.128.0.0", "2001:db8::1", "2600::1",
		"::ffff:8.8.8.8", "0.0.0.0", "::", "224.0.0.1", "255.255.255.255",
	}
	for _, a := range private {
		check(t, &config.Config{}, a, true)
		check(t, &config.Config{AllowPublicClients: true}, a, true)
	}
	for _, a := range public {
		check(t, &config.Config{}, a, false)
		check(t, &config.Config{AllowPublicClients: true}, a, true)
	}
	listed := &config.Config{AllowedClientNetworks: []netip.Prefix{
		netip.MustParsePrefix("10.1.0.0/16"), netip.MustParsePrefix("8.8.8.8/32"), netip.MustParsePrefix("fe80::/10"),
	}}
	for a, want := range map[string]bool{
		"10.1.2.3": true, "::ffff:10.1.2.3": true, "8.8.8.8": true, "fe80::1%eth0": true,
		"10.2.0.1": false, "127.0.0.1": false, "::1": false, "8.8.4.4": false,
	} {
		check(t, listed, a, want)
	}
	if (&config.Config{AllowPublicClients: true}).AllowsClient(netip.Addr{}) {
		t.Error("an invalid address is allowed")
	}
}

func check(t *testing.T, c *config.Config, addr string, want bool) {
	t.Helper()
	if got := c.AllowsClient(netip.MustParseAddr(addr)); got != want {
		t.Errorf("%s with %v/%v: %v, want %v", addr, c.AllowPublicClients, c.AllowedClientNetworks, got, want)
	}
}

func TestIsLoopback(t *testing.T) {
	for listen, want := range map[string]bool{
		"127.0.0.1:1": true, "127.1.2.3:0": true, "[::1]:1": true, "localhost:1": true, "LocalHost:1": true, "[::ffff:127.0.0.1]:1": true,
		":1": false, "0.0.0.0:1": false, "[::]:1": false, "10.0.0.1:1": false, "db:1": false, "127.0.0.1": false, "": false,
		"localhost.example.com:1": false,
	} {
		if got := config.IsLoopback(listen); got != want {
			t.Errorf("%q: %v, want %v", listen, got, want)
		}
	}
}

func TestAddressString(t *testing.T) {
	for a, want := range map[config.Address]string{
		{}:                             "",
		{Host: "db", Port: 5432}:       "db:5432",
		{Host: "2001:db8::1", Port: 1}: "[2001:db8::1]:1",
	} {
		if got := a.String(); got != want {
			t.Errorf("%q, want %q", got, want)
		}
	}
}

func TestTargetGroup(t *testing.T) {
	c := &config.Config{TargetGroups: []config.TargetGroup{{Name: "a"}, {Name: "b", MaxConnections: 7}}}
	if g, ok := c.TargetGroup("b"); !ok || g.MaxConnections != 7 {
		t.Error(g, ok)
	}
	if g, ok := c.TargetGroup("c"); ok || g.Name != "" {
		t.Error(g, ok)
	}
}
