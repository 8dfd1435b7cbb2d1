// SPDX-License-Identifier: Apache-2.0

// Package secret holds the passwords of database users and fetches them from where they are kept.
//
// A password is a Password, a type that shows stars wherever it is printed, logged or encoded; Reveal is the one way to its
// text. A Store fetches a Credential by the name of its secret, keeps it in memory, follows rotations, and goes on giving the
// last good value while a refresh fails. FileStore keeps secrets in files, as Kubernetes and Docker hand them to containers.
package secret

import (
	"context"
	"crypto/subtle"
	"errors"
	"fmt"
	"time"
)

// Store fetches credentials. Its methods may be called from any goroutine.
type Store interface {
	// Get returns the credential kept under id. It answers from memory whenever it can; only the first call for an id, or
	// one after a failure, waits for the place where secrets are kept, at most until ctx ends. Errors wrap one of the errors
	// of this package where one fits, name the secret, and never show what is in it.
	Get(ctx context.Context, id string) (Credential, error)
	// Changed returns a channel that is closed when any credential got from the store has changed, or one that Get failed
	// for can be got now. Ask for the channel first, then Get, then wait for it: so no change is missed.
	Changed() <-chan struct{}
}

// Errors that tell failures of Get apart.
var (
	// ErrNotFound means that there is no secret of that name.
	ErrNotFound = errors.New("not found")
	// ErrMalformed means that the secret is there but holds no credential.
	ErrMalformed = errors.New("malformed")
	// ErrTooLarge means that the secret is larger than MaxSize.
	ErrTooLarge = errors.New("too large")
	// ErrUnsupported means that the store does not keep secrets of that kind.
	ErrUnsupported = errors.New("not supported")
)

// MaxSize bounds a secret, in bytes: the limit of AWS Secrets Manager.
const MaxSize = 64 << 10

// Credential is what a secret holds: one user of the database, or one access key that tokens are signed with.
type Credential struct {
	// Username is the user, or the id of the access key.
	Username string `json:"username"`
	// Password is the user's password, or the secret access key.
	Password Password `json:"password"`
	// SessionToken belongs to an access key that is temporary, and is empty otherwise.
	SessionToken Password `json:"session_token,omitzero"`
	// Expires is when an access key ends; zero is never.
	Expires time.Time `json:"expires,omitzero"`
}

// Equal says whether both are the same user with the same password, or the same key.
func (c Credential) Equal(other Credential) bool {
	return c.Username == other.Username && c.Password.Equal(other.Password) &&
		c.SessionToken.Equal(other.SessionToken) && c.Expires.Equal(other.Expires)
}

// Password is a text that is not for showing. The zero Password is empty.
type Password struct {
	// The text stands behind a pointer because fmt cannot call the methods of a field that is not exported: a struct that
	// keeps a Password in such a field prints an address then, not the text.
	text *string
	_    [0]func() // not comparable: == would compare the pointers
}

// NewPassword makes a Password of its text.
func NewPassword(text string) Password { return Password{text: &text} }

// Reveal returns the text. What it returns must not reach a log, an error, or a metric.
func (p Password) Reveal() string {
	if p.text == nil {
		return ""
	}
	return *p.text
}

// IsZero says whether there is no text; encoders that leave out what is zero ask for it.
func (p Password) IsZero() bool { return p.IsEmpty() }

// IsEmpty says whether there is no text.
func (p Password) IsEmpty() bool { return p.Reveal() == "" }

// Equal compares the texts, in a time that does not tell where they differ.
func (p Password) Equal(other Password) bool {
	return subtle.ConstantTimeCompare([]byte(p.Reveal()), []byte(other.Reveal())) == 1
}

// stars have the same number whatever the length of the text.
const stars = "********"

// String implements fmt.Stringer with stars; zap takes it as well.
func (Password) String() string { return stars }

// GoString implements fmt.GoStringer with stars.
func (Password) GoString() string { return stars }

// Format implements fmt.Formatter with stars for every verb.
func (Password) Format(f fmt.State, _ rune) {
	// An error of the writer is fmt's to handle; there is no way to report it from here.
	_, _ = f.Write([]byte(stars))
}

// MarshalText implements encoding.TextMarshaler with stars; encoding/json and YAML take it as well.
func (Password) MarshalText() ([]byte, error) { return []byte(stars), nil }
