// SPDX-License-Identifier: Apache-2.0

package config_test

import (
	"errors"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/spf13/pflag"

	"github.com/rdsproxy/rdsproxy/pkg/config"
)

// minimal is the shortest configuration that works.
const minimal = `
target_groups:
  - writer: db.internal
auth:
  - {user: App, secret: app.json}
`

func parse(t *testing.T, text string) *config.Config {
	t.Helper()
	c, err := config.Parse(config.Options{File: "/etc/rdsproxy/proxy.yaml", Text: []byte(text)})
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func defaultTCP() config.TCP {
	return config.TCP{KeepaliveIdle: 30 * time.Second, KeepaliveInterval: 10 * time.Second, KeepaliveCount: 3}
}

func minimalConfig() *config.Config {
	return &config.Config{
		Endpoints: []config.Endpoint{{
			Name: "default", Listen: "127.0.0.1:6432", TargetGroup: "default", Role: config.ReadWrite, ReaderFallback: config.FallbackNone,
			TLS: config.EndpointTLS{MinVersion: "1.2"}, TCP: defaultTCP(),
		}},
		TargetGroups: []config.TargetGroup{{
			Name: "default", Engine: config.PostgreSQL, Writer: config.Address{Host: "db.internal", Port: 5432},
			Discovery: config.DiscoverDNS, ProbeUser: "App", ProbeDatabase: "postgres",
			MaxConnectionsPercent: 100, MaxIdleConnectionsPercent: 50, ConnectionBorrowTimeout: 2 * time.Minute,
			TLS: config.TargetTLS{Mode: config.TLSPrefer}, ConnectTimeout: 10 * time.Second,
			MaxConnectionLifetime: 24 * time.Hour, IdleConnectionTimeout: 5 * time.Minute,
			MaxPreparedStatements: 200, DefaultAuthScheme: config.SchemeNone, RetireAfterRotation: time.Hour, TCP: defaultTCP(),
		}},
		Auth: []config.Auth{{
			User: "App", Secret: "/etc/rdsproxy/app.json",
			IAMAuth: config.IAMDisabled, ClientPasswordAuthType: config.PasswordDefault,
		}},
		IAM:               config.IAM{Resource: config.Resource{Partition: "aws"}, MaxFailures: 30},
		SecretsManager:    config.SecretsManager{RefreshInterval: 5 * time.Minute},
		IdleClientTimeout: 30 * time.Minute, MaxClientConnections: 10000, MaxUnauthenticatedConnections: 1000,
		LoginTimeout: 30 * time.Second, DrainTimeout: time.Minute,
		Log:        config.Log{Level: config.LogInfo, Format: config.LogJSON},
		Admin:      config.Admin{Listen: "127.0.0.1:9127"},
		SecretsDir: "/etc/rdsproxy",
	}
}

var comparePrefixes = cmp.Comparer(func(a, b netip.Prefix) bool { return a == b })

func TestMinimal(t *testing.T) {
	if d := cmp.Diff(minimalConfig(), parse(t, minimal), comparePrefixes); d != "" {
		t.Error(d)
	}
}

func TestValues(t *testing.T) {
	tests := []struct {
		name, text string
		want       func(*config.Config)
	}{
		{
			"literal text of a scalar, whatever YAML makes of it", `
target_groups: [{name: default, writer: db.internal}]
endpoints: [{tls: {min_version: 1.3, cert_file: 2024-01-01, key_file: yes}}]
auth: [{user: App, secret: app.json}]`,
			func(c *config.Config) {
				c.Endpoints[0].TLS = config.EndpointTLS{
					CertFile: "/etc/rdsproxy/2024-01-01", KeyFile: "/etc/rdsproxy/yes", MinVersion: "1.3",
				}
			},
		},
		{
			"a mapping for an address", "target_groups: [{writer: {host: db.internal, port: 5433}}]\nauth: [{user: App, secret: app.json}]",
			func(c *config.Config) { c.TargetGroups[0].Writer.Port = 5433 },
		},
		{
			"a mapping without a port", "target_groups: [{writer: {host: db.internal}}]\nauth: [{user: App, secret: app.json}]",
			func(*config.Config) {},
		},
		{
			"an IPv6 address with a port", "target_groups: [{writer: '[2001:db8::1]:6000'}]\nauth: [{user: App, secret: app.json}]",
			func(c *config.Config) {
				c.TargetGroups[0].Writer = config.Address{Host: "2001:db8::1", Port: 6000}
				c.TargetGroups[0].Discovery = config.DiscoverNone
			},
		},
		{
			"an IPv6 address without", "target_groups: [{writer: '2001:db8::1'}]\nauth: [{user: App, secret: app.json}]",
			func(c *config.Config) {
				c.TargetGroups[0].Writer = config.Address{Host: "2001:db8::1", Port: 5432}
				c.TargetGroups[0].Discovery = config.DiscoverNone
			},
		},
		{
			"members, and the writer whichever it is", `
target_groups: [{members: ['10.0.0.1:5433', db2.internal], probe_database: app}]
auth: [{user: App, secret: app.json}]`,
			func(c *config.Config) {
				g := &c.TargetGroups[0]
				g.Writer, g.Discovery, g.ProbeDatabase = config.Address{}, config.DiscoverNone, "app"
				g.Members = []config.Address{{Host: "10.0.0.1", Port: 5433}, {Host: "db2.internal", Port: 5432}}
			},
		},
		{
			"a read-only endpoint over one reader", `
endpoints: [{role: read_only, members: [db2], max_replica_lag: 5s, reader_fallback: writer}]
target_groups: [{members: [db1, db2]}]
auth: [{user: App, secret: app.json}]`,
			func(c *config.Config) {
				e, g := &c.Endpoints[0], &c.TargetGroups[0]
				e.Role, e.MaxReplicaLag, e.ReaderFallback = config.ReadOnly, 5*time.Second, config.FallbackWriter
				e.Members = []config.Address{{Host: "db2", Port: 5432}}
				g.Writer, g.Discovery = config.Address{}, config.DiscoverNone
				g.Members = []config.Address{{Host: "db1", Port: 5432}, {Host: "db2", Port: 5432}}
			},
		},
		{
			"a DNS server", "target_groups: [{writer: db.internal, dns_server: '::1'}]\nauth: [{user: App, secret: app.json}]",
			func(c *config.Config) { c.TargetGroups[0].DNSServer = "[::1]:53" },
		},
		{
			"a DNS server on a port", "target_groups: [{writer: db.internal, dns_server: 'ns:5353'}]\nauth: [{user: App, secret: app.json}]",
			func(c *config.Config) { c.TargetGroups[0].DNSServer = "ns:5353" },
		},
		{
			"members beside a name", `
target_groups: [{writer: db.internal, members: [db1, db2]}]
auth: [{user: App, secret: app.json}]`,
			func(c *config.Config) {
				g := &c.TargetGroups[0]
				g.Discovery = config.DiscoverNone
				g.Members = []config.Address{{Host: "db1", Port: 5432}, {Host: "db2", Port: 5432}}
			},
		},
		{"null is as good as nothing", minimal + "log:\nadmin: ~\nloops: null\nrequire_tls:\n", func(*config.Config) {}},
		{"an empty list of endpoints", minimal + "endpoints: []\n", func(*config.Config) {}},
		{
			"words in another letter case", minimal + "log: {level: WARN, format: Console}\n",
			func(c *config.Config) { c.Log = config.Log{Level: config.LogWarn, Format: config.LogConsole} },
		},
		{
			"the ends of ranges", minimal + "idle_client_timeout: 8h\ndrain_timeout: 0\nmax_client_connections: 1\n",
			func(c *config.Config) {
				c.IdleClientTimeout, c.DrainTimeout, c.MaxClientConnections = 8*time.Hour, 0, 1
			},
		},
		{
			"idle share follows the share", `
target_groups: [{writer: db.internal, max_connections_percent: 31, connection_borrow_timeout: 0s}]
auth: [{user: App, secret: app.json}]`,
			func(c *config.Config) {
				g := &c.TargetGroups[0]
				g.MaxConnectionsPercent, g.MaxIdleConnectionsPercent, g.ConnectionBorrowTimeout = 31, 15, 0
			},
		},
		{
			"idle share of nothing", `
target_groups: [{writer: db.internal, max_idle_connections_percent: 0}]
auth: [{user: App, secret: app.json}]`,
			func(c *config.Config) { c.TargetGroups[0].MaxIdleConnectionsPercent = 0 },
		},
		{
			"TLS towards the database follows require_tls", `
require_tls: true
endpoints: [{tls: {cert_file: /a.crt, key_file: /a.key}}]
target_groups: [{writer: db.internal}]
auth: [{user: App, secret: app.json}]`,
			func(c *config.Config) {
				c.RequireTLS = true
				c.Endpoints[0].TLS = config.EndpointTLS{CertFile: "/a.crt", KeyFile: "/a.key", MinVersion: "1.2"}
				c.TargetGroups[0].TLS.Mode = config.TLSRequire
			},
		},
		{
			"unless told otherwise", `
require_tls: true
endpoints: [{tls: {cert_file: /a.crt, key_file: /a.key}}]
target_groups: [{writer: db.internal, tls: {mode: disable}}]
auth: [{user: App, secret: app.json}]`,
			func(c *config.Config) {
				c.RequireTLS = true
				c.Endpoints[0].TLS = config.EndpointTLS{CertFile: "/a.crt", KeyFile: "/a.key", MinVersion: "1.2"}
				c.TargetGroups[0].TLS.Mode = config.TLSDisable
			},
		},
		{
			"the only group needs no mention, whatever its name", `
target_groups: [{name: orders, writer: db.internal}]
auth: [{user: App, secret: app.json}]`,
			func(c *config.Config) { c.TargetGroups[0].Name, c.Endpoints[0].TargetGroup = "orders", "orders" },
		},
		{
			"several endpoints on free ports", `
endpoints: [{name: a, listen: 127.0.0.1:0}, {name: b, listen: 127.0.0.1:0}]
target_groups: [{writer: db.internal}]
auth: [{user: App, secret: app.json}]`,
			func(c *config.Config) {
				b := c.Endpoints[0]
				c.Endpoints = append(c.Endpoints, b)
				c.Endpoints[0].Name, c.Endpoints[1].Name = "a", "b"
				c.Endpoints[0].Listen, c.Endpoints[1].Listen = "127.0.0.1:0", "127.0.0.1:0"
			},
		},
		{
			"networks", minimal + "allowed_client_networks: [10.0.0.0/8, 192.0.2.1, '2001:db8::/32', '::ffff:192.0.2.2']\n",
			func(c *config.Config) {
				c.AllowedClientNetworks = []netip.Prefix{
					netip.MustParsePrefix("10.0.0.0/8"), netip.MustParsePrefix("192.0.2.1/32"),
					netip.MustParsePrefix("2001:db8::/32"), netip.MustParsePrefix("192.0.2.2/32"),
				}
			},
		},
		{"no admin listener", minimal + "admin: {listen: off}\n", func(c *config.Config) { c.Admin.Listen = "" }},
		{"none either", minimal + "admin: {listen: ''}\n", func(c *config.Config) { c.Admin.Listen = "" }},
		{
			"admin on localhost by name", minimal + "admin: {listen: 'localhost:9127'}\n",
			func(c *config.Config) { c.Admin.Listen = "localhost:9127" },
		},
		{
			"admin for others", minimal + "admin: {listen: ':9127', allow_remote: true}\n",
			func(c *config.Config) { c.Admin = config.Admin{Listen: ":9127", AllowRemote: true} },
		},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			want := minimalConfig()
			tt.want(want)
			if d := cmp.Diff(want, parse(t, tt.text), comparePrefixes); d != "" {
				t.Error(d)
			}
		})
	}
}

