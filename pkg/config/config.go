// SPDX-License-Identifier: Apache-2.0

// Package config turns the operator's text into one checked value that never changes afterwards.
//
// Three layers are read in this order, the later one winning: the file (YAML), the environment (RDSPROXY_...), and the
// flags of the command line. What comes out is a Config, or an Error that lists every problem found, each with the place
// it was found at and what to do about it. Unknown keys are problems, so a misspelt setting never falls silently back to
// its default. Names of users, endpoints and databases are always values in lists, never keys.
//
// The settings carry the names that Amazon RDS Proxy gives them, in snake case, with its defaults and ranges. The table in
// fields.go is the one place that says for each of them the default, the range and whether a reload changes it; Reference
// hands it out, and docs/configuration.md is made from it.
//
// Nothing outside this package knows how the text is read.
package config

import (
	"net"
	"net/netip"
	"strconv"
	"time"
)

// Config is the whole configuration of a daemon. It is built by Parse only, complete (defaults are filled in, relative paths
// are resolved against the folder of the file) and checked. Treat it as immutable, slices included: readers share it without
// a lock, and a reload replaces it as a whole.
type Config struct {
	// Endpoints are the addresses clients connect to; at least one. Names and listen addresses are unique.
	Endpoints []Endpoint `config:"endpoints"`
	// TargetGroups are the databases behind the endpoints; at least one. Names are unique.
	TargetGroups []TargetGroup `config:"target_groups"`
	// Auth lists who may log in, and with which secret; at least one. Users are unique.
	Auth []Auth `config:"auth"`
	// IAM says how IAM tokens of clients are checked.
	IAM IAM `config:"iam"`
	// SecretsManager is how secrets in AWS Secrets Manager are read.
	SecretsManager SecretsManager `config:"secrets_manager"`

	// IdleClientTimeout closes a client connection that has sent nothing for so long. 1s to 8h.
	IdleClientTimeout time.Duration `config:"idle_client_timeout"`
	// RequireTLS refuses clients that do not start TLS. Each endpoint then has a certificate.
	RequireTLS bool `config:"require_tls"`
	// MaxClientConnections bounds the client connections of the daemon, those that have not logged in yet included.
	MaxClientConnections int `config:"max_client_connections"`
	// MaxUnauthenticatedConnections bounds those that have not logged in yet.
	MaxUnauthenticatedConnections int `config:"max_unauthenticated_connections"`
	// LoginTimeout is the time from accept to the end of the login, TLS included.
	LoginTimeout time.Duration `config:"login_timeout"`
	// DrainTimeout is how long a stop waits for transactions to end. Zero ends them at once.
	DrainTimeout time.Duration `config:"drain_timeout"`
	// AllowPublicClients lets clients in from any address; see AllowsClient.
	AllowPublicClients bool `config:"allow_public_clients"`
	// AllowedClientNetworks, when not empty, are the only networks clients may come from; see AllowsClient. Masked.
	AllowedClientNetworks []netip.Prefix `config:"allowed_client_networks"`
	// Loops is the number of event loops; 0 means one per core.
	Loops int `config:"loops"`

	Log   Log   `config:"log"`
	Admin Admin `config:"admin"`

	// SecretsDir is the absolute folder against which relative names in Auth were resolved.
	SecretsDir string `config:"secrets_dir"`
}

// Endpoint is one address that clients connect to.
type Endpoint struct {
	// Name as RDS Proxy allows it: a letter, then letters, digits and single hyphens, 63 characters at most.
	Name string `config:"name"`
	// Listen is host:port. Port 0 lets the kernel choose; an empty host means all addresses.
	Listen string `config:"listen"`
	// Names are host or host:port: the addresses by which clients reach the endpoint, as IAM tokens name them. See Addresses.
	Names []string `config:"names"`
	// TargetGroup is the Name of one of Config.TargetGroups.
	TargetGroup string `config:"target_group"`
	// Role says which targets serve this endpoint.
	Role Role `config:"role"`
	// Members, when not empty, are the only readers that serve it; ReadOnly only.
	Members []Address `config:"members"`
	// MaxReplicaLag is how far behind the writer a reader may be; 0 is no limit. ReadOnly only.
	MaxReplicaLag time.Duration `config:"max_replica_lag"`
	// ReaderFallback is who serves the endpoint while there is no reader. ReadOnly only.
	ReaderFallback ReaderFallback `config:"reader_fallback"`
	TLS            EndpointTLS    `config:"tls"`
	TCP            TCP            `config:"tcp"`
}

// EndpointTLS is the proxy's own certificate towards clients.
type EndpointTLS struct {
	// CertFile and KeyFile are absolute paths of PEM files; both are set, or neither (then the endpoint offers no TLS).
	CertFile string `config:"cert_file"`
	KeyFile  string `config:"key_file"`
	// MinVersion is "1.2" or "1.3".
	MinVersion string `config:"min_version"`
}

