// SPDX-License-Identifier: Apache-2.0

package auth_test

import (
	"bytes"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha1"
	"crypto/sha256"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"strings"
	"sync"
	"testing"

	"github.com/go-mysql-org/go-mysql/mysql"

	"github.com/rdsproxy/rdsproxy/pkg/auth"
)

var rsaKey = sync.OnceValue(func() *rsa.PrivateKey {
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		panic(err)
	}
	return key
})

// TestNewSalt: the bytes are those that are allowed, all of them turn up, and none much more often than another.
func TestNewSalt(t *testing.T) {
	const draws = 4000
	var seen [256]int
	before := map[[auth.MySQLSaltSize]byte]bool{}
	for range draws {
		salt := auth.NewSalt()
		if before[salt] {
			t.Fatalf("%q came twice", salt)
		}
		before[salt] = true
		for _, b := range salt {
			seen[b]++
		}
	}
	mean := draws * auth.MySQLSaltSize / 126
	for b, n := range seen {
		legal := b != 0 && b != '$' && b < 0x80
		// Six standard deviations of about 25.
		if !legal && n > 0 || legal && (n < mean-150 || n > mean+150) {
			t.Errorf("byte %#x: %d times, mean %d", b, n, mean)
		}
	}
}

// TestMySQLPublicKey: clients read it as PEM of a SubjectPublicKeyInfo.
func TestMySQLPublicKey(t *testing.T) {
	text, err := auth.MySQLPublicKey(&rsaKey().PublicKey)
	if err != nil {
		t.Fatal(err)
	}
	block, rest := pem.Decode(text)
	if block == nil || block.Type != "PUBLIC KEY" || len(rest) > 0 {
		t.Fatalf("%q", text)
	}
	key, err := x509.ParsePKIXPublicKey(block.Bytes)
	if err != nil || !rsaKey().PublicKey.Equal(key) {
		t.Errorf("%v, %v", key, err)
	}
	if _, err := auth.MySQLPublicKey(&rsa.PublicKey{}); err == nil {
		t.Error("an empty key")
	}
}

func TestDecryptMySQLPassword(t *testing.T) {
	salt := auth.NewSalt()
	for _, password := range []string{"x", "secret", strings.Repeat("l", 213)} {
		sent, err := mysql.EncryptPassword(password, salt[:], &rsaKey().PublicKey)
		if err != nil {
			t.Fatal(err)
		}
		plain, err := auth.DecryptMySQLPassword(rsaKey(), salt[:], sent)
		if err != nil || string(plain) != password+"\x00" {
			t.Errorf("%q, %v", plain, err)
		}
		if err := mysqlCredential(t, password, auth.MySQLCachingSHA2).Verify(auth.PluginCleartext, nil, plain); err != nil {
			t.Error(err)
		}
		other := auth.NewSalt()
		if plain, err := auth.DecryptMySQLPassword(rsaKey(), other[:], sent); string(plain) == password+"\x00" {
			t.Errorf("with another salt: %q, %v", plain, err)
		}
	}
}

// TestDecryptMySQLPasswordRefuses: whatever is wrong is one and the same error.
func TestDecryptMySQLPasswordRefuses(t *testing.T) {
	salt := auth.NewSalt()
	key := rsaKey()
	encrypt := func(plain []byte) []byte {
		sent, err := rsa.EncryptOAEP(sha1.New(), rand.Reader, &key.PublicKey, plain, nil)
		if err != nil {
			t.Fatal(err)
		}
		return sent
	}
	good := encrypt([]byte("x"))
	flipped := bytes.Clone(good)
	flipped[7] ^= 1
	otherHash, err := rsa.EncryptOAEP(sha256.New(), rand.Reader, &key.PublicKey, []byte{salt[0]}, nil)
	if err != nil {
		t.Fatal(err)
	}
	for name, sent := range map[string][]byte{
		"nothing":        nil,
		"short":          good[:255],
		"long":           append(bytes.Clone(good), 0),
		"zeros":          make([]byte, 256),
		"ones":           bytes.Repeat([]byte{0xff}, 256),
		"a bit changed":  flipped,
		"another hash":   otherHash,
		"empty":          encrypt(nil),
		"no NUL at last": encrypt([]byte{'x' ^ salt[0]}),
	} {
		if plain, err := auth.DecryptMySQLPassword(key, salt[:], sent); !errors.Is(err, auth.ErrMySQLResponse) || plain != nil {
			t.Errorf("%s: %q, %v", name, plain, err)
		}
	}
	if _, err := auth.DecryptMySQLPassword(key, nil, good); !errors.Is(err, auth.ErrMySQLResponse) {
		t.Errorf("no salt: %v", err)
	}
}