const arn = "arn:aws:secretsmanager:eu-west-1:123456789012:secret:prod/app-AbCdEf"

func TestPaths(t *testing.T) {
	text := func(more, secret string) string {
		return more + `
endpoints: [{tls: {cert_file: tls/a.crt, key_file: /k/a.key}}]
target_groups: [{writer: db, tls: {mode: verify-ca, ca_file: ../ca.pem}}]
auth: [{user: a, secret: '` + secret + `'}]
`
	}
	tests := []struct{ name, text, dir, secret string }{
		{"relative", text("", "app.json"), "/etc/rdsproxy", "/etc/rdsproxy/app.json"},
		{"in a relative folder", text("secrets_dir: s", "app.json"), "/etc/rdsproxy/s", "/etc/rdsproxy/s/app.json"},
		{"in an absolute folder", text("secrets_dir: /run/s", "x/app.json"), "/run/s", "/run/s/x/app.json"},
		{"absolute", text("secrets_dir: /run/s", "/x.json"), "/run/s", "/x.json"},
		{"a URI", text("secrets_dir: /run/s", "file:///x/my%20app.json"), "/run/s", "/x/my app.json"},
		{"a URI of this machine", text("", "file://localhost/x.json"), "/etc/rdsproxy", "/x.json"},
		{"a URI with one slash", text("", "FILE:/x.json"), "/etc/rdsproxy", "/x.json"},
		{"a relative URI", text("secrets_dir: /run/s", "file:x.json"), "/run/s", "/run/s/x.json"},
		{"an ARN", text("", arn), "/etc/rdsproxy", arn},
		{"a name in Secrets Manager", text("", "SecretsManager:prod/app"), "/etc/rdsproxy", "secretsmanager:prod/app"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			c := parse(t, tt.text)
			tls := c.Endpoints[0].TLS
			got := []string{tls.CertFile, tls.KeyFile, c.TargetGroups[0].TLS.CAFile, c.SecretsDir, c.Auth[0].Secret}
			want := []string{"/etc/rdsproxy/tls/a.crt", "/k/a.key", "/etc/ca.pem", tt.dir, tt.secret}
			if d := cmp.Diff(want, got); d != "" {
				t.Error(d)
			}
		})
	}
}

