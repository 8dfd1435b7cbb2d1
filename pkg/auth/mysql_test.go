// SPDX-License-Identifier: Apache-2.0

package auth_test

import (
	"bytes"
	"crypto/sha1"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/go-mysql-org/go-mysql/mysql"

	"github.com/rdsproxy/rdsproxy/pkg/auth"
)

var mysqlMethods = []auth.MySQLMethod{auth.MySQLCachingSHA2, auth.MySQLNative, auth.MySQLCleartext}

func mysqlCredential(t testing.TB, password string, m auth.MySQLMethod) auth.MySQLCredential {
	t.Helper()
	c, err := auth.NewMySQLCredential(password, m)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// respond is what a client answers by the scrambles of another implementation.
func respond(plugin, password string, salt []byte) []byte {
	switch plugin {
	case auth.PluginNative:
		return mysql.CalcNativePassword(salt, []byte(password))
	case auth.PluginCachingSHA2:
		return mysql.CalcCachingSha2Password(salt, []byte(password))
	}
	return append([]byte(password), 0)
}

// TestMySQLVerify: each plugin accepts the password and nothing else, whatever the method of the credential.
func TestMySQLVerify(t *testing.T) {
	salt := []byte("abcdefghijklmnopqrst")
	for _, m := range mysqlMethods {
		for _, password := range []string{"x", "secret", "sécret ⅷ", "\xff\x01", strings.Repeat("long", 60)} {
			c := mysqlCredential(t, password, m)
			for _, plugin := range []string{auth.PluginNative, auth.PluginCachingSHA2, auth.PluginCleartext} {
				right := respond(plugin, password, salt)
				if err := c.Verify(plugin, salt, right); err != nil {
					t.Errorf("%v, %s, %q: %v", m, plugin, password, err)
				}
				for what, wrong := range map[string][]byte{
					"another password": respond(plugin, password+"x", salt),
					"empty":            {},
					"nil":              nil,
				} {
					if err := c.Verify(plugin, salt, wrong); !errors.Is(err, auth.ErrWrongPassword) {
						t.Errorf("%s, %s: %v", plugin, what, err)
					}
				}
				for i := range right {
					bad := bytes.Clone(right)
					bad[i] ^= 1
					if err := c.Verify(plugin, salt, bad); !errors.Is(err, auth.ErrWrongPassword) {
						t.Errorf("%s, byte %d changed: %v", plugin, i, err)
					}
				}
				if plugin == auth.PluginCleartext {
					continue
				}
				if err := c.Verify(plugin, []byte("another salt, as long"), right); !errors.Is(err, auth.ErrWrongPassword) {
					t.Errorf("%s, another salt: %v", plugin, err)
				}
				if err := c.Verify(plugin, nil, right); !errors.Is(err, auth.ErrWrongPassword) {
					t.Errorf("%s, no salt: %v", plugin, err)
				}
			}
		}
	}
}

// TestMySQLResponseLengths: a response of mysql_native_password has 0 or 20 bytes, one of caching_sha2_password 32, or 0
// or a single NUL for an empty password; nothing else is looked into.
func TestMySQLResponseLengths(t *testing.T) {
	c := mysqlCredential(t, "secret", auth.MySQLNative)
	for n := range 300 {
		for plugin, legal := range map[string][]int{
			auth.PluginNative: {0, sha1.Size}, auth.PluginCachingSHA2: {0, 1, sha256.Size},
		} {
			want := auth.ErrMySQLResponse
			for _, l := range legal {
				if n == l {
					want = auth.ErrWrongPassword
				}
			}
			if err := c.Verify(plugin, []byte("salt"), make([]byte, n)); !errors.Is(err, want) {
				t.Errorf("%s, %d bytes: %v", plugin, n, err)
			}
		}
	}
	if err := c.Verify(auth.PluginCachingSHA2, nil, []byte{1}); !errors.Is(err, auth.ErrMySQLResponse) {
		t.Error(err)
	}
	for _, plugin := range []string{"", "client_ed25519", "MYSQL_NATIVE_PASSWORD"} {
		if err := c.Verify(plugin, []byte("salt"), make([]byte, 20)); !errors.Is(err, auth.ErrMySQLResponse) {
			t.Errorf("%q: %v", plugin, err)
		}
	}
}

// TestMySQLStoredHashIsNoProof: who has read what a server keeps cannot log in with it.
func TestMySQLStoredHashIsNoProof(t *testing.T) {
	const password = "secret"
	c, salt := mysqlCredential(t, password, auth.MySQLNative), []byte("abcdefghijklmnopqrst")
	once1, once256 := sha1.Sum([]byte(password)), sha256.Sum256([]byte(password))
	twice1, twice256 := sha1.Sum(once1[:]), sha256.Sum256(once256[:])
	for plugin, stored := range map[string][]byte{auth.PluginNative: twice1[:], auth.PluginCachingSHA2: twice256[:]} {
		if err := c.Verify(plugin, salt, stored); !errors.Is(err, auth.ErrWrongPassword) {
			t.Errorf("%s: %v", plugin, err)
		}
		for _, text := range []string{string(stored), hex.EncodeToString(stored), "*" + strings.ToUpper(hex.EncodeToString(stored))} {
			if err := c.Verify(auth.PluginCleartext, salt, []byte(text)); !errors.Is(err, auth.ErrWrongPassword) {
				t.Errorf("%q in clear: %v", text, err)
			}
		}
	}
}

func TestMySQLCleartext(t *testing.T) {
	c := mysqlCredential(t, "secret", auth.MySQLCleartext)
	for response, want := range map[string]error{
		"secret": nil, "secret\x00": nil,
		"secret\x00\x00": auth.ErrWrongPassword, "secret\x00x": auth.ErrWrongPassword, "Secret": auth.ErrWrongPassword,
		"\x00": auth.ErrWrongPassword, "secre": auth.ErrWrongPassword,
	} {
		if err := c.Verify(auth.PluginCleartext, nil, []byte(response)); !errors.Is(err, want) {
			t.Errorf("%q: %v", response, err)
		}
	}
}

func TestMySQLUnknownUser(t *testing.T) {
	salt := []byte("abcdefghijklmnopqrst")
	for _, c := range []auth.MySQLCredential{
		auth.MockMySQLCredential("ann", auth.MySQLCachingSHA2),
		auth.MockMySQLCredential("ann", auth.MySQLNative),
		auth.MockMySQLCredential("ann", auth.MySQLCleartext),
		auth.MockMySQLCredential("ann", auth.MySQLToken),
		{},
	} {
		for _, plugin := range []string{auth.PluginNative, auth.PluginCachingSHA2, auth.PluginCleartext} {
			for _, password := range []string{"", "secret"} {
				if err := c.Verify(plugin, salt, respond(plugin, password, salt)); !errors.Is(err, auth.ErrUnknownUser) {
					t.Errorf("%v, %s: %v", c.Method(), plugin, err)
				}
			}
		}
		if err := c.VerdictOfToken(nil); !errors.Is(err, auth.ErrUnknownUser) {
			t.Errorf("%v: token: %v", c.Method(), err)
		}
	}
}

func TestMySQLToken(t *testing.T) {
	c := auth.NewMySQLToken()
	if c.IsZero() || c.Method() != auth.MySQLToken || c.Method().Plugin() != auth.PluginCleartext {
		t.Errorf("method %v", c.Method())
	}
	for _, plugin := range []string{auth.PluginNative, auth.PluginCachingSHA2, auth.PluginCleartext} {
		for _, response := range [][]byte{nil, make([]byte, 20), make([]byte, 32), []byte("token\x00")} {
			if c.Verify(plugin, []byte("salt"), response) == nil {
				t.Errorf("%s accepts %q", plugin, response)
			}
		}
	}
	cause := errors.New("expired")
	if err := c.VerdictOfToken(cause); !errors.Is(err, cause) || errors.Is(err, auth.ErrUnknownUser) {
		t.Error(err)
	}
	if err := c.VerdictOfToken(nil); err != nil {
		t.Error(err)
	}
	if err := mysqlCredential(t, "x", auth.MySQLCleartext).VerdictOfToken(nil); !errors.Is(err, auth.ErrUnknownUser) {
		t.Errorf("a user with a password logs in by token: %v", err)
	}
}

func TestNewMySQLCredential(t *testing.T) {
	for _, m := range mysqlMethods {
		if c, err := auth.NewMySQLCredential("", m); !errors.Is(err, auth.ErrEmptyPassword) || !c.IsZero() {
			t.Errorf("%v: empty password: %v", m, err)
		}
		if c := mysqlCredential(t, "x", m); c.IsZero() || c.Method() != m {
			t.Errorf("%v: %v", m, c.Method())
		}
		if c := auth.MockMySQLCredential("ann", m); c.IsZero() || c.Method() != m {
			t.Errorf("%v: mock is of method %v", m, c.Method())
		}
	}
	for _, m := range []auth.MySQLMethod{0, auth.MySQLToken, 99} {
		if c, err := auth.NewMySQLCredential("x", m); err == nil || !c.IsZero() {
			t.Errorf("a password for method %v", m)
		}
	}
	var zero auth.MySQLCredential
	if !zero.IsZero() || zero.Method() != 0 || zero.Method().String() != "none" || zero.Method().Plugin() != "" {
		t.Errorf("%v", zero.Method())
	}
	for m, want := range map[auth.MySQLMethod]string{
		auth.MySQLCachingSHA2: "caching_sha2_password", auth.MySQLNative: "mysql_native_password",
		auth.MySQLCleartext: "mysql_clear_password", auth.MySQLToken: "token",
	} {
		if m.String() != want {
			t.Errorf("%v", m)
		}
	}
}

// TestMySQLCredentialPrintsStars: nothing that a password could be tried against.
func TestMySQLCredentialPrintsStars(t *testing.T) {
	type holder struct {
		Public auth.MySQLCredential
		hidden auth.MySQLCredential
	}
	c := mysqlCredential(t, "secret", auth.MySQLNative)
	once := sha1.Sum([]byte("secret"))
	twice := sha1.Sum(once[:])
	for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%x", "%d"} {
		if s := fmt.Sprintf(verb, c); s != "****" {
			t.Errorf("%s: %q", verb, s)
		}
		s := fmt.Sprintf(verb, holder{c, c}) + fmt.Sprintf(verb, &holder{c, c})
		for _, leak := range []string{"secret", string(twice[:]), hex.EncodeToString(twice[:]), fmt.Sprint(twice[:])[1:]} {
			if strings.Contains(s, leak[:6]) {
				t.Errorf("%s: %q", verb, s)
			}
		}
	}
}

