// SPDX-License-Identifier: Apache-2.0

package config

import (
	"fmt"
	"net"
	"net/netip"
	"regexp"
	"slices"
	"strings"
)

// deriveMembers fills in how the members of a target group are found and asked.
func (c *collector) deriveMembers(g *TargetGroup, users []Auth) {
	if g.Discovery == "" {
		g.Discovery = DiscoverNone
		if len(g.Members) == 0 && isName(g.Writer.Host) {
			g.Discovery = DiscoverDNS
		}
	}
	if g.DNSServer != "" {
		if _, _, err := net.SplitHostPort(g.DNSServer); err != nil {
			g.DNSServer = net.JoinHostPort(strings.Trim(g.DNSServer, "[]"), "53")
		}
	}
	if g.ProbeUser == "" {
		if i := slices.IndexFunc(users, func(a Auth) bool { return g.canLogIn(a) }); i >= 0 {
			g.ProbeUser = users[i].User
		}
	}
}

// canLogIn tells whether the proxy can log in to the database as a user by itself.
func (g *TargetGroup) canLogIn(a Auth) bool {
	return a.Secret != "" || g.DefaultAuthScheme == SchemeIAM
}

func isName(host string) bool {
	_, err := netip.ParseAddr(host)
	return host != "" && err != nil
}

// auroraCluster is the name of an endpoint of an Aurora cluster, from which the names of its instances can be made.
var auroraCluster = regexp.MustCompile(`^[^.]+\.cluster-(custom-|ro-)?[^.]+\.`)

// members checks where the servers of a target group are, and how they are asked.
func (c *collector) members(path string, g TargetGroup, users []Auth) {
	if g.Writer == (Address{}) && len(g.Members) == 0 {
		if !c.isBad(path + ".members") {
			c.add(path+".writer", "is missing", "set the address of the database, host:port")
		}
		return
	}
	taken := map[Address]bool{}
	for i, m := range g.Members {
		if taken[m] {
			c.add(fmt.Sprintf("%s.members[%d]", path, i), quote(m.String())+" is there twice", "remove one")
		}
		taken[m] = true
	}
	if g.Discovery != DiscoverNone && !isName(g.Writer.Host) {
		c.add(path+".discovery", string(g.Discovery)+" needs a host name as writer", "name the writer's endpoint, or use static")
	}
	if g.DNSServer != "" {
		if t := checkListen(g.DNSServer); t.found() {
			c.add(path+".dns_server", t.what, t.do)
		}
	}
	c.instancePattern(path, g)
	i := slices.IndexFunc(users, func(a Auth) bool { return a.User == g.ProbeUser })
	switch {
	case g.ProbeUser == "" || c.isBad("auth"):
	case i < 0:
		c.add(path+".probe_user", quote(g.ProbeUser)+" is not in auth", "add it there with its secret, or name another")
	case !g.canLogIn(users[i]):
		c.add(path+".probe_user", quote(g.ProbeUser)+" has no secret", "give it one, or name another")
	}
}

func (c *collector) instancePattern(path string, g TargetGroup) {
	switch p := g.InstancePattern; {
	case g.Discovery != DiscoverAurora && p != "":
		c.add(path+".instance_pattern", "is for discovery aurora only", "remove it")
	case g.Discovery != DiscoverAurora:
	case p == "" && isName(g.Writer.Host) && !auroraCluster.MatchString(g.Writer.Host):
		c.add(path+".instance_pattern", "is missing, and writer is no endpoint of an Aurora cluster",
			"write it like ?.abc123.eu-central-1.rds.amazonaws.com")
	case p != "" && (strings.Count(p, "?") != 1 || checkHost(strings.Replace(p, "?", "a", 1)).found()):
		c.add(path+".instance_pattern", quote(p)+" is no host name with one question mark", "write it like ?.abc123.eu-central-1.rds.amazonaws.com")
	}
}

// readers checks which readers serve an endpoint.
func (c *collector) readers(path string, e Endpoint, cfg *Config) {
	if e.Role != ReadOnly {
		for _, given := range []struct {
			name string
			is   bool
		}{
			{"members", len(e.Members) > 0},
			{"max_replica_lag", e.MaxReplicaLag != 0},
			{"reader_fallback", e.ReaderFallback != FallbackNone},
		} {
			if given.is {
				c.add(path+"."+given.name, "is for endpoints with role read_only", "remove it, or set role to read_only")
			}
		}
		return
	}
	g, ok := cfg.TargetGroup(e.TargetGroup)
	if !ok || g.Discovery != DiscoverNone {
		return // readers are found later
	}
	for i, m := range e.Members {
		if !slices.Contains(g.Members, m) {
			c.add(fmt.Sprintf("%s.members[%d]", path, i), quote(m.String())+" is not a member of the target group", "add it there, or remove it here")
		}
	}
}
