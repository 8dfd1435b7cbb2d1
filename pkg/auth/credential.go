// SPDX-License-Identifier: Apache-2.0

package auth

import (
	"crypto/fips140"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"fmt"
	"io"
	"sync"
)

// Method is how a client proves that it knows its password.
type Method uint8

const (
	// SCRAM is SCRAM-SHA-256, and over TLS SCRAM-SHA-256-PLUS too (RFC 5802, 7677).
	SCRAM Method = iota + 1
	// MD5 is the md5 method of PostgreSQL, for clients that know nothing better.
	MD5
	// Cleartext has the client send the password. It is for TLS connections only; whoever asks for it sees to that.
	Cleartext
	// Token has the client send a token in place of a password, in the same way. A credential cannot check it.
	Token
	// TokenOrPassword has the client send a token or the password over TLS. Without TLS it is SCRAM.
	TokenOrPassword
)

func (m Method) String() string {
	switch m {
	case SCRAM:
		return "scram-sha-256"
	case MD5:
		return "md5"
	case Cleartext:
		return "password"
	case Token:
		return "token"
	case TokenOrPassword:
		return "token or password"
	}
	return "none"
}

// Credential is what the logins of one user are checked against. Copies are cheap and share what they hold, which
// never changes; all methods may be called concurrently. The zero value belongs to nobody (IsZero). It holds what is
// as good as the password for this proxy, so it prints as stars.
type Credential struct {
	// A function, because fmt looks into unexported fields of the structure around it, through pointers too (%s), and
	// calls no Format there. Of a function it prints the address.
	get func() *keys
}

type keys struct {
	method Method
	known  bool
	salt   [saltSize]byte
	proof
	// others are further passwords that are taken, while one takes the place of another.
	others []proof
}

// proof is what one password is checked against.
type proof struct {
	// SCRAM (RFC 5802 section 3).
	storedKey, serverKey [sha256.Size]byte
	// digest is for MD5 the hexadecimal text of md5(password || user), for others the fingerprint of the password.
	digest [sha256.Size]byte
}

// match returns the proof that is wanted, and nil if there is none. The time does not tell which of them it is.
func (k *keys) match(is func(*proof) bool) (found *proof) {
	if is(&k.proof) {
		found = &k.proof
	}
	for i := range k.others {
		if is(&k.others[i]) {
			found = &k.others[i]
		}
	}
	return found
}

// NewCredential derives what is needed to check logins of user by method. For SCRAM that takes about a millisecond, so
// it is to be called when a password is learned and not when its user logs in: the time of a first login would tell
// that the user exists. The password is any string of bytes; it is prepared as RFC 4013 wants it if it can be. A client
// may also know one of others instead: during a rotation clients learn of the new password one after the other.
//
// A password is not needed for Token; see NewToken.
func NewCredential(user, password string, method Method, others ...string) (Credential, error) {
	k := &keys{method: method, known: true, salt: saltOf(user)}
	var err error
	if k.proof, err = derive(user, password, k); err != nil {
		return Credential{}, err
	}
	for _, other := range others {
		p, err := derive(user, other, k)
		if err != nil {
			return Credential{}, err
		}
		k.others = append(k.others, p)
	}
	return hold(k), nil
}

func derive(user, password string, k *keys) (p proof, err error) {
	if password == "" {
		return proof{}, ErrEmptyPassword
	}
	switch k.method {
	case SCRAM:
		p.storedKey, p.serverKey, err = deriveSCRAM(password, k.salt[:], Iterations)
	case MD5:
		if fips140.Enforced() {
			return proof{}, ErrMD5Disabled
		}
		p.digest = md5Hex([]byte(password), []byte(user))
	case Cleartext:
		p.digest = processMAC("cleartext", password)
	case TokenOrPassword:
		p.digest = processMAC("cleartext", password)
		p.storedKey, p.serverKey, err = deriveSCRAM(password, k.salt[:], Iterations)
	default:
		err = fmt.Errorf("no such authentication method: %d", k.method)
	}
	return p, err
}

// NewToken is the credential of a user who logs in by token. It refuses every password.
func NewToken(user string) Credential {
	k := &keys{method: Token, known: true, salt: saltOf(user)}
	k.storedKey = processMAC("mock", user)
	k.digest = k.storedKey
	return hold(k)
}

// MockCredential returns a credential that refuses every password, for a user who is not known. It costs two HMACs,
// and never the derivation of a key. To leave no difference in time, take it for each login and replace it when the
// user turns out to be known.
func MockCredential(user string, method Method) Credential {
	k := &keys{method: method, salt: saltOf(user)}
	// Random to all others, so that no proof, digest or password fits; known=false refuses even one that did.
	k.storedKey = processMAC("mock", user)
	k.digest = k.storedKey
	return hold(k)
}

func hold(k *keys) Credential { return Credential{func() *keys { return k }} }

// IsZero reports whether this is the zero value.
func (c Credential) IsZero() bool { return c.get == nil }

// Method returns the method, 0 for the zero value.
func (c Credential) Method() Method {
	if c.get == nil {
		return 0
	}
	return c.get().method
}

// Format prints stars, whatever the verb.
func (c Credential) Format(f fmt.State, _ rune) { _, _ = io.WriteString(f, "****") }

// CheckCleartext compares a password, in a time that depends on the given one alone. It returns nil, ErrWrongPassword
// or ErrUnknownUser.
func (c Credential) CheckCleartext(password []byte) error {
	if c.Method() != Cleartext && c.Method() != TokenOrPassword {
		return ErrUnknownUser
	}
	given := processMAC("cleartext", string(password))
	k := c.get()
	return k.verdict(k.match(func(p *proof) bool { return hmac.Equal(given[:], p.digest[:]) }) != nil)
}

// VerdictOfToken turns what became of the check of a token into the outcome. For a user who takes tokens that is err; any
// other has none that is right, and gets ErrUnknownUser, with err behind it if there is one.
func (c Credential) VerdictOfToken(err error) error {
	takes := c.Method() == Token || c.Method() == TokenOrPassword
	return verdictOfToken(takes && c.get().known, err)
}

func verdictOfToken(known bool, err error) error {
	switch {
	case known:
		return err
	case err == nil:
		return ErrUnknownUser
	}
	return fmt.Errorf("%w: %w", ErrUnknownUser, err)
}

// verdict turns the result of a comparison into the outcome.
func (k *keys) verdict(equal bool) error {
	switch {
	case !k.known:
		return ErrUnknownUser
	case !equal:
		return ErrWrongPassword
	}
	return nil
}

// processKey is drawn once and makes everything that is derived from it look random to others, and differ between
// processes.
var processKey = sync.OnceValue(func() (key [sha256.Size]byte) {
	_, _ = rand.Read(key[:]) // never fails
	return key
})

func processMAC(purpose, text string) (sum [sha256.Size]byte) {
	key := processKey()
	m := hmac.New(sha256.New, key[:])
	m.Write([]byte(purpose))
	m.Write([]byte{0})
	m.Write([]byte(text))
	m.Sum(sum[:0])
	return sum
}

func saltOf(user string) (salt [saltSize]byte) {
	sum := processMAC("salt", user)
	copy(salt[:], sum[:])
	return salt
}
