// SPDX-License-Identifier: Apache-2.0

package auth

import (
	"bufio"
	"crypto/sha256"
	"crypto/sha512"
	"crypto/x509"
	"encoding/base64"
	"encoding/hex"
	"os"
	"strings"
	"testing"
)

// TestRFC7677 is the example of RFC 7677 section 3.
func TestRFC7677(t *testing.T) {
	salt, _ := base64.StdEncoding.DecodeString("W22ZaJ0SNY7soEsUEjb6gQ==")
	k := &keys{method: SCRAM, known: true}
	var err error
	if k.storedKey, k.serverKey, err = deriveSCRAM("pencil", salt, 4096); err != nil {
		t.Fatal(err)
	}
	const nonce = "rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0"
	x := &Exchange{
		k: k, step: waitFinal, gs2: "n,,", nonce: nonce,
		authMessage: "n=user,r=rOprNGfwEbeRWgbNEkqO,r=" + nonce + ",s=W22ZaJ0SNY7soEsUEjb6gQ==,i=4096",
	}
	got, err := x.Final([]byte("c=biws,r=" + nonce + ",p=dHzbZapWIk4jUhN+Ute9ytag9zjfMHgsqmmiz7AndVQ="))
	if err != nil || string(got) != "v=6rriTRBi23WpRR/wtup+mMhUZUn/dB5nLTJRsjl95G4=" {
		t.Errorf("%q, %v", got, err)
	}
}

// TestDerivationAgreesWithPostgres: a password means here what it means to the server, whatever letters are in it.
func TestDerivationAgreesWithPostgres(t *testing.T) {
	f, err := os.Open("testdata/postgres_secrets.txt")
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	n := 0
	for lines := bufio.NewScanner(f); lines.Scan(); {
		line := lines.Text()
		if strings.HasPrefix(line, "#") {
			continue
		}
		n++
		fields := strings.SplitN(line, " ", 3)
		password, _ := hex.DecodeString(fields[0])
		salt64, keys, _ := strings.Cut(strings.TrimPrefix(fields[1], "SCRAM-SHA-256$4096:"), "$")
		salt, _ := base64.StdEncoding.DecodeString(salt64)
		stored, server, err := deriveSCRAM(string(password), salt, Iterations)
		got := base64.StdEncoding.EncodeToString(stored[:]) + ":" + base64.StdEncoding.EncodeToString(server[:])
		if err != nil || got != keys {
			t.Errorf("%s (%q): %s, %v", fields[2], password, got, err)
		}
	}
	if n < 19 {
		t.Errorf("only %d passwords were tried", n)
	}
}

func TestSASLPrep(t *testing.T) {
	for in, want := range map[string]string{
		"pencil":       "pencil",
		"I\u00adX":     "IX",
		"\u00aa":       "a",
		"\u2168":       "IX",
		"a\u200bb":     "a b",
		"a\u1806b":     "ab",
		"\u00ad":       "\u00ad",
		"\x07":         "\x07",
		"\u06271":      "\u06271",
		"\xff\u2168":   "\xff\u2168",
		"\ufaa3":       "\ufaa3",
		"pass word":    "pass word",
		"pass\u3000wd": "pass wd",
	} {
		if got := saslPrep(in); got != want {
			t.Errorf("%+q: %+q, want %+q", in, got, want)
		}
	}
}

func TestEndpointHash(t *testing.T) {
	raw := []byte("certificate")
	s256, s384, s512 := sha256.Sum256(raw), sha512.Sum384(raw), sha512.Sum512(raw)
	for alg, want := range map[x509.SignatureAlgorithm][]byte{
		x509.MD5WithRSA:       s256[:],
		x509.SHA1WithRSA:      s256[:],
		x509.ECDSAWithSHA1:    s256[:],
		x509.SHA256WithRSA:    s256[:],
		x509.SHA256WithRSAPSS: s256[:],
		x509.ECDSAWithSHA256:  s256[:],
		x509.SHA384WithRSA:    s384[:],
		x509.SHA384WithRSAPSS: s384[:],
		x509.ECDSAWithSHA384:  s384[:],
		x509.SHA512WithRSA:    s512[:],
		x509.SHA512WithRSAPSS: s512[:],
		x509.ECDSAWithSHA512:  s512[:],
		x509.PureEd25519:      nil,
		x509.MD2WithRSA:       nil,

		x509.UnknownSignatureAlgorithm: nil,
	} {
		got := EndpointHash(&x509.Certificate{Raw: raw, SignatureAlgorithm: alg})
		if string(got) != string(want) || (got == nil) != (want == nil) {
			t.Errorf("%v: %x", alg, got)
		}
	}
}

func FuzzSASLPrep(f *testing.F) {
	for _, s := range []string{"", "pencil", "\u2168", "\u00ad", "\u06271", "\xff", "e\u0301\u200b\u1806"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		out := saslPrep(s)
		if s != "" && out == "" {
			t.Fatalf("%+q vanished", s)
		}
	})
}