func TestPathsWithoutFile(t *testing.T) {
	t.Chdir(t.TempDir())
	here, err := os.Getwd()
	if err != nil {
		t.Fatal(err)
	}
	c, err := config.Parse(config.Options{Text: []byte(minimal)})
	if err != nil {
		t.Fatal(err)
	}
	if want := filepath.Join(here, "app.json"); c.Auth[0].Secret != want {
		t.Errorf("secret %s, want %s", c.Auth[0].Secret, want)
	}
}

func TestReadsFile(t *testing.T) {
	dir := t.TempDir()
	file := filepath.Join(dir, "proxy.yaml")
	if err := os.WriteFile(file, []byte("\ufeff"+minimal), 0o600); err != nil {
		t.Fatal(err)
	}
	c, err := config.Parse(config.Options{File: file})
	if err != nil {
		t.Fatal(err)
	}
	if want := filepath.Join(dir, "app.json"); c.Auth[0].Secret != want {
		t.Errorf("secret %s, want %s", c.Auth[0].Secret, want)
	}
}

func TestUnreadableFile(t *testing.T) {
	dir := t.TempDir()
	large := filepath.Join(dir, "large.yaml")
	if err := os.WriteFile(large, make([]byte, config.MaxFileSize+1), 0o600); err != nil {
		t.Fatal(err)
	}
	for file, want := range map[string]string{
		filepath.Join(dir, "none.yaml"): "none.yaml: cannot be read: no such file or directory; name a readable file with --config",
		dir:                             "cannot be read: is a directory",
		large:                           "is larger than 1048576 bytes",
	} {
		_, err := config.Parse(config.Options{File: file})
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, want %s", file, err, want)
		}
	}
}

