// SPDX-License-Identifier: Apache-2.0

package config

import (
	"cmp"
	"fmt"
	"net"
	"regexp"
	"strconv"
	"strings"
	"time"
)

// IAM says how the tokens of clients are checked. A token is taken if one of the ways that are set up takes it.
type IAM struct {
	// Resource is what the proxy is in policies.
	Resource Resource `config:"resource"`
	// OwnKeys are access keys that the proxy knows, for tokens in the form of RDS.
	OwnKeys []OwnKey `config:"own_keys"`
	// STS has AWS tell whose a token is.
	STS STS `config:"sts"`
	// WebIdentity are the issuers of signed tokens (JWT).
	WebIdentity []WebIdentity `config:"web_identity"`
	// MaxFailures is how many tokens from one address may be refused at once; one more each second.
	MaxFailures int `config:"max_failures"`
}

// Enabled says whether there is any way to check tokens.
func (i IAM) Enabled() bool {
	return len(i.OwnKeys) > 0 || len(i.STS.Mappings) > 0 || len(i.WebIdentity) > 0
}

// bindsEndpoint says whether there are tokens that name the endpoint they are for.
func (i IAM) bindsEndpoint() bool { return len(i.OwnKeys) > 0 || len(i.STS.Mappings) > 0 }

// Resource is the proxy as policies name it: arn:PARTITION:rds-db:REGION:ACCOUNT:dbuser:ID/USER.
type Resource struct {
	Partition string `config:"partition"`
	Region    string `config:"region"`
	Account   string `config:"account"`
	ID        string `config:"id"`
}

// OwnKey is one access key.
type OwnKey struct {
	// Secret names the secret with the key, as Auth.Secret does.
	Secret string `config:"secret"`
	// PolicyFile is the absolute path of a policy document of IAM: what the key's tokens may do.
	PolicyFile string `config:"policy_file"`
}

// STS is the check by AWS.
type STS struct {
	// Regions are those whose STS may be asked; empty is all.
	Regions []string `config:"regions"`
	// Mappings from roles and users of AWS. Empty: STS is not asked.
	Mappings []Mapping `config:"mappings"`
}

// Mapping lets an identity log in as database users.
type Mapping struct {
	// Match is what the identity has to be; * and ? are wildcards.
	Match string `config:"match"`
	// Users are database users; a * at the end stands for the rest of a name.
	Users []string `config:"users"`
}

// WebIdentity is one issuer of signed tokens.
type WebIdentity struct {
	// Issuer is its URL, exactly as tokens name it.
	Issuer string `config:"issuer"`
	// Audience has to be among those of a token.
	Audience string `config:"audience"`
	// KeysURL is where the issuer's keys are; empty: as its discovery document says.
	KeysURL string `config:"keys_url"`
	// CAFile is the absolute path of a PEM bundle for the issuer's certificate; empty means the roots of the system.
	CAFile string `config:"ca_file"`
	// BearerFile is the absolute path of a file with a token that is shown to the issuer; empty means none.
	BearerFile string `config:"bearer_file"`
	// Claim is mapped to users.
	Claim    string    `config:"claim"`
	Mappings []Mapping `config:"mappings"`
}

// SecretsManager is how secrets in AWS Secrets Manager are read.
type SecretsManager struct {
	// Region of secrets that are given by name; empty is the environment's.
	Region string `config:"region"`
	// Endpoint is a URL in place of the public one.
	Endpoint string `config:"endpoint"`
	// RefreshInterval is how often a secret is read again.
	RefreshInterval time.Duration `config:"refresh_interval"`
	// MaxAge is how long a secret is used that cannot be read again; 0 is without end.
	MaxAge time.Duration `config:"max_age"`
}

// Addresses are the Names with a port: that of the name, or the one given, on which the endpoint listens.
func (e Endpoint) Addresses(port uint16) []Address {
	list := make([]Address, 0, len(e.Names))
	for _, name := range e.Names {
		a, bad := parseName(name)
		if bad.found() {
			continue // not in a Config that was checked
		}
		list = append(list, Address{Host: a.Host, Port: cmp.Or(a.Port, port)})
	}
	return list
}

