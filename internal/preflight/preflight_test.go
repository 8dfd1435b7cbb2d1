// SPDX-License-Identifier: Apache-2.0

package preflight_test

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"math/big"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/rdsproxy/rdsproxy/internal/preflight"
	"github.com/rdsproxy/rdsproxy/pkg/config"
	"github.com/rdsproxy/rdsproxy/pkg/secret"
)

var now = time.Date(2026, 11, 1, 0, 0, 0, 0, time.UTC)

// files writes what the tests point at: two pairs of certificate and key, one valid, one expired, and secrets.
func files(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	pair(t, dir, "good", now.AddDate(0, -1, 0), now.AddDate(0, 1, 0))
	pair(t, dir, "old", now.AddDate(0, -2, 0), now.AddDate(0, -1, 0))
	pair(t, dir, "early", now.AddDate(0, 1, 0), now.AddDate(0, 2, 0))
	put(t, dir, "garbage.pem", "not PEM", 0o600)
	put(t, dir, "broken.pem", string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: []byte("no")})), 0o600)
	put(t, dir, "large.pem", strings.Repeat("x", 5<<20), 0o600)
	put(t, dir, "app.json", `{"username":"app","password":"hunter2"}`, 0o600)
	put(t, dir, "bad.json", `hunter2`, 0o600)
	open, err := os.ReadFile(filepath.Join(dir, "good.key"))
	if err != nil {
		t.Fatal(err)
	}
	put(t, dir, "open.key", string(open), 0o644)
	return dir
}

func put(t *testing.T, dir, name, text string, mode os.FileMode) {
	t.Helper()
	file := filepath.Join(dir, name)
	if err := os.WriteFile(file, []byte(text), mode); err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(file, mode); err != nil {
		t.Fatal(err)
	}
}

func pair(t *testing.T, dir, name string, from, to time.Time) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	tmpl := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: name}, DNSNames: []string{name}, NotBefore: from, NotAfter: to,
	}
	cert, err := x509.CreateCertificate(rand.Reader, tmpl, tmpl, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	der, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	put(t, dir, name+".crt", string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: cert})), 0o644)
	put(t, dir, name+".key", string(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der})), 0o600)
}

func TestCheck(t *testing.T) {
	dir := files(t)
	tests := []struct {
		name               string
		cert, key, ca      string
		user, secret       string
		problems, warnings []string
	}{
		{name: "all is well", cert: "good.crt", key: "good.key", ca: "good.crt"},
		{name: "no TLS"},
		{name: "no such files", cert: "x.crt", key: "x.key", ca: "x.pem", secret: "x.json", problems: []string{
			"endpoints[0].tls.cert_file: DIR/x.crt cannot be read: no such file or directory; name a PEM file that the daemon's user may read",
			"endpoints[0].tls.key_file: DIR/x.key cannot be read: no such file or directory; name a PEM file that the daemon's user may read",
			"target_groups[0].tls.ca_file: DIR/x.pem cannot be read: no such file or directory; name a PEM file that the daemon's user may read",
			`auth[0].secret: secret "DIR/x.json": not found: no such file; put a file with username and password there`,
		}},
		{name: "a folder", cert: "good.crt", key: ".", problems: []string{
			"endpoints[0].tls.key_file: DIR cannot be read: is a directory; name a PEM file that the daemon's user may read",
		}},
		{name: "another's key", cert: "good.crt", key: "old.key", problems: []string{
			"endpoints[0].tls: DIR/good.crt and DIR/old.key: tls: private key does not match public key; name a certificate and the key that belongs to it",
		}},
		{name: "no PEM", cert: "garbage.pem", key: "good.key", ca: "garbage.pem", problems: []string{
			"endpoints[0].tls: DIR/garbage.pem and DIR/good.key: tls: failed to find any PEM data in certificate input; name a certificate and the key that belongs to it",
			"target_groups[0].tls.ca_file: DIR/garbage.pem holds no certificate; name a file with certificates in PEM",
		}},
		{name: "a key for a bundle", ca: "good.key", problems: []string{
			"target_groups[0].tls.ca_file: DIR/good.key holds no certificate; name a file with certificates in PEM",
		}},
		{name: "a large file", ca: "large.pem", problems: []string{
			"target_groups[0].tls.ca_file: DIR/large.pem is larger than 4194304 bytes; name a PEM file that the daemon's user may read",
		}},
		{name: "a broken certificate in a bundle", ca: "broken.pem", warnings: []string{
			"target_groups[0].tls.ca_file: certificate 1 of DIR/broken.pem: x509: malformed certificate; remove it; it is not trusted",
		}},
		{name: "expired", cert: "old.crt", key: "old.key", warnings: []string{
			"endpoints[0].tls.cert_file: DIR/old.crt expired on 2026-10-01; renew it; clients that verify it refuse it",
		}},
		{name: "not valid yet", cert: "early.crt", key: "early.key", warnings: []string{
			"endpoints[0].tls.cert_file: DIR/early.crt is not valid before 2026-12-01; check the clock, or wait",
		}},
		{name: "an open key", cert: "good.crt", key: "open.key", warnings: []string{
			"endpoints[0].tls.key_file: everybody on this machine may read DIR/open.key; chmod o-r it",
		}},
		{name: "a broken secret", secret: "bad.json", problems: []string{
			`auth[0].secret: secret "DIR/bad.json": malformed: is not JSON at byte 1; write it like {"username": "...", "password": "..."}`,
		}},
		{name: "another's secret", user: "job", problems: []string{
			`auth[0].user: "job" is not the username in the secret "DIR/app.json"; name the secret of this user, or the user of this secret`,
		}},
	}
	within := func(name string) string {
		if name == "" {
			return ""
		}
		return filepath.Join(dir, name)
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			user, file := "app", "app.json"
			if tt.user != "" {
				user = tt.user
			}
			if tt.secret != "" {
				file = tt.secret
			}
			c := &config.Config{
				Endpoints:    []config.Endpoint{{TLS: config.EndpointTLS{CertFile: within(tt.cert), KeyFile: within(tt.key)}}},
				TargetGroups: []config.TargetGroup{{TLS: config.TargetTLS{CAFile: within(tt.ca)}}},
				Auth:         []config.Auth{{User: user, Secret: within(file)}},
			}
			r := preflight.Check(t.Context(), c, secret.NewFileStore(secret.FileOptions{}), now)
			compare(t, dir, tt.problems, r.Problems)
			compare(t, dir, tt.warnings, r.Warnings)
		})
	}
}

func compare(t *testing.T, dir string, want []string, problems []config.Problem) {
	t.Helper()
	var got []string
	for _, p := range problems {
		text := strings.ReplaceAll(p.String(), dir, "DIR")
		if strings.Contains(text, "hunter2") {
			t.Errorf("shows a password: %s", text)
		}
		got = append(got, text)
	}
	if d := cmp.Diff(want, got); d != "" {
		t.Error(d)
	}
}
