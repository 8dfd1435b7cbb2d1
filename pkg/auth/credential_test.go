// SPDX-License-Identifier: Apache-2.0

package auth_test

import (
	"crypto/md5"
	"encoding/hex"
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/rdsproxy/rdsproxy/pkg/auth"
)

func md5Hex(s string) string {
	sum := md5.Sum([]byte(s))
	return hex.EncodeToString(sum[:])
}

func TestCheckMD5(t *testing.T) {
	cred := credential(t, "ann", "secret", auth.MD5)
	salt := [4]byte{1, 2, 3, 4}
	good := "md5" + md5Hex(md5Hex("secretann")+string(salt[:]))
	for _, c := range []struct {
		name   string
		cred   auth.Credential
		answer string
		want   error
	}{
		{"right", cred, good, nil},
		{"upper case", cred, strings.ToUpper(good), auth.ErrWrongPassword},
		{"without the prefix", cred, good[3:], auth.ErrWrongPassword},
		{"longer", cred, good + "0", auth.ErrWrongPassword},
		{"empty", cred, "", auth.ErrWrongPassword},
		{"clear text", cred, "secret", auth.ErrWrongPassword},
		{"the stored hash", cred, "md5" + md5Hex("secretann"), auth.ErrWrongPassword},
		{"unknown user", auth.MockCredential("ann", auth.MD5), good, auth.ErrUnknownUser},
		{"another method", credential(t, "ann", "secret", auth.Cleartext), good, auth.ErrUnknownUser},
		{"nobody", auth.Credential{}, good, auth.ErrUnknownUser},
	} {
		if err := c.cred.CheckMD5(salt, []byte(c.answer)); !errors.Is(err, c.want) {
			t.Errorf("%s: %v", c.name, err)
		}
	}
	if err := cred.CheckMD5([4]byte{}, []byte(good)); !errors.Is(err, auth.ErrWrongPassword) {
		t.Errorf("an answer to another salt: %v", err)
	}
}

func TestCheckCleartext(t *testing.T) {
	cred := credential(t, "ann", "secret", auth.Cleartext)
	for _, c := range []struct {
		cred     auth.Credential
		password string
		want     error
	}{
		{cred, "secret", nil},
		{cred, "Secret", auth.ErrWrongPassword},
		{cred, "", auth.ErrWrongPassword},
		{cred, "secret\x00", auth.ErrWrongPassword},
		{auth.MockCredential("ann", auth.Cleartext), "secret", auth.ErrUnknownUser},
		{credential(t, "ann", "secret", auth.SCRAM), "secret", auth.ErrUnknownUser},
		{auth.Credential{}, "", auth.ErrUnknownUser},
	} {
		if err := c.cred.CheckCleartext([]byte(c.password)); !errors.Is(err, c.want) {
			t.Errorf("%q: %v", c.password, err)
		}
	}
}

func TestNewCredential(t *testing.T) {
	for _, m := range []auth.Method{auth.SCRAM, auth.MD5, auth.Cleartext} {
		if c, err := auth.NewCredential("ann", "", m); !errors.Is(err, auth.ErrEmptyPassword) || !c.IsZero() {
			t.Errorf("%v: empty password: %v", m, err)
		}
		if c, err := auth.NewCredential("ann", "\xff\x00", m); err != nil || c.IsZero() || c.Method() != m {
			t.Errorf("%v: odd password: %v", m, err)
		}
		if c := auth.MockCredential("ann", m); c.IsZero() || c.Method() != m {
			t.Errorf("%v: mock is of method %v", m, c.Method())
		}
	}
	if c, err := auth.NewCredential("ann", "x", 0); err == nil || !c.IsZero() {
		t.Error("a credential without a method")
	}
	var zero auth.Credential
	if !zero.IsZero() || zero.Method() != 0 || zero.Method().String() != "none" {
		t.Errorf("%v", zero.Method())
	}
}

// TestCredentialPrintsStars: a credential that ends up in a log by mistake, alone or inside something else, shows
// nothing that a password could be tried against.
func TestCredentialPrintsStars(t *testing.T) {
	type holder struct {
		Name   string
		Public auth.Credential
		hidden auth.Credential
	}
	md5 := credential(t, "ann", "secret", auth.MD5)
	hash := md5Hex("secretann")
	for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%x", "%d"} {
		if s := fmt.Sprintf(verb, md5); s != "****" {
			t.Errorf("%s: %q", verb, s)
		}
		s := fmt.Sprintf(verb, holder{"n", md5, md5}) + fmt.Sprintf(verb, &holder{"n", md5, md5})
		for _, leak := range []string{hash, hex.EncodeToString([]byte(hash)), fmt.Sprintf("%d", []byte(hash))} {
			if strings.Contains(s, leak[:12]) {
				t.Errorf("%s: %q", verb, s)
			}
		}
	}
}

// salt asks a credential for a SCRAM challenge and returns the salt in it.
func salt(t *testing.T, c auth.Credential) string {
	t.Helper()
	challenge, err := auth.NewExchange(c, nil).First(auth.MechanismSCRAM, []byte("n,,n=,r=abc"))
	if err != nil {
		t.Fatal(err)
	}
	_, rest, _ := strings.Cut(string(challenge), ",s=")
	s, iterations, _ := strings.Cut(rest, ",")
	if iterations != "i=4096" {
		t.Errorf("challenge %q", challenge)
	}
	return s
}

// TestSaltTellsNothing: the salt is that of the name. It does not depend on whether the user exists, nor change with
// the password.
func TestSaltTellsNothing(t *testing.T) {
	ann := salt(t, credential(t, "ann", "secret", auth.SCRAM))
	for name, other := range map[string]auth.Credential{
		"another password": credential(t, "ann", "new", auth.SCRAM),
		"unknown":          auth.MockCredential("ann", auth.SCRAM),
		"unknown, again":   auth.MockCredential("ann", auth.SCRAM),
	} {
		if s := salt(t, other); s != ann {
			t.Errorf("%s: %s, known %s", name, s, ann)
		}
	}
	if salt(t, auth.MockCredential("bob", auth.SCRAM)) == ann {
		t.Error("two names have one salt")
	}
}

// TestUnknownUserCostsTheSame compares allocations, which unlike time can be counted: a login of an unknown user does
// what one with a wrong password does.
func TestUnknownUserCostsTheSame(t *testing.T) {
	known := map[auth.Method]auth.Credential{}
	for _, m := range []auth.Method{auth.SCRAM, auth.MD5, auth.Cleartext} {
		known[m] = credential(t, "ann", "secret", m)
	}
	cost := func(c auth.Credential) float64 {
		return testing.AllocsPerRun(50, func() {
			switch c.Method() {
			case auth.SCRAM:
				x := auth.NewExchange(c, nil)
				challenge, _ := x.First(auth.MechanismSCRAM, []byte("n,,n=,r=abc"))
				both, _, _ := strings.Cut(string(challenge)[2:], ",")
				if _, err := x.Final([]byte("c=biws,r=" + both + ",p=" + proof)); err == nil {
					t.Error("accepted")
				}
			case auth.MD5:
				_ = c.CheckMD5([4]byte{}, []byte("md5"))
			case auth.Cleartext:
				_ = c.CheckCleartext([]byte("x"))
			}
		})
	}
	for m, c := range known {
		if a, b := cost(c), cost(auth.MockCredential("ann", m)); a != b {
			t.Errorf("%v: %v allocations for a known user, %v for an unknown one", m, a, b)
		}
	}
}
