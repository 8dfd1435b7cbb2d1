// SPDX-License-Identifier: Apache-2.0

package mylogin

import (
	"crypto/rsa"
	"crypto/tls"

	"github.com/rdsproxy/rdsproxy/pkg/auth"
	"github.com/rdsproxy/rdsproxy/pkg/proxy/login"
	"github.com/rdsproxy/rdsproxy/pkg/wire/mysql"
)

// Config is how a client logs in. It is not changed by Serve.
type Config struct {
	// TLS returns the settings to begin a TLS connection with, asked for each client, so that a renewed certificate
	// takes effect at once; it is not to be changed once it was returned. If the function is nil or returns nil, TLS is
	// not offered. GetConfigForClient, NextProtos and the session tickets are not used.
	TLS func() *tls.Config
	// RequireTLS refuses clients without TLS.
	RequireTLS bool
	// Users knows who may log in.
	Users UserLookup
	// UnknownMethod is the method that an unknown user is asked for, to be that of most known ones, and the one whose
	// plugin the greeting names; 0 is auth.MySQLCachingSHA2. A user with another method can be told from an unknown one.
	UnknownMethod auth.MySQLMethod
	// Tokens checks what comes in place of a password; nil refuses all.
	Tokens login.Tokens
	// Greeting is what the proxy says it is.
	Greeting Greeting
	// ThreadID is the number by which this client is known, as in KILL; never 0.
	ThreadID uint32
	// Key is what clients without TLS encrypt their password with, when caching_sha2_password needs all of it. It is
	// made once per process; nil leaves that to TLS.
	Key *rsa.PrivateKey
}

// Greeting is what a client learns about the server before it has said anything.
type Greeting struct {
	// Version is the version of the server.
	Version string
	// Capabilities are those to be offered. ClientSSL is added or taken away as there is TLS or not, and what the login
	// itself cannot do without is added. MariaDB's extended ones are offered if ClientLongPassword is not among them.
	Capabilities mysql.Capabilities
	// Collation is the number of the default collation; 0 is mysql.CollationUTF8MB40900.
	Collation uint8
}

// needed are the capabilities that are always offered, because the login is made of them.
const needed = mysql.ClientProtocol41 | mysql.ClientSecureConnection | mysql.ClientPluginAuth |
	mysql.ClientPluginAuthLenenc | mysql.ClientConnectWithDB | mysql.ClientConnectAttrs

// UserLookup finds the credential of a user; false if nobody can log in under this name. It is called by many
// goroutines at once and should take the same time for all names. A name has up to mysql.MaxLogin bytes of any kind but
// NUL.
type UserLookup interface {
	LookupMySQL(user string) (auth.MySQLCredential, bool)
}

// Compression is what packets go through once the login is over.
type Compression uint8

const (
	// Uncompressed packets go as they are.
	Uncompressed Compression = iota
	// Zlib is what ClientCompress stands for.
	Zlib
	// Zstd is what ClientZstd stands for.
	Zstd
)

// Login is a dialogue that ended well.
type Login struct {
	// TLS is the connection on top of the transport, nil if it is in the clear. Reads and writes go there from now on.
	TLS *tls.Conn
	// User is the name that the client has proved to own.
	User string
	// Schema is the schema that the client wants to begin in, "" for none. It has not been looked at: any bytes but NUL.
	Schema string
	// Capabilities are those that both sides have. ClientSSL is among them if TLS is set.
	Capabilities mysql.Capabilities
	// MaxPacket is the size of the largest packet that the client says it takes.
	MaxPacket uint32
	// Collation is the number of the collation that the client asked for, whatever it is.
	Collation uint16
	// Attributes are the connection attributes, unchecked; all together they fit into one packet of mysql.MaxLogin
	// bytes.
	Attributes []mysql.Attribute
	// Method is how the client proved itself.
	Method auth.MySQLMethod
	// Compression is what was agreed on. It begins behind the OK packet that ends the login. ZstdLevel, 1 to 22, is the
	// level that the client wants for Zstd.
	Compression Compression
	ZstdLevel   int
	// NextSeq is the sequence id of the packet that ends the login: OK, or an error after all.
	NextSeq byte
}
