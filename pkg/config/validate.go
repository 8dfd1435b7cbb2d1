// SPDX-License-Identifier: Apache-2.0

package config

import (
	"fmt"
	"net"
	"net/netip"
	"net/url"
	"regexp"
	"strconv"
	"strings"
)

// validate checks what concerns more than one value, or what is not supported yet. Single values were checked when they
// were read.
func (c *collector) validate(cfg *Config) {
	c.endpoints(cfg)
	c.targetGroups(cfg)
	c.auth(cfg)
	c.iam(cfg)
	c.secretsManager(cfg.SecretsManager)
	if cfg.AllowPublicClients && len(cfg.AllowedClientNetworks) > 0 {
		c.add("allow_public_clients", "contradicts allowed_client_networks, which closes the door to all others", "remove one of the two")
	}
	c.admin(cfg)
}

// namePattern is RDS Proxy's for names of proxies and endpoints.
var namePattern = regexp.MustCompile(`^[a-zA-Z](?:-?[a-zA-Z0-9]+)*$`)

const maxName = 63

// name checks one name of a list and that it is there once.
func (c *collector) name(path, name string, taken map[string]bool) {
	switch {
	case len(name) > maxName || !namePattern.MatchString(name):
		c.add(path, quote(name)+" is not a name", "use a letter, then letters, digits and single hyphens, 63 characters at most")
	case taken[name]:
		c.add(path, quote(name)+" is taken", "give each entry a name of its own")
	}
	taken[name] = true
}

func (c *collector) endpoints(cfg *Config) {
	names, listens := map[string]bool{}, map[string]bool{}
	for i, e := range cfg.Endpoints {
		path := fmt.Sprintf("endpoints[%d]", i)
		c.name(path+".name", e.Name, names)
		c.listen(path+".listen", e.Listen)
		if listens[e.Listen] && !strings.HasSuffix(e.Listen, ":0") {
			c.add(path+".listen", quote(e.Listen)+" is taken by another endpoint", "give each endpoint an address of its own")
		}
		listens[e.Listen] = true
		c.endpointGroup(path+".target_group", e.TargetGroup, cfg)
		c.readers(path, e, cfg)
		c.endpointTLS(path+".tls", e.TLS, cfg)
		c.names(path+".names", e, cfg)
	}
}

func (c *collector) endpointGroup(path, name string, cfg *Config) {
	if len(cfg.TargetGroups) == 0 || c.isBad("target_groups") {
		return // told once, for target_groups
	}
	names := make([]string, len(cfg.TargetGroups))
	for i, g := range cfg.TargetGroups {
		names[i] = g.Name
	}
	if name == "" {
		c.add(path, "is missing, and there are several target groups", "use one of "+strings.Join(names, ", "))
		return
	}
	if _, ok := cfg.TargetGroup(name); !ok {
		c.add(path, quote(name)+" is not the name of a target group", suggest(name, names))
	}
}

func (c *collector) endpointTLS(path string, t EndpointTLS, cfg *Config) {
	switch {
	case t.CertFile != "" && t.KeyFile == "":
		c.add(path+".key_file", "is missing beside cert_file", "name the file with the private key")
	case t.CertFile == "" && t.KeyFile != "":
		c.add(path+".cert_file", "is missing beside key_file", "name the file with the certificate")
	case !t.Enabled() && cfg.RequireTLS && !c.isBad(path+".cert_file"):
		c.add(path, "has no certificate, but require_tls is on", "set cert_file and key_file, or turn require_tls off")
	}
}

// listen checks an address to listen on.
func (c *collector) listen(path, listen string) {
	t := checkListen(listen)
	if t.found() {
		c.add(path, t.what, t.do)
	}
}

func checkListen(listen string) trouble {
	if t := refuseURL(listen); t.found() {
		return t
	}
	host, port, err := net.SplitHostPort(listen)
	if err != nil {
		return trouble{quote(listen) + " is not host:port", "write it like 127.0.0.1:6432 or [::1]:6432"}
	}
	if host != "" {
		if t := checkHost(host); t.found() {
			return t
		}
	}
	if _, err := strconv.ParseUint(port, 10, 16); err != nil {
		return trouble{quote(port) + " is not a port", "use 0 to 65535"}
	}
	return trouble{}
}

func (c *collector) targetGroups(cfg *Config) {
	if len(cfg.TargetGroups) == 0 {
		c.add("target_groups", "is missing", "add one with the address of the database, `- writer: host:port`")
	}
	names := map[string]bool{}
	for i, g := range cfg.TargetGroups {
		path := fmt.Sprintf("target_groups[%d]", i)
		c.name(path+".name", g.Name, names)
		c.members(path, g, cfg.Auth)
		if g.MaxIdleConnectionsPercent > g.MaxConnectionsPercent {
			c.add(path+".max_idle_connections_percent",
				fmt.Sprintf("%d is more than max_connections_percent, %d", g.MaxIdleConnectionsPercent, g.MaxConnectionsPercent),
				fmt.Sprintf("use 0 to %d", g.MaxConnectionsPercent))
		}
		if len(g.SessionPinningFilters) > 0 {
			c.add(path+".session_pinning_filters", "there are no filters: variables that clients set are tracked, and seldom pin",
				"remove it")
		}
		c.targetTLS(path+".tls", g.TLS)
		c.authScheme(path, g)
	}
}

