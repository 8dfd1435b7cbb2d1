// SPDX-License-Identifier: Apache-2.0

package target

import (
	"crypto/rsa"
	"crypto/tls"
	"net"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	mywire "github.com/rdsproxy/rdsproxy/pkg/wire/mysql"
)

// KeyRetrieval says whether the server is asked for its RSA key, to encrypt the
// password with, on a connection that is neither encrypted nor a socket in the file
// system. caching_sha2_password does so for a user that the server has not seen
// since its start, sha256_password always. Whoever sits in between could answer
// with a key of its own, and read the password.
type KeyRetrieval string

// The choices. "" is KeyFromLoopback.
const (
	KeyFromLoopback KeyRetrieval = "loopback" // only from a server on this machine
	KeyAlways       KeyRetrieval = "always"
	KeyNever        KeyRetrieval = "never"
)

// MySQLOptions say where a MySQL or MariaDB is, and how to meet it.
type MySQLOptions struct {
	// Host is a name, an IP address, or the absolute path of the server's socket
	// (Port is of no importance then).
	Host string
	Port int

	// TLSMode and TLS are as in Options.
	TLSMode TLSMode
	TLS     *tls.Config

	// ConnectTimeout bounds a whole Dial, from the name lookup to the end of the
	// init query, and likewise Kill and Facts. 0: only the context does.
	ConnectTimeout time.Duration
	// InitQuery is what each new connection begins with: any number of statements,
	// which may return rows that nobody sees. They must leave no transaction open.
	InitQuery string
	// Setup is the statement that is run after it and after the variables were
	// asked for; "" is none.
	Setup string
	// Variables are the names of the session variables that make
	// MySQLEstablished.Base, in lower case. Those that the server has not got are
	// left out there.
	Variables []string
	// Wrap makes of the socket what MySQLEstablished.Wrapped is; nil: the socket itself.
	Wrap func(net.Conn) net.Conn
	// KeepAlive is for the socket; the zero value is Go's default.
	KeepAlive net.KeepAliveConfig

	// PublicKey is the server's RSA key if it is known; then it is never asked for.
	PublicKey    *rsa.PublicKey
	KeyRetrieval KeyRetrieval
	// Attributes are told to the server in place of DefaultAttributes.
	Attributes []mywire.Attribute
}

// DefaultAttributes are the connection attributes that a server shows in
// performance_schema.session_connect_attrs.
func DefaultAttributes() []mywire.Attribute {
	return []mywire.Attribute{{Name: "_client_name", Value: "rdsproxy"}, {Name: "program_name", Value: "rdsproxy"}}
}

// MySQLRequest says who logs in, and what the connection is to be like.
type MySQLRequest struct {
	User, Password string
	// Schema is the default schema; "" is none. Connections of a pool have none.
	Schema string
	// Capabilities are those within mysql.ClassMask; others are ignored. The
	// connection has exactly these of the class, or is not made.
	Capabilities mywire.Capabilities
	// Collation is told at login; 0 stands for utf8mb4_general_ci, which all
	// servers have. More than 255 does not fit.
	Collation uint16
}

// String leaves the password out.
func (r MySQLRequest) String() string { return r.User + "@" + r.Schema }

// GoString leaves the password out.
func (r MySQLRequest) GoString() string { return "target.MySQLRequest{" + r.String() + "}" }

// MySQLEstablished is a connection that is logged in and set up. The server is idle,
// and nothing that it sent is left unread, except what TLS may have buffered.
type MySQLEstablished struct {
	// Conn is what the protocol runs on: a *tls.Conn upon Wrapped, or Wrapped.
	Conn net.Conn
	// Wrapped is what MySQLOptions.Wrap returned.
	Wrapped net.Conn
	// ThreadID is for Kill.
	ThreadID uint32
	// Greeting is what the server said of itself.
	Greeting *mywire.Greeting
	// Capabilities are those agreed on.
	Capabilities mywire.Capabilities
	// Collation is the one that was told at login.
	Collation uint16
	// Status is that of the last reply.
	Status mywire.Status
	// Schema and Base are the default schema and the values of
	// MySQLOptions.Variables after the init query and before the set-up, as SHOW
	// VARIABLES and the session trackers spell them.
	Schema string
	Base   map[string]string
}

// MySQLFacts are what the proxy needs to know of a server.
type MySQLFacts struct {
	Version string // as greeted: "10.11.14-MariaDB-0+deb12u2"
	MariaDB bool
	// Capabilities, Collation and Plugin are those of the greeting.
	Capabilities mywire.Capabilities
	Collation    uint8
	Plugin       string

	MaxConnections int
	// MaxPreparedStatements is max_prepared_stmt_count, which all connections share.
	MaxPreparedStatements int
	// MaxAllowedPacket is in bytes.
	MaxAllowedPacket int
	// ReadOnly is set by any of read_only, super_read_only and innodb_read_only.
	ReadOnly bool
	// InitConnect tells whether the server runs init_connect for new sessions of
	// users without special privileges; COM_RESET_CONNECTION does not repeat it.
	InitConnect bool
	// LowerCaseTableNames is the variable of that name: 0, 1 or 2.
	LowerCaseTableNames int
}

// endpoint makes the part of a Dialer that has nothing to do with the protocol.
func (o *MySQLOptions) endpoint() *Dialer {
	d := &Dialer{o: Options{
		Host: o.Host, Port: o.Port, TLSMode: o.TLSMode, TLS: o.TLS, ConnectTimeout: o.ConnectTimeout, Wrap: o.Wrap, KeepAlive: o.KeepAlive,
	}}
	if d.o.TLSMode == "" {
		d.o.TLSMode = TLSPrefer
	}
	d.network, d.addr = "tcp", net.JoinHostPort(o.Host, strconv.Itoa(o.Port))
	if strings.HasPrefix(o.Host, "/") {
		d.network, d.addr = "unix", filepath.Clean(o.Host)
	}
	switch d.o.TLSMode {
	case TLSDisable:
	case TLSPrefer, TLSRequire, TLSVerifyCA, TLSVerifyFull:
		if d.network == "tcp" {
			d.tls = tlsConfig(&d.o)
			d.tls.NextProtos = nil // the protocol has no name in ALPN
		}
	default:
		d.err = &policyError{"unknown TLS mode " + strconv.Quote(string(o.TLSMode)), true}
	}
	switch {
	case d.network == "tcp" && (o.Host == "" || o.Port < 1 || o.Port > 65535):
		d.err = &policyError{"no address: host " + strconv.Quote(o.Host) + ", port " + strconv.Itoa(o.Port), true}
	case o.KeyRetrieval != "" && o.KeyRetrieval != KeyFromLoopback && o.KeyRetrieval != KeyAlways && o.KeyRetrieval != KeyNever:
		d.err = &policyError{"unknown key retrieval " + strconv.Quote(string(o.KeyRetrieval)), true}
	}
	return d
}
