// SPDX-License-Identifier: Apache-2.0

package auth_test

import (
	"errors"
	"testing"

	"github.com/rdsproxy/rdsproxy/pkg/auth"
)

// TestVersions: during a rotation each password is good, and nothing else; real clients believe the server with each.
func TestVersions(t *testing.T) {
	salt := [4]byte{1, 2, 3, 4}
	for _, m := range []auth.Method{auth.SCRAM, auth.MD5, auth.Cleartext, auth.TokenOrPassword} {
		cred, err := auth.NewCredential("ann", "new", m, "old", "older")
		if err != nil {
			t.Fatal(err)
		}
		for password, good := range map[string]bool{"new": true, "old": true, "older": true, "oldest": false, "": false} {
			var err error
			switch m {
			case auth.MD5:
				err = cred.CheckMD5(salt, []byte("md5"+md5Hex(md5Hex(password+"ann")+string(salt[:]))))
			case auth.Cleartext:
				err = cred.CheckCleartext([]byte(password))
			default:
				if password == "" {
					continue // the client of the tests has none
				}
				err = login(t, auth.NewExchange(cred, nil), auth.MechanismSCRAM, client(t, password).NewConversation())
				if m == auth.TokenOrPassword {
					err = errors.Join(err, cred.CheckCleartext([]byte(password)))
				}
			}
			if (err == nil) != good || err != nil && !errors.Is(err, auth.ErrWrongPassword) {
				t.Errorf("%v, %q: %v", m, password, err)
			}
		}
		if _, err := auth.NewCredential("ann", "new", m, "old", ""); !errors.Is(err, auth.ErrEmptyPassword) {
			t.Errorf("%v: an empty password among the others: %v", m, err)
		}
	}
}

func TestMySQLVersions(t *testing.T) {
	salt := []byte("abcdefghijklmnopqrst")
	for _, m := range append(mysqlMethods, auth.MySQLCachingSHA2OrToken, auth.MySQLNativeOrToken) {
		cred, err := auth.NewMySQLCredential("new", m, "old", "older")
		if err != nil {
			t.Fatal(err)
		}
		for _, plugin := range []string{auth.PluginNative, auth.PluginCachingSHA2, auth.PluginCleartext} {
			for password, good := range map[string]bool{"new": true, "old": true, "older": true, "oldest": false} {
				if err := cred.Verify(plugin, salt, respond(plugin, password, salt)); (err == nil) != good {
					t.Errorf("%v, %s, %q: %v", m, plugin, password, err)
				}
			}
		}
		if _, err := auth.NewMySQLCredential("new", m, ""); !errors.Is(err, auth.ErrEmptyPassword) {
			t.Errorf("%v: an empty password among the others: %v", m, err)
		}
	}
}

// TestToken: a credential without a password refuses all of them, and the verdict on a token stands only where tokens are taken.
func TestToken(t *testing.T) {
	token := auth.NewToken("ann")
	if token.Method() != auth.Token || token.IsZero() {
		t.Error(token.Method())
	}
	if err := token.CheckCleartext(nil); err == nil {
		t.Error("a password is taken")
	}
	if err := login(t, auth.NewExchange(token, nil), auth.MechanismSCRAM, client(t, "x").NewConversation()); err == nil {
		t.Error("SCRAM is taken")
	}
	cause := errors.New("expired")
	for _, c := range []struct {
		name  string
		cred  auth.Credential
		takes bool
	}{
		{"token", token, true},
		{"either", credential(t, "ann", "x", auth.TokenOrPassword), true},
		{"password", credential(t, "ann", "x", auth.SCRAM), false},
		{"unknown", auth.MockCredential("ann", auth.Token), false},
		{"unknown, either", auth.MockCredential("ann", auth.TokenOrPassword), false},
		{"nobody", auth.Credential{}, false},
	} {
		if err := c.cred.VerdictOfToken(nil); (err == nil) != c.takes || errors.Is(err, auth.ErrUnknownUser) == c.takes {
			t.Errorf("%s: good token: %v", c.name, err)
		}
		if err := c.cred.VerdictOfToken(cause); !errors.Is(err, cause) || errors.Is(err, auth.ErrUnknownUser) == c.takes {
			t.Errorf("%s: bad token: %v", c.name, err)
		}
	}
}
