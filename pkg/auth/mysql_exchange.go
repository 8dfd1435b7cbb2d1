// SPDX-License-Identifier: Apache-2.0

package auth

import (
	"bytes"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha1" // the protocol's choice
	"crypto/x509"
	"encoding/pem"
)

// MySQLSaltSize is the length in bytes of the salt of mysql_native_password and caching_sha2_password.
const MySQLSaltSize = 20

// NewSalt draws a salt for one login by MySQL's plugins. Its bytes are of 7 bits and neither NUL nor '$': clients take
// a salt for a string that NUL ends, and MySQL keeps '$' to separate the parts of a stored hash.
func NewSalt() (salt [MySQLSaltSize]byte) {
	var pool [2 * MySQLSaltSize]byte
	for n := 0; n < len(salt); {
		_, _ = rand.Read(pool[:]) // never fails
		for _, b := range pool {
			// What does not fit is drawn again rather than replaced, which keeps all others equally likely.
			if b &= 0x7f; b != 0 && b != '$' && n < len(salt) {
				salt[n] = b
				n++
			}
		}
	}
	return salt
}

// MySQLPublicKey is the key in the form in which clients of caching_sha2_password want it: PEM of a
// SubjectPublicKeyInfo.
func MySQLPublicKey(key *rsa.PublicKey) ([]byte, error) {
	der, err := x509.MarshalPKIXPublicKey(key)
	if err != nil {
		return nil, err
	}
	return pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: der}), nil
}

// DecryptMySQLPassword takes apart what a client of caching_sha2_password sends when it has the public key and no TLS:
// password and NUL, XORed with the salt over and over, encrypted by RSA with OAEP and SHA-1. It returns the password,
// with the NUL. Everything that is wrong is ErrMySQLResponse, so that nobody learns about paddings. It takes the time
// of an operation with the private key, a millisecond or so.
func DecryptMySQLPassword(key *rsa.PrivateKey, salt, encrypted []byte) ([]byte, error) {
	if len(encrypted) != key.Size() || len(salt) == 0 {
		return nil, ErrMySQLResponse
	}
	plain, err := rsa.DecryptOAEP(sha1.New(), nil, key, encrypted, nil)
	if err != nil {
		return nil, ErrMySQLResponse
	}
	for i := range plain {
		plain[i] ^= salt[i%len(salt)]
	}
	if !bytes.HasSuffix(plain, []byte{0}) {
		return nil, ErrMySQLResponse
	}
	return plain, nil
}
