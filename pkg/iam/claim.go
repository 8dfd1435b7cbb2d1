// SPDX-License-Identifier: Apache-2.0

package iam

import (
	"context"
	"net"
	"net/netip"
	"strconv"
	"strings"
	"time"

	"github.com/rdsproxy/rdsproxy/pkg/secret"
)

// MaxToken bounds a token, in bytes. Tokens with a session token have about 2 KiB.
const MaxToken = 8 << 10

// Address is a name and a port by which clients reach an endpoint.
type Address struct {
	// Host is a DNS name, or an IP address without brackets.
	Host string
	Port uint16
}

// String is what stands in a token: host:port, with brackets around an IPv6 address.
func (a Address) String() string {
	return net.JoinHostPort(a.Host, strconv.Itoa(int(a.Port)))
}

// matches says whether authority, as a token names it, is this address. Names are the same in any letter case.
func (a Address) matches(authority string) bool { return strings.EqualFold(a.String(), authority) }

// Claim is a login that a token has to prove.
type Claim struct {
	// User is the database user that the client named at the start of the login.
	User string
	// Endpoint has all addresses by which clients reach the endpoint that took the connection: those that the configuration
	// lists, never what the client says it connected to.
	Endpoint []Address
	// Token is what the client sent as its password.
	Token secret.Password
	// Client is where it came from.
	Client netip.Addr
	// TLS says that the token came over TLS. Without it no token is looked at.
	TLS bool
}

// Identity is who a token turned out to be from. Its fields are for the log.
type Identity struct {
	// Method is "rds-db", "sts" or "web-identity".
	Method string
	// Principal is the access key, the ARN, or the claim's value.
	Principal string
	// Expires is when the token ends. A session outlives it.
	Expires time.Time
}

// Verifier checks one kind of token. Its methods may be called from any goroutine.
type Verifier interface {
	// Accepts says whether a password has the outer form of this kind of token.
	Accepts(token string) bool
	// Verify returns who the token is from, if it proves the claim; all errors are a *Rejection.
	Verify(ctx context.Context, c Claim) (Identity, error)
}