// Enabled says whether the endpoint offers TLS.
func (t EndpointTLS) Enabled() bool { return t.CertFile != "" }

// TCP holds the settings of sockets. A zero UserTimeout leaves the kernel's own.
type TCP struct {
	KeepaliveIdle     time.Duration `config:"keepalive_idle"`
	KeepaliveInterval time.Duration `config:"keepalive_interval"`
	KeepaliveCount    int           `config:"keepalive_count"`
	// UserTimeout is TCP_USER_TIMEOUT (RFC 5482). Linux also ends a connection whose healthy peer reads nothing for so
	// long, which is why it is off by default.
	UserTimeout time.Duration `config:"user_timeout"`
}

// TargetGroup is one database behind the proxy and the rules for the connections to it.
type TargetGroup struct {
	// Name as for Endpoint.
	Name   string `config:"name"`
	Engine Engine `config:"engine"`
	// Writer is where the database that accepts writes is meant to be found. It may be zero with Members.
	Writer Address `config:"writer"`
	// Members are the servers that hold the database, whichever of them is the writer. Empty means that there is Writer
	// alone, or what Discovery finds.
	Members []Address `config:"members"`
	// Discovery says where members come from beside those named here. It is never empty.
	Discovery Discovery `config:"discovery"`
	// InstancePattern makes the host name of an Aurora instance of its identifier, which takes the place of a question
	// mark; empty derives it from Writer.
	InstancePattern string `config:"instance_pattern"`
	// DNSServer is host:port of the DNS server that Writer is looked up at; empty means the system's way.
	DNSServer string `config:"dns_server"`
	// ProbeUser is the User of one of Config.Auth: as that the proxy asks members what they are. Empty when nobody in
	// Config.Auth can log in to the database without a client's help.
	ProbeUser string `config:"probe_user"`
	// ProbeDatabase is the database that it logs in to; PostgreSQL only.
	ProbeDatabase string `config:"probe_database"`
	// MaxConnections, when not 0, replaces the max_connections that the database reports in the computation of the budget.
	MaxConnections int `config:"max_connections"`
	// MaxConnectionsPercent is the share of the database's max_connections that the proxy may use. 1 to 100.
	MaxConnectionsPercent int `config:"max_connections_percent"`
	// MaxIdleConnectionsPercent is the share of the database's max_connections kept open though unused.
	// 0 to MaxConnectionsPercent.
	MaxIdleConnectionsPercent int `config:"max_idle_connections_percent"`
	// ConnectionBorrowTimeout is how long a client waits for a database connection. 0 to 300s; 0 fails at once whenever no
	// connection is ready, even if one more could be opened.
	ConnectionBorrowTimeout time.Duration `config:"connection_borrow_timeout"`
	// SessionPinningFilters is empty: there are none.
	SessionPinningFilters []string `config:"session_pinning_filters"`
	// InitQuery is SQL that runs once on each new database connection; empty means none.
	InitQuery string    `config:"init_query"`
	TLS       TargetTLS `config:"tls"`
	// ConnectTimeout bounds the opening of a database connection: name lookup, TCP, TLS, login and InitQuery.
	ConnectTimeout time.Duration `config:"connect_timeout"`
	// MaxConnectionLifetime is the age at which a database connection is closed once it is idle. The pool takes a random
	// part off it, so that connections opened together do not close together.
	MaxConnectionLifetime time.Duration `config:"max_connection_lifetime"`
	// IdleConnectionTimeout is how long a connection may stay unused before it counts as idle in the sense of
	// MaxIdleConnectionsPercent, and is closed if there are more of them than that.
	IdleConnectionTimeout time.Duration `config:"idle_connection_timeout"`
	// MaxPreparedStatements bounds the statements kept prepared on one database connection.
	MaxPreparedStatements int `config:"max_prepared_statements"`
	// DefaultAuthScheme says how the proxy logs in to the database as users who have no secret.
	DefaultAuthScheme AuthScheme `config:"default_auth_scheme"`
	// Region is that of the database, for the tokens of SchemeIAM; empty is the environment's.
	Region string `config:"region"`
	// RetireAfterRotation is how long after a change of their user's password connections live on.
	RetireAfterRotation time.Duration `config:"retire_after_rotation"`
	TCP                 TCP           `config:"tcp"`
}

// TargetTLS is how the proxy meets the database.
type TargetTLS struct {
	Mode TLSMode `config:"mode"`
	// CAFile is the absolute path of a PEM bundle; empty means the roots of the system.
	CAFile string `config:"ca_file"`
	// ServerName replaces the member's host name as the one sent (SNI) and verified.
	ServerName string `config:"server_name"`
}

