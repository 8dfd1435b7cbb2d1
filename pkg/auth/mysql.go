// SPDX-License-Identifier: Apache-2.0

package auth

import (
	"bytes"
	"crypto/fips140"
	"crypto/hmac"
	"crypto/sha1" // the protocol's choice, and only for those who configure it
	"crypto/sha256"
	"crypto/subtle"
	"errors"
	"fmt"
	"io"
	"slices"
)

// MySQLMethod is how a client of MySQL proves who it is.
type MySQLMethod uint8

const (
	// MySQLCachingSHA2 is caching_sha2_password, the default of MySQL since 8.0.
	MySQLCachingSHA2 MySQLMethod = iota + 1
	// MySQLNative is mysql_native_password, for clients that know nothing better and for MariaDB's.
	MySQLNative
	// MySQLCleartext has the client send the password (mysql_clear_password). It is for connections that nobody can
	// listen to; whoever asks for it sees to that.
	MySQLCleartext
	// MySQLToken has the client send a token in place of a password, in the same way. A credential cannot check it.
	MySQLToken
	// MySQLCachingSHA2OrToken and MySQLNativeOrToken take a token too, over TLS; otherwise they are as without it.
	MySQLCachingSHA2OrToken
	MySQLNativeOrToken
)

// Names of the plugins, as client and server write them.
const (
	PluginCachingSHA2 = "caching_sha2_password"
	PluginNative      = "mysql_native_password"
	PluginCleartext   = "mysql_clear_password"
)

func (m MySQLMethod) String() string {
	switch m {
	case MySQLCachingSHA2, MySQLNative, MySQLCleartext:
		return m.Plugin()
	case MySQLToken:
		return "token"
	case MySQLCachingSHA2OrToken, MySQLNativeOrToken:
		return m.Plugin() + " or token"
	}
	return "none"
}

// TakesToken tells whether a token may come in place of a password.
func (m MySQLMethod) TakesToken() bool { return m >= MySQLToken && m <= MySQLNativeOrToken }

// Plugin is the authentication plugin that the method is of, "" for none.
func (m MySQLMethod) Plugin() string {
	switch m {
	case MySQLCachingSHA2, MySQLCachingSHA2OrToken:
		return PluginCachingSHA2
	case MySQLNative, MySQLNativeOrToken:
		return PluginNative
	case MySQLCleartext, MySQLToken:
		return PluginCleartext
	}
	return ""
}

// What the checks of MySQL's credentials say, beside ErrWrongPassword and ErrUnknownUser.
var (
	// ErrMySQLResponse: the response has no form that the plugin knows, whatever the password.
	ErrMySQLResponse = errors.New("malformed response of an authentication plugin")
	// ErrSHA1Disabled: the process runs in a mode of FIPS 140-3 that forbids SHA-1, which mysql_native_password needs.
	ErrSHA1Disabled = errors.New("SHA-1 is not allowed in FIPS 140-3 mode")
)

// MySQLCredential is what the logins of one user of MySQL are checked against. Copies are cheap and share what they
// hold, which never changes; all methods may be called concurrently. The zero value belongs to nobody (IsZero). It
// prints as stars.
type MySQLCredential struct {
	// A function for the reason that Credential has one.
	get func() *mysqlKeys
}

type mysqlKeys struct {
	method MySQLMethod
	known  bool
	// password is false if there is none to be compared with, as for a token.
	password bool
	mysqlProof
	// others are further passwords that are taken, while one takes the place of another.
	others []mysqlProof
}

// mysqlProof is what one password is checked against.
type mysqlProof struct {
	// native is SHA1(SHA1(password)), caching is SHA256(SHA256(password)): what a server of MySQL keeps, in its table
	// of users and in its cache. Neither is enough to log in somewhere; a proof that somebody overheard makes it so.
	native  [sha1.Size]byte
	caching [sha256.Size]byte
	// clear is the fingerprint of the password.
	clear [sha256.Size]byte
}

// NewMySQLCredential derives what is needed to check logins by any of the plugins; method is the one that the user is
// to be asked for. It costs a few hashes. The password is any string of bytes, though one with a NUL in it can be given
// by a scramble only. A password is not needed for MySQLToken; see NewMySQLToken. A client may also know one of others
// instead: during a rotation clients learn of the new password one after the other.
func NewMySQLCredential(password string, method MySQLMethod, others ...string) (MySQLCredential, error) {
	switch {
	case method < MySQLCachingSHA2 || method > MySQLNativeOrToken || method == MySQLToken:
		return MySQLCredential{}, fmt.Errorf("no such authentication method: %d", method)
	case password == "" || slices.Contains(others, ""):
		return MySQLCredential{}, ErrEmptyPassword
	case method.Plugin() == PluginNative && fips140.Enforced():
		return MySQLCredential{}, ErrSHA1Disabled
	}
	k := &mysqlKeys{method: method, known: true, password: true, mysqlProof: newMySQLProof(password)}
	for _, other := range others {
		k.others = append(k.others, newMySQLProof(other))
	}
	return holdMySQL(k), nil
}

