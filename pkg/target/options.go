// SPDX-License-Identifier: Apache-2.0

package target

import (
	"crypto/tls"
	"net"
	"time"

	wire "github.com/rdsproxy/rdsproxy/pkg/wire/postgres"
)

// TLSMode is how much TLS a connection needs, as libpq's sslmode.
type TLSMode string

// The modes. With Prefer a connection without TLS is used if there is no other
// way; Require encrypts but does not look at the certificate, unless Options.TLS
// has root certificates (then it is VerifyCA, as in libpq); VerifyFull compares
// the host name too. "" is Prefer. Sockets in the file system never use TLS.
const (
	TLSDisable    TLSMode = "disable"
	TLSPrefer     TLSMode = "prefer"
	TLSRequire    TLSMode = "require"
	TLSVerifyCA   TLSMode = "verify-ca"
	TLSVerifyFull TLSMode = "verify-full"
)

// Options say where the database is, and how to meet it.
type Options struct {
	// Host is a name, an IP address, or the absolute path of the folder with the
	// server's socket.
	Host string
	Port int

	TLSMode TLSMode
	// TLS is the base of the TLS settings: RootCAs (nil: the system's),
	// ServerName (empty: Host), Certificates, MinVersion. It is not changed, and
	// must not be changed by the caller afterwards. nil is fine.
	TLS *tls.Config

	// ConnectTimeout bounds a whole Dial, from the name lookup to the end of the
	// init query, and likewise Cancel and Facts. 0: only the context does.
	ConnectTimeout time.Duration
	// InitQuery is run on every new connection: any number of statements. They
	// must leave no transaction open. Physical replication connections, which
	// know no SQL, do without.
	InitQuery string
	// Wrap makes of the socket what Established.Wrapped is; nil: the socket itself.
	Wrap func(net.Conn) net.Conn
	// KeepAlive is for the socket; the zero value is Go's default.
	KeepAlive net.KeepAliveConfig

	// MaxSCRAMIterations is the largest iteration count that is accepted from
	// the server. The work in it is this process's (CVE-2026-6669). 0:
	// DefaultMaxSCRAMIterations.
	MaxSCRAMIterations int
	// AllowCleartextPassword lets the password be sent as it is over TCP without
	// TLS when the server asks for that.
	AllowCleartextPassword bool
}

// DefaultMaxSCRAMIterations takes some ten milliseconds; PostgreSQL's default is
// 4096.
const DefaultMaxSCRAMIterations = 100_000

// Request says who logs in, and where.
type Request struct {
	User, Password string
	Database       string
	// Params are further start-up parameters. Those that have a field of their
	// own are not taken from here.
	Params []wire.Setting
	// Replication is the start-up parameter of that name: "" is an ordinary
	// connection, "database" one for logical replication, "true" (or on, yes, 1)
	// one for physical replication.
	Replication string
}

// String leaves the password out.
func (r Request) String() string { return r.User + "@" + r.Database }

// GoString leaves the password out.
func (r Request) GoString() string { return "target.Request{" + r.String() + "}" }

// Established is a connection that is logged in. The server is idle, and nothing
// that it sent is left unread, except what TLS may have buffered.
type Established struct {
	// Conn is what the protocol runs on: a *tls.Conn upon Wrapped, or Wrapped.
	Conn net.Conn
	// Wrapped is what Options.Wrap returned.
	Wrapped net.Conn
	// PID and SecretKey are for Cancel; no key if the server gave none.
	PID       uint32
	SecretKey []byte
	// Params are the parameters that the server reported.
	Params map[string]string
}

// Facts are what the proxy needs to know of a server.
type Facts struct {
	MaxConnections int
	// SuperuserReserved and Reserved are the parts of MaxConnections that
	// ordinary users do not get (superuser_reserved_connections, and since
	// PostgreSQL 16 reserved_connections).
	SuperuserReserved, Reserved int
	// BackendSettings are the names of the parameters that can be set at the
	// start of a connection only.
	BackendSettings []string
	ServerVersion   string // as reported: "15.18 (Debian …)"
	VersionNum      int    // 150018
	InRecovery      bool
}