// parseName reads host, host:port, [v6]:port, or a bare IPv6 address. A port that is not there is 0.
func parseName(text string) (Address, trouble) {
	v, bad := parseAddress(text)
	if bad.found() {
		return Address{}, bad
	}
	a := v.(Address)
	if _, _, err := net.SplitHostPort(text); err != nil {
		a.Port = 0
	}
	return a, trouble{}
}

var (
	partitionPattern = regexp.MustCompile(`^aws(-[a-z]+)*$`)
	regionPattern    = regexp.MustCompile(`^[a-z]{2,}(-[a-z]+)+-[0-9]+$`)
	accountPattern   = regexp.MustCompile(`^[0-9]{12}$`)
	resourcePattern  = regexp.MustCompile(`^[A-Za-z0-9-]{1,64}$`)
)

func (c *collector) region(path, region string) {
	if region != "" && !regionPattern.MatchString(region) {
		c.add(path, quote(region)+" is not a region", "write it like eu-central-1")
	}
}

func (c *collector) iam(cfg *Config) {
	i := &cfg.IAM
	if len(i.OwnKeys) > 0 {
		c.resource(i.Resource)
	}
	secrets := map[string]bool{}
	for n, k := range i.OwnKeys {
		path := fmt.Sprintf("iam.own_keys[%d]", n)
		switch {
		case k.Secret == "":
			c.add(path+".secret", "is missing", "name the secret with the access key")
		case secrets[k.Secret]:
			c.add(path+".secret", "is there twice", "remove one; a policy may have several statements")
		}
		secrets[k.Secret] = true
		if k.PolicyFile == "" {
			c.add(path+".policy_file", "is missing", "name the file with the policy that says which users the key may log in as")
		}
	}
	for n, r := range i.STS.Regions {
		c.region(fmt.Sprintf("iam.sts.regions[%d]", n), r)
	}
	if len(i.STS.Regions) > 0 && len(i.STS.Mappings) == 0 {
		c.add("iam.sts.mappings", "is missing", "say which roles may log in as which users, or remove iam.sts")
	}
	c.mappings("iam.sts.mappings", i.STS.Mappings)
	issuers := map[string]bool{}
	for n, w := range i.WebIdentity {
		path := fmt.Sprintf("iam.web_identity[%d]", n)
		c.webIdentity(path, w)
		if issuers[w.Issuer] {
			c.add(path+".issuer", quote(w.Issuer)+" is there twice", "put the mappings of an issuer together")
		}
		issuers[w.Issuer] = true
	}
}

func (c *collector) resource(r Resource) {
	for _, part := range []struct {
		name, value string
		form        *regexp.Regexp
		do          string
	}{
		{"partition", r.Partition, partitionPattern, "write aws, aws-cn or aws-us-gov"},
		{"region", r.Region, regionPattern, "write it like eu-central-1; tokens have to be made for it"},
		{"account", r.Account, accountPattern, "write the twelve digits that policies have"},
		{"id", r.ID, resourcePattern, "use the resource id that policies have, such as prx-0123456789abcdef0"},
	} {
		path := "iam.resource." + part.name
		if part.value == "" {
			c.add(path, "is missing: tokens by own_keys need it", part.do)
		} else if !part.form.MatchString(part.value) {
			c.add(path, quote(part.value)+" does not have the form of IAM", part.do)
		}
	}
}

func (c *collector) webIdentity(path string, w WebIdentity) {
	if w.Issuer == "" {
		c.add(path+".issuer", "is missing", "set the URL that tokens name as iss")
	}
	if w.Audience == "" {
		c.add(path+".audience", "is missing", "set the audience that tokens for this proxy have")
	}
	if len(w.Mappings) == 0 {
		c.add(path+".mappings", "is missing", "say which values of the claim may log in as which users")
	}
	c.mappings(path+".mappings", w.Mappings)
}

