// SPDX-License-Identifier: Apache-2.0

package login

import (
	"context"

	"github.com/rdsproxy/rdsproxy/pkg/secret"
)

// Tokens checks the tokens of one client. It is asked only if the client has TLS.
type Tokens interface {
	// Accepts tells whether a password has the form of a token.
	Accepts(password string) bool
	// Verify returns nil if the token lets its bearer log in as user. An error may be an *iam.Rejection, and must not hold
	// the token. It is called for unknown users too, so that they take as long; then its answer does not count. It has to
	// return when the context ends.
	Verify(ctx context.Context, user string, token secret.Password) error
}