func newMySQLProof(password string) (p mysqlProof) {
	if !fips140.Enforced() {
		once := sha1.Sum([]byte(password))
		p.native = sha1.Sum(once[:])
	}
	once := sha256.Sum256([]byte(password))
	p.caching = sha256.Sum256(once[:])
	p.clear = processMAC("mysql", password)
	return p
}

// matches tells whether one of the passwords is it. The time does not tell which.
func (k *mysqlKeys) matches(is func(*mysqlProof) bool) bool {
	found := is(&k.mysqlProof)
	for i := range k.others {
		found = is(&k.others[i]) || found
	}
	return found
}

// NewMySQLToken is the credential of a user who logs in by token. Its Verify refuses everything.
func NewMySQLToken() MySQLCredential {
	return holdMySQL(&mysqlKeys{method: MySQLToken, known: true})
}

// MockMySQLCredential returns a credential that refuses every password, for a user who is not known. It costs one HMAC.
// To leave no difference in time, take it for each login and replace it when the user turns out to be known.
func MockMySQLCredential(user string, method MySQLMethod) MySQLCredential {
	k := &mysqlKeys{method: method, password: method != MySQLToken}
	// Random to all others, so that no proof fits; known=false refuses even one that did.
	k.caching = processMAC("mysql mock", user)
	copy(k.native[:], k.caching[:])
	k.clear = k.caching
	return holdMySQL(k)
}

func holdMySQL(k *mysqlKeys) MySQLCredential {
	return MySQLCredential{func() *mysqlKeys { return k }}
}

// IsZero reports whether this is the zero value.
func (c MySQLCredential) IsZero() bool { return c.get == nil }

// Method returns the method that the user is to be asked for, 0 for the zero value.
func (c MySQLCredential) Method() MySQLMethod {
	if c.get == nil {
		return 0
	}
	return c.get().method
}

// Format prints stars, whatever the verb.
func (c MySQLCredential) Format(f fmt.State, _ rune) { _, _ = io.WriteString(f, "****") }

// Verify checks what a client answered to salt by a plugin, in a time that depends on nothing but the plugin and the
// length of the response:
//   - PluginNative: 20 bytes, SHA1(password) XOR SHA1(salt || SHA1(SHA1(password)));
//   - PluginCachingSHA2: 32 bytes, SHA256(password) XOR SHA256(SHA256(SHA256(password)) || salt);
//   - PluginCleartext: the password, with or without a NUL behind it; the salt has no part in it.
//
// Any of them is checked, whatever the method of the credential: which one a client may use is for the caller to say.
// It returns nil, ErrWrongPassword, ErrUnknownUser or ErrMySQLResponse. An empty response, which stands for an empty
// password, is a wrong one.
func (c MySQLCredential) Verify(plugin string, salt, response []byte) error {
	if c.get == nil {
		return ErrUnknownUser
	}
	k := c.get()
	var equal bool
	switch plugin {
	case PluginNative:
		if len(response) != 0 && len(response) != sha1.Size {
			return ErrMySQLResponse
		}
		equal = k.matches(func(p *mysqlProof) bool { return p.checkNative(salt, response) })
	case PluginCachingSHA2:
		if !emptyMySQL(response) && len(response) != sha256.Size {
			return ErrMySQLResponse
		}
		equal = k.matches(func(p *mysqlProof) bool { return p.checkCaching(salt, response) })
	case PluginCleartext:
		given := processMAC("mysql", string(bytes.TrimSuffix(response, []byte{0})))
		equal = k.matches(func(p *mysqlProof) bool { return hmac.Equal(given[:], p.clear[:]) })
	default:
		return ErrMySQLResponse
	}
	return k.verdict(equal)
}

func (k *mysqlKeys) verdict(equal bool) error {
	switch {
	case !k.known:
		return ErrUnknownUser
	case !equal || !k.password:
		return ErrWrongPassword
	}
	return nil
}

// VerdictOfToken turns what became of the check of a token into the outcome, as that of Credential does.
func (c MySQLCredential) VerdictOfToken(err error) error {
	return verdictOfToken(c.Method().TakesToken() && c.get().known, err)
}

// emptyMySQL tells whether a response stands for an empty password: it is empty, or, as some plugins write that, one
// NUL.
func emptyMySQL(response []byte) bool {
	return len(response) == 0 || len(response) == 1 && response[0] == 0
}

func (p *mysqlProof) checkNative(salt, response []byte) bool {
	if len(response) != sha1.Size || fips140.Enforced() {
		return false
	}
	mask := sha1.Sum(append(bytes.Clone(salt), p.native[:]...))
	var once [sha1.Size]byte
	subtle.XORBytes(once[:], mask[:], response)
	twice := sha1.Sum(once[:])
	return hmac.Equal(twice[:], p.native[:])
}

func (p *mysqlProof) checkCaching(salt, response []byte) bool {
	if len(response) != sha256.Size {
		return false
	}
	mask := sha256.Sum256(append(bytes.Clone(p.caching[:]), salt...))
	var once [sha256.Size]byte
	subtle.XORBytes(once[:], mask[:], response)
	twice := sha256.Sum256(once[:])
	return hmac.Equal(twice[:], p.caching[:])
}