// TestLayers proves the order of file, environment and flags on one setting of each type.
func TestLayers(t *testing.T) {
	file := minimal + `
log: {level: warn}
loops: 1
idle_client_timeout: 1m
require_tls: false
allowed_client_networks: [10.0.0.0/8]
secrets_dir: /file
`
	environ := []string{
		"RDSPROXY_LOG_LEVEL=error", "RDSPROXY_LOOPS=2", "RDSPROXY_IDLE_CLIENT_TIMEOUT=2m",
		"RDSPROXY_ALLOWED_CLIENT_NETWORKS=10.0.0.0/9, 10.128.0.0/9,", "RDSPROXY_SECRETS_DIR=/env",
	}
	args := []string{
		"--log-level=debug", "--loops=3", "--idle-client-timeout", "3m", "--allowed-client-networks=192.0.2.0/24",
		"--secrets-dir=/flag", "--admin-pprof",
	}
	type values struct {
		Level   config.LogLevel
		Loops   int
		Timeout time.Duration
		Network string
		Dir     string
		Pprof   bool
	}
	tests := []struct {
		name    string
		environ []string
		args    []string
		want    values
	}{
		{"file", nil, nil, values{"warn", 1, time.Minute, "10.0.0.0/8", "/file", false}},
		{"environment over file", environ, nil, values{"error", 2, 2 * time.Minute, "10.0.0.0/9", "/env", false}},
		{"flags over file", nil, args, values{"debug", 3, 3 * time.Minute, "192.0.2.0/24", "/flag", true}},
		{"flags over all", environ, args, values{"debug", 3, 3 * time.Minute, "192.0.2.0/24", "/flag", true}},
		{
			"empty variables",
			[]string{"RDSPROXY_LOOPS=", "RDSPROXY_LOG_LEVEL="},
			nil,
			values{"warn", 1, time.Minute, "10.0.0.0/8", "/file", false},
		},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			fs := pflag.NewFlagSet("test", pflag.ContinueOnError)
			fs.String("config", "", "not a setting")
			config.AddFlags(fs)
			if err := fs.Parse(append([]string{"--config=x"}, tt.args...)); err != nil {
				t.Fatal(err)
			}
			c, err := config.Parse(config.Options{Text: []byte(file), Environ: tt.environ, Flags: fs})
			if err != nil {
				t.Fatal(err)
			}
			got := values{c.Log.Level, c.Loops, c.IdleClientTimeout, c.AllowedClientNetworks[0].String(), c.SecretsDir, c.Admin.Pprof}
			if got != tt.want {
				t.Errorf("got %+v, want %+v", got, tt.want)
			}
		})
	}
}

