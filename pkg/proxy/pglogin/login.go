// SPDX-License-Identifier: Apache-2.0

package pglogin

import (
	"crypto/tls"

	"github.com/rdsproxy/rdsproxy/pkg/auth"
	"github.com/rdsproxy/rdsproxy/pkg/proxy/login"
	"github.com/rdsproxy/rdsproxy/pkg/wire/postgres"
)

// Config is how clients of one endpoint log in. It is not changed by Serve and may be shared.
type Config struct {
	// TLS returns the settings to begin a TLS connection with, asked for each client, so that a renewed certificate
	// takes effect at once; it is not to be changed once it was returned. If the function is nil or returns nil, TLS is
	// not offered. Certificates come from Certificates or GetCertificate; GetConfigForClient and the session tickets
	// are not used.
	TLS func() *tls.Config
	// RequireTLS refuses clients without TLS, but not their CancelRequests: many drivers send those in the clear.
	RequireTLS bool
	// Users knows who may log in.
	Users UserLookup
	// UnknownMethod is the method that an unknown user is asked for, to be that of most known ones; 0 is auth.SCRAM. A
	// user with another method can be told from an unknown one.
	UnknownMethod auth.Method
	// Tokens checks what comes in place of a password; nil refuses all.
	Tokens login.Tokens
}

// UserLookup finds the credential of a user; false if nobody can log in under this name. It is called by many
// goroutines at once and should take the same time for all names. A name has 1 to postgres.NameLen bytes of any kind
// but NUL.
type UserLookup interface {
	Lookup(user string) (auth.Credential, bool)
}

// Kind is what a client came for.
type Kind uint8

const (
	// Session is a client that has logged in.
	Session Kind = iota + 1
	// Cancel is one that wants another client's query cancelled. It gets no answer but the end of the connection, which
	// says that the cancellation was passed on; with TLS that end includes a close_notify (TLS.Close).
	Cancel
)

// Login is a dialogue that ended well.
type Login struct {
	Kind Kind
	// TLS is the connection on top of the transport, nil if it is in the clear. Reads and writes go there from now on.
	TLS *tls.Conn

	// Of a Session.

	User     string
	Database string // User, if the client named none
	// Settings are the run-time parameters to be set, in order: first those in "options", then the others. Names are
	// as the client wrote them and may come twice, the later one counting; values are not checked. User, database,
	// options, replication and the protocol options are not among them.
	Settings []postgres.Setting
	// Replication is "" for an ordinary session, "true" for physical and "database" for logical replication.
	Replication string
	// ProtocolMinor is the minor version agreed upon; from 2 on, cancel keys may be longer than 4 bytes.
	ProtocolMinor int
	// AuthMethod is how the client proved itself: scram-sha-256, scram-sha-256-plus, md5, password, token.
	AuthMethod string

	// Of a Cancel.

	CancelPID uint32
	// CancelSecret is the key that came with it, 4 to 256 bytes, to be compared in constant time.
	CancelSecret []byte
}