func (c *collector) targetTLS(path string, t TargetTLS) {
	if t.CAFile != "" && t.Mode != TLSVerifyCA && t.Mode != TLSVerifyFull {
		c.add(path+".ca_file", "is not used with mode "+string(t.Mode), "use verify-full or verify-ca, or remove it")
	}
	if t.ServerName == "" {
		return
	}
	if t.Mode == TLSDisable {
		c.add(path+".server_name", "is not used with mode disable", "remove it, or use another mode")
	} else if bad := checkHost(t.ServerName); bad.found() {
		c.add(path+".server_name", bad.what, bad.do)
	}
}

func (c *collector) auth(cfg *Config) {
	if len(cfg.Auth) == 0 {
		c.add("auth", "is missing", "add the users that may log in, each with user and secret")
	}
	users := map[string]bool{}
	for i, a := range cfg.Auth {
		path := fmt.Sprintf("auth[%d]", i)
		switch {
		case a.User == "":
			c.add(path+".user", "is missing", "set the name that clients log in with")
		case users[a.User]:
			c.add(path+".user", quote(a.User)+" is there twice", "remove one")
		}
		users[a.User] = true
		c.userIAM(path, a, cfg)
	}
}

func (c *collector) secretsManager(m SecretsManager) {
	c.region("secrets_manager.region", m.Region)
	if m.Endpoint != "" {
		u, err := url.Parse(m.Endpoint)
		if err != nil || u.Host == "" || u.User != nil || (u.Scheme != "https" && u.Scheme != "http") {
			c.add("secrets_manager.endpoint", "is not a URL with a host, and without a user", "write it like https://vpce-1.secretsmanager.eu-central-1.vpce.amazonaws.com")
		}
	}
	if m.MaxAge != 0 && m.MaxAge < m.RefreshInterval {
		c.add("secrets_manager.max_age", "is less than refresh_interval: no secret would be young enough", "use more, or 0s for no limit")
	}
}

// schemePattern finds the scheme of a URI or an ARN. A single letter is left to Windows.
var schemePattern = regexp.MustCompile(`^([a-zA-Z][a-zA-Z0-9+.-]+):`)

// secretPath is the path that the name of a secret stands for; empty when it is missing or refused.
func (c *collector) secretPath(secret, path string) string {
	m := schemePattern.FindStringSubmatch(secret)
	if m == nil {
		return secret
	}
	switch strings.ToLower(m[1]) {
	case "file":
		u, err := url.Parse(secret)
		if err != nil || (u.Host != "" && u.Host != "localhost") || u.RawQuery != "" || u.Fragment != "" || u.Path+u.Opaque == "" {
			c.add(path, "is not a file URI of this machine", "write it like file:///run/secrets/app.json")
			return ""
		}
		if u.Opaque != "" {
			if name, err := url.PathUnescape(u.Opaque); err == nil {
				return name
			}
		}
		return u.Path
	case "arn":
		if secretARN.MatchString(secret) {
			return secret
		}
		c.add(path, "is not the ARN of a secret", "write it like arn:aws:secretsmanager:eu-central-1:123456789012:secret:app-AbCdEf")
	case "secretsmanager":
		if name := secret[len(managed):]; secretName.MatchString(name) {
			return managed + name
		}
		c.add(path, "is not the name of a secret", "use letters, digits and /_+=.@!- behind secretsmanager:")
	default:
		c.add(path, "secrets of the kind "+quote(m[1])+" are not supported", "use a file, an ARN, or secretsmanager:NAME")
	}
	return ""
}

func (c *collector) admin(cfg *Config) {
	if cfg.Admin.Listen == "" {
		return
	}
	if t := checkListen(cfg.Admin.Listen); t.found() {
		c.add("admin.listen", t.what, t.do)
		return
	}
	if !IsLoopback(cfg.Admin.Listen) && !cfg.Admin.AllowRemote {
		c.add("admin.listen", quote(cfg.Admin.Listen)+" is not a loopback address, and there is no login on the admin listener",
			"use 127.0.0.1, or set admin.allow_remote if the network keeps strangers away")
	}
	for i, e := range cfg.Endpoints {
		if e.Listen == cfg.Admin.Listen && !strings.HasSuffix(e.Listen, ":0") {
			c.add("admin.listen", quote(e.Listen)+fmt.Sprintf(" is taken by endpoints[%d]", i), "use another port")
		}
	}
}

// IsLoopback says whether a host:port to listen on can be reached from this machine only. Names other than localhost are
// taken to be reachable from elsewhere.
func IsLoopback(listen string) bool {
	host, _, err := net.SplitHostPort(listen)
	if err != nil {
		return false
	}
	if strings.EqualFold(host, "localhost") {
		return true
	}
	ip, err := netip.ParseAddr(host)
	return err == nil && ip.Unmap().IsLoopback()
}