// TestListsFromEnvironment shows a daemon without a file, and that a list replaces the one of the file whole.
func TestListsFromEnvironment(t *testing.T) {
	environ := []string{
		"HOME=/root",
		`RDSPROXY_TARGET_GROUPS=[{"writer": "db.internal"}]`,
		"RDSPROXY_AUTH=- user: App\n  secret: /etc/rdsproxy/app.json",
		"RDSPROXY_SECRETS_DIR=/etc/rdsproxy",
	}
	file := `
target_groups:
  - {name: first, writer: other, max_idle_connections_percent: 1, tls: {mode: verify-full}}
  - {name: second, writer: other}
auth: [{user: other, secret: other}]
`
	for _, text := range []string{"", file} {
		c, err := config.Parse(config.Options{Text: []byte(text), Environ: environ})
		if err != nil {
			t.Fatal(err)
		}
		if d := cmp.Diff(minimalConfig(), c, comparePrefixes); d != "" {
			t.Error(d)
		}
	}
}

func TestEnvironmentIgnores(t *testing.T) {
	_, err := config.Parse(config.Options{Text: []byte(minimal), Environ: []string{
		"RDSPROXY_CONFIG=/etc/x.yaml", "rdsproxy_loop=1", "PATH=/bin", "RDSPROXY_", "=",
		"RDSPROXY_PORT=tcp://10.0.0.1:5432", "RDSPROXY_SERVICE_HOST=10.0.0.1", "RDSPROXY_SERVICE_PORT=5432",
		"RDSPROXY_SERVICE_PORT_PG=5432", "RDSPROXY_PORT_5432_TCP=tcp://10.0.0.1:5432", "RDSPROXY_PORT_5432_TCP_PROTO=tcp",
		"RDSPROXY_PORT_5432_TCP_PORT=5432", "RDSPROXY_PORT_5432_TCP_ADDR=10.0.0.1",
		"RDSPROXY_ADMIN_SERVICE_HOST=10.0.0.2", "RDSPROXY_ADMIN_PORT_9127_TCP_ADDR=10.0.0.2",
	}})
	if err != nil {
		t.Error(err)
	}
}

func TestFlagIsChecked(t *testing.T) {
	fs := pflag.NewFlagSet("test", pflag.ContinueOnError)
	config.AddFlags(fs)
	err := fs.Parse([]string{"--loops=many"})
	if err == nil || !strings.Contains(err.Error(), `"many" is not a whole number; use 0 to 1024`) {
		t.Error(err)
	}
}

func TestErrorType(t *testing.T) {
	_, err := config.Parse(config.Options{File: "x.yaml", Text: []byte("loops: -1\n")})
	var e *config.Error
	if !errors.As(err, &e) {
		t.Fatalf("%T", err)
	}
	want := []config.Problem{
		{Source: "x.yaml:1", Path: "loops", What: "-1 is out of range", Do: "use 0 to 1024"},
		{Path: "target_groups", What: "is missing", Do: "add one with the address of the database, `- writer: host:port`"},
		{Path: "auth", What: "is missing", Do: "add the users that may log in, each with user and secret"},
	}
	if d := cmp.Diff(want, e.Problems); d != "" {
		t.Error(d)
	}
}