// TestUnknownMySQLUserCostsTheSame counts allocations, as TestUnknownUserCostsTheSame does.
func TestUnknownMySQLUserCostsTheSame(t *testing.T) {
	salt := []byte("abcdefghijklmnopqrst")
	known, unknown := mysqlCredential(t, "secret", auth.MySQLNative), auth.MockMySQLCredential("ann", auth.MySQLNative)
	for _, plugin := range []string{auth.PluginNative, auth.PluginCachingSHA2, auth.PluginCleartext} {
		response := respond(plugin, "wrong", salt)
		cost := func(c auth.MySQLCredential) float64 {
			return testing.AllocsPerRun(50, func() { _ = c.Verify(plugin, salt, response) })
		}
		if a, b := cost(known), cost(unknown); a != b {
			t.Errorf("%s: %v allocations for a known user, %v for an unknown one", plugin, a, b)
		}
	}
}

// FuzzMySQLVerify: without the password nobody is let in, and nothing panics.
func FuzzMySQLVerify(f *testing.F) {
	salt := []byte("abcdefghijklmnopqrst")
	for _, plugin := range []string{auth.PluginNative, auth.PluginCachingSHA2, auth.PluginCleartext} {
		f.Add(plugin, salt, respond(plugin, "wrong", salt))
		f.Add(plugin, []byte{}, []byte{})
	}
	c := mysqlCredential(f, "correct horse battery staple", auth.MySQLCachingSHA2)
	f.Fuzz(func(t *testing.T, plugin string, salt, response []byte) {
		if c.Verify(plugin, salt, response) == nil {
			t.Fatal("accepted")
		}
	})
}