func (c *collector) mappings(path string, list []Mapping) {
	for n, m := range list {
		if m.Match == "" {
			c.add(fmt.Sprintf("%s[%d].match", path, n), "is missing", "write the identity that may log in")
		}
		if len(m.Users) == 0 {
			c.add(fmt.Sprintf("%s[%d].users", path, n), "is missing", "list the database users")
		}
	}
}

// names checks the names of an endpoint, and that there are some if tokens have to name one.
func (c *collector) names(path string, e Endpoint, cfg *Config) {
	for i, name := range e.Names {
		if _, bad := parseName(name); bad.found() {
			c.add(path+"["+strconv.Itoa(i)+"]", bad.what, bad.do)
		}
	}
	if len(e.Names) == 0 && e.TLS.Enabled() && cfg.IAM.bindsEndpoint() && cfg.takesTokens() {
		c.add(path, "is missing: IAM tokens name the host and the port that they are for",
			"list the names by which clients reach the endpoint")
	}
}

func (c *Config) takesTokens() bool {
	for _, a := range c.Auth {
		if a.IAMAuth != IAMDisabled {
			return true
		}
	}
	return false
}

// anyTLS says whether a client can use TLS anywhere.
func (c *Config) anyTLS() bool {
	for _, e := range c.Endpoints {
		if e.TLS.Enabled() {
			return true
		}
	}
	return false
}

// endToEnd says whether there is a database that users log in to without a secret.
func (c *Config) endToEnd() bool {
	for _, g := range c.TargetGroups {
		if g.DefaultAuthScheme == SchemeIAM {
			return true
		}
	}
	return false
}

// userIAM checks what one user's tokens need elsewhere.
func (c *collector) userIAM(path string, a Auth, cfg *Config) {
	switch {
	case a.IAMAuth == IAMDisabled || a.IAMAuth == "":
	case !cfg.IAM.Enabled():
		c.add(path+".iam_auth", string(a.IAMAuth)+" needs a way to check tokens", "set up iam.own_keys, iam.sts or iam.web_identity")
	case !cfg.anyTLS():
		c.add(path+".iam_auth", "tokens are taken over TLS only, and no endpoint has a certificate", "set endpoints[].tls")
	}
	switch {
	case a.Secret != "":
	case !cfg.endToEnd():
		c.add(path+".secret", "is missing", "name the file with the user's password")
	case a.IAMAuth != IAMRequired:
		c.add(path+".secret", "is missing, and clients have no other way to log in", "name a secret, or set iam_auth to required")
	}
}

// authScheme checks the login with tokens of the proxy's own. What the database asks for then is the token in clear, so it
// has to be known who reads it.
func (c *collector) authScheme(path string, g TargetGroup) {
	c.region(path+".region", g.Region)
	switch {
	case g.DefaultAuthScheme != SchemeIAM:
		if g.Region != "" {
			c.add(path+".region", "is not used with default_auth_scheme none", "remove it, or set default_auth_scheme to iam_auth")
		}
	case g.TLS.Mode != TLSVerifyCA && g.TLS.Mode != TLSVerifyFull:
		c.add(path+".tls.mode", string(g.TLS.Mode)+" lets a stranger take the tokens of default_auth_scheme iam_auth", "use verify-full")
	}
}

var (
	secretARN  = regexp.MustCompile(`^arn:aws[a-z-]*:secretsmanager:[a-z0-9-]+:[0-9]{12}:secret:[A-Za-z0-9/_+=.@!-]{1,519}$`)
	secretName = regexp.MustCompile(`^[A-Za-z0-9/_+=.@!-]{1,512}$`)
)

// managed marks the name of a secret in AWS Secrets Manager.
const managed = "secretsmanager:"

// inSecretsManager says whether a secret that was checked is in AWS Secrets Manager.
func inSecretsManager(secret string) bool {
	return strings.HasPrefix(secret, managed) || secretARN.MatchString(secret)
}
