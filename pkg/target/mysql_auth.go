// SPDX-License-Identifier: Apache-2.0

package target

import (
	"crypto/rsa"
	"crypto/x509"
	"encoding/pem"
	"fmt"

	scramble "github.com/go-mysql-org/go-mysql/mysql"

	mywire "github.com/rdsproxy/rdsproxy/pkg/wire/mysql"
)

const (
	// maxAuthRounds is how many packets a server may send until it says OK. Those in
	// use need four: another plugin, "full", the key, and a good-bye.
	maxAuthRounds = 8
	// maxKeyBits bounds the RSA key of a server; the work in it is this process's.
	maxKeyBits = 16384
	// oaepOverhead is what OAEP with SHA-1 takes of a key's length, in bytes.
	oaepOverhead = 42
	// ed25519Nonce is the length of what MariaDB has a client sign.
	ed25519Nonce = 32
)

// authenticator answers what a server asks for at login.
type authenticator struct {
	password string
	// secret tells that nobody but the server can read what is sent (TLS or a socket
	// in the file system), encrypted that TLS is on, and verified that the
	// server has shown a certificate that was checked.
	secret, encrypted, verified bool
	key                         *rsa.PublicKey // nil: not known
	mayAsk                      bool           // for the key

	plugin   string
	salt     []byte
	waiting  bool // for the key
	switched bool
}

// begin returns the plugin and the answer for the first packet of a login.
func (a *authenticator) begin(plugin string, salt []byte) (string, []byte, error) {
	switch plugin {
	case mywire.PluginNative, mywire.PluginCachingSHA2, mywire.PluginSHA256:
	default:
		// The server goes on to the plugin of the user by itself.
		plugin = mywire.PluginNative
	}
	a.plugin, a.salt = plugin, salt
	answer, err := a.first()
	return plugin, answer, err
}

// answer returns what to send for a packet of the server's, which is neither OK nor
// an error; send is false if it waits for nothing.
func (a *authenticator) answer(payload []byte) (answer []byte, send bool, err error) {
	if plugin, salt, ok := mywire.ParseAuthSwitch(payload); ok {
		if a.switched {
			return nil, false, &policyError{text: "the server goes on asking for other ways to log in"}
		}
		a.switched, a.waiting = true, false
		a.plugin, a.salt = plugin, salt
		answer, err = a.first()
		return answer, true, err
	}
	if data, ok := mywire.ParseAuthMoreData(payload); ok {
		return a.more(data)
	}
	return nil, false, &policyError{text: fmt.Sprintf("the server sent a packet %#02x during the login", payload[0])}
}

// first is the first answer of the current plugin.
func (a *authenticator) first() ([]byte, error) {
	switch a.plugin {
	case mywire.PluginNative:
		if len(a.salt) < mywire.SaltLen {
			return nil, errSalt
		}
		return scramble.CalcNativePassword(a.salt[:mywire.SaltLen], []byte(a.password)), nil
	case mywire.PluginCachingSHA2:
		if len(a.salt) < mywire.SaltLen {
			return nil, errSalt
		}
		return scramble.CalcCachingSha2Password(a.salt[:mywire.SaltLen], []byte(a.password)), nil
	case mywire.PluginSHA256:
		return a.firstSHA256()
	case mywire.PluginEd25519:
		// The nonce has no terminator, but its last byte may be taken for one.
		if len(a.salt) == ed25519Nonce-1 {
			a.salt = append(a.salt[:ed25519Nonce-1:ed25519Nonce-1], 0)
		}
		if len(a.salt) != ed25519Nonce {
			return nil, errSalt
		}
		return scramble.CalcEd25519Password(a.salt, a.password)
	case mywire.PluginClear:
		if !a.verified {
			return nil, &policyError{"the server asks for the password in clear text, and it has not shown a certificate that was verified", true}
		}
		return cString(a.password), nil
	}
	return nil, &policyError{fmt.Sprintf("the server asks for a way to log in that is not supported: %.64q", a.plugin), true}
}

var errSalt = &policyError{text: "the server sent a salt of another length than its plugin has"}

// firstSHA256 is the first answer of sha256_password, which has no scramble.
func (a *authenticator) firstSHA256() ([]byte, error) {
	switch {
	case a.password == "":
		return []byte{0}, nil
	case a.encrypted:
		return cString(a.password), nil
	}
	return a.withKey(mywire.SHA256RequestKey)
}

// more answers an AuthMoreData packet.
func (a *authenticator) more(data []byte) (answer []byte, send bool, err error) {
	switch {
	case a.waiting:
		a.waiting = false
		if a.key, err = parseKey(data); err != nil {
			return nil, false, err
		}
		answer, err = a.encrypt()
		return answer, true, err
	case a.plugin != mywire.PluginCachingSHA2 || len(data) != 1:
	case data[0] == mywire.CachingSHA2FastOK:
		return nil, false, nil // OK follows, or an error
	case data[0] == mywire.CachingSHA2FullAuth && a.secret:
		return cString(a.password), true, nil
	case data[0] == mywire.CachingSHA2FullAuth:
		answer, err = a.withKey(mywire.CachingSHA2RequestKey)
		return answer, true, err
	}
	return nil, false, &policyError{text: "the server sent unexpected data during the login"}
}

// withKey is the encrypted password if the key is known, else the request for it.
func (a *authenticator) withKey(request byte) ([]byte, error) {
	switch {
	case a.key != nil:
		return a.encrypt()
	case !a.mayAsk:
		return nil, &policyError{"the server needs the password itself, the connection is not encrypted, and its key may not be asked for", true}
	}
	a.waiting = true
	return []byte{request}, nil
}

func (a *authenticator) encrypt() ([]byte, error) {
	if len(a.salt) < mywire.SaltLen {
		return nil, errSalt
	}
	if len(a.password)+1 > a.key.Size()-oaepOverhead {
		return nil, &policyError{"the password is too long for the server's key", true}
	}
	return scramble.EncryptPassword(a.password, a.salt[:mywire.SaltLen], a.key)
}

// parseKey reads a public key as servers send it.
func parseKey(text []byte) (*rsa.PublicKey, error) {
	block, _ := pem.Decode(text)
	if block == nil {
		return nil, &policyError{text: "the server sent a key that cannot be understood"}
	}
	key, err := x509.ParsePKIXPublicKey(block.Bytes)
	if err != nil {
		return nil, &policyError{text: "the server sent a key that cannot be understood"}
	}
	public, ok := key.(*rsa.PublicKey)
	if !ok || public.N.BitLen() > maxKeyBits {
		return nil, &policyError{text: "the server sent a key that is not for RSA, or is too long"}
	}
	return public, nil
}

func cString(s string) []byte { return append([]byte(s), 0) }