// Auth lets one user in.
type Auth struct {
	// User is the name that clients log in with. It equals the username in the secret.
	User string `config:"user"`
	// Secret names the secret: the absolute path of a file, or of a folder with the files username and password; an ARN; or
	// secretsmanager:NAME. It is empty for a user who needs none: with IAMRequired, and behind SchemeIAM.
	Secret string `config:"secret"`
	// IAMAuth says whether clients log in with IAM tokens.
	IAMAuth IAMAuth `config:"iam_auth"`
	// ClientPasswordAuthType is the password method towards clients at endpoints of the engine that it names. At others, and
	// with PasswordDefault, clients use what is usual there.
	ClientPasswordAuthType PasswordAuth `config:"client_password_auth_type"`
}

// Log says what is logged. Logs go to standard error.
type Log struct {
	Level  LogLevel  `config:"level"`
	Format LogFormat `config:"format"`
}

// Admin is the listener for health and metrics.
type Admin struct {
	// Listen is host:port; empty means that there is no admin listener.
	Listen string `config:"listen"`
	// AllowRemote permits a Listen address that is not a loopback one.
	AllowRemote bool `config:"allow_remote"`
	// Pprof serves net/http/pprof under /debug/pprof/.
	Pprof bool `config:"pprof"`
}

// Address is where a database listens.
type Address struct {
	Host string
	Port uint16
}

// String is host:port, an IPv6 address in brackets. The zero Address is empty.
func (a Address) String() string {
	if a == (Address{}) {
		return ""
	}
	return net.JoinHostPort(a.Host, strconv.Itoa(int(a.Port)))
}

// Role of an endpoint.
type Role string

// Roles, as RDS Proxy's TargetRole.
const (
	ReadWrite Role = "read_write"
	ReadOnly  Role = "read_only"
)

// ReaderFallback is who serves a read-only endpoint while there is no reader.
type ReaderFallback string

// Values of ReaderFallback.
const (
	FallbackNone   ReaderFallback = "none"
	FallbackWriter ReaderFallback = "writer"
)

// Engine of a database.
type Engine string

// Engines.
const (
	PostgreSQL Engine = "postgresql"
	MySQL      Engine = "mysql"
	MariaDB    Engine = "mariadb"
)

// Discovery is where the members of a target group come from.
type Discovery string

// Ways to discover members.
const (
	DiscoverNone   Discovery = "static"
	DiscoverDNS    Discovery = "dns"
	DiscoverAurora Discovery = "aurora"
)

// TLSMode is libpq's sslmode without "allow".
type TLSMode string

// TLS modes towards the database.
const (
	TLSDisable    TLSMode = "disable"
	TLSPrefer     TLSMode = "prefer"
	TLSRequire    TLSMode = "require"
	TLSVerifyCA   TLSMode = "verify-ca"
	TLSVerifyFull TLSMode = "verify-full"
)

// IAMAuth is RDS Proxy's setting of that name.
type IAMAuth string

// Values of IAMAuth.
const (
	IAMDisabled IAMAuth = "disabled"
	IAMRequired IAMAuth = "required"
	IAMEnabled  IAMAuth = "enabled"
)

// AuthScheme is RDS Proxy's DefaultAuthScheme.
type AuthScheme string

// Values of AuthScheme.
const (
	SchemeNone AuthScheme = "none"
	SchemeIAM  AuthScheme = "iam_auth"
)

// PasswordAuth is RDS Proxy's ClientPasswordAuthType.
type PasswordAuth string

// Password methods towards clients.
const (
	PasswordDefault  PasswordAuth = "default"
	PostgresSCRAM    PasswordAuth = "POSTGRES_SCRAM_SHA_256"
	PostgresMD5      PasswordAuth = "POSTGRES_MD5"
	MySQLCachingSHA2 PasswordAuth = "MYSQL_CACHING_SHA2_PASSWORD"
	MySQLNative      PasswordAuth = "MYSQL_NATIVE_PASSWORD"
)

// LogLevel is the lowest level that is logged.
type LogLevel string

// Log levels.
const (
	LogDebug LogLevel = "debug"
	LogInfo  LogLevel = "info"
	LogWarn  LogLevel = "warn"
	LogError LogLevel = "error"
)

// LogFormat is the shape of log lines.
type LogFormat string

// Log formats.
const (
	LogJSON    LogFormat = "json"
	LogConsole LogFormat = "console"
)

// TargetGroup returns the group of that name.
func (c *Config) TargetGroup(name string) (TargetGroup, bool) {
	for _, g := range c.TargetGroups {
		if g.Name == name {
			return g, true
		}
	}
	return TargetGroup{}, false
}
