// SPDX-License-Identifier: Apache-2.0

// Package preflight looks at the files that a configuration points to: certificates, keys, authorities and secrets. The
// configuration itself was checked when it was parsed; this finds what would fail afterwards, all of it at once and before
// anything is started.
package preflight

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"time"

	"github.com/rdsproxy/rdsproxy/internal/daemon"
	"github.com/rdsproxy/rdsproxy/pkg/config"
	"github.com/rdsproxy/rdsproxy/pkg/secret"
)

// Report is what was found.
type Report struct {
	// Problems keep the daemon, or a part of it, from working.
	Problems []config.Problem
	// Warnings do not.
	Warnings []config.Problem
}

// maxFile bounds a PEM file, in bytes. The bundle of all RDS authorities has about 160 KiB.
const maxFile = 4 << 20

// Check looks at every file. now decides whether a certificate is valid.
func Check(ctx context.Context, c *config.Config, secrets secret.Store, now time.Time) Report {
	var r Report
	for i, e := range c.Endpoints {
		if e.TLS.Enabled() {
			r.certificate(fmt.Sprintf("endpoints[%d].tls", i), e.TLS, now)
		}
	}
	for i, g := range c.TargetGroups {
		if g.TLS.CAFile != "" {
			r.authorities(fmt.Sprintf("target_groups[%d].tls.ca_file", i), g.TLS.CAFile)
		}
	}
	for i, a := range c.Auth {
		if a.Secret != "" {
			r.secret(ctx, fmt.Sprintf("auth[%d]", i), a, secrets)
		}
	}
	for i, k := range c.IAM.OwnKeys {
		if _, err := secrets.Get(ctx, k.Secret); err != nil {
			r.problem(fmt.Sprintf("iam.own_keys[%d].secret", i), err.Error(), `put {"AccessKeyId": "...", "SecretAccessKey": "..."} there`)
		}
	}
	if _, err := daemon.NewGate(c.IAM, secrets, nil); err != nil {
		r.problem("", err.Error(), "see docs/authentication.md")
	}
	return r
}

func (r *Report) problem(path, what, do string) {
	r.Problems = append(r.Problems, config.Problem{Path: path, What: what, Do: do})
}

func (r *Report) warn(path, what, do string) {
	r.Warnings = append(r.Warnings, config.Problem{Path: path, What: what, Do: do})
}

func (r *Report) certificate(path string, t config.EndpointTLS, now time.Time) {
	const do = "name a PEM file that the daemon's user may read"
	cert, err := read(t.CertFile)
	if err != nil {
		r.problem(path+".cert_file", err.Error(), do)
	}
	key, kerr := read(t.KeyFile)
	if kerr != nil {
		r.problem(path+".key_file", kerr.Error(), do)
	}
	if err != nil || kerr != nil {
		return
	}
	if info, err := os.Stat(t.KeyFile); err == nil && info.Mode().Perm()&0o004 != 0 {
		r.warn(path+".key_file", "everybody on this machine may read "+t.KeyFile, "chmod o-r it")
	}
	pair, err := tls.X509KeyPair(cert, key)
	if err != nil {
		r.problem(path, fmt.Sprintf("%s and %s: %v", t.CertFile, t.KeyFile, err), "name a certificate and the key that belongs to it")
		return
	}
	leaf, err := x509.ParseCertificate(pair.Certificate[0])
	if err != nil {
		r.problem(path+".cert_file", fmt.Sprintf("%s: %v", t.CertFile, err), "name a valid certificate")
		return
	}
	switch {
	case now.After(leaf.NotAfter):
		r.warn(path+".cert_file", fmt.Sprintf("%s expired on %s", t.CertFile, day(leaf.NotAfter)), "renew it; clients that verify it refuse it")
	case now.Before(leaf.NotBefore):
		r.warn(path+".cert_file", fmt.Sprintf("%s is not valid before %s", t.CertFile, day(leaf.NotBefore)), "check the clock, or wait")
	}
}

func day(t time.Time) string { return t.UTC().Format(time.DateOnly) }

// authorities checks every certificate of a bundle: x509.CertPool would leave out what it cannot read without a word.
func (r *Report) authorities(path, file string) {
	text, err := read(file)
	if err != nil {
		r.problem(path, err.Error(), "name a PEM file that the daemon's user may read")
		return
	}
	n := 0
	for block, rest := pem.Decode(text); block != nil; block, rest = pem.Decode(rest) {
		if block.Type != "CERTIFICATE" {
			continue
		}
		n++
		if _, err := x509.ParseCertificate(block.Bytes); err != nil {
			r.warn(path, fmt.Sprintf("certificate %d of %s: %v", n, file, err), "remove it; it is not trusted")
		}
	}
	if n == 0 {
		r.problem(path, file+" holds no certificate", "name a file with certificates in PEM")
	}
}

func (r *Report) secret(ctx context.Context, path string, a config.Auth, secrets secret.Store) {
	c, err := secrets.Get(ctx, a.Secret)
	if err != nil {
		do := "put a file with username and password there"
		if secret.InSecretsManager(a.Secret) {
			do = "look at the secret, and at what the proxy's credentials may read"
		}
		if errors.Is(err, secret.ErrMalformed) {
			do = `write it like {"username": "...", "password": "..."}`
		}
		r.problem(path+".secret", err.Error(), do)
		return
	}
	if c.Username != a.User {
		r.problem(path+".user", fmt.Sprintf("%q is not the username in the secret %q", a.User, a.Secret),
			"name the secret of this user, or the user of this secret")
	}
}

func read(file string) ([]byte, error) {
	f, err := os.Open(file)
	if err != nil {
		return nil, cause(file, err)
	}
	defer f.Close()
	text, err := io.ReadAll(io.LimitReader(f, maxFile+1))
	switch {
	case err != nil:
		return nil, cause(file, err)
	case len(text) > maxFile:
		return nil, fmt.Errorf("%s is larger than %d bytes", file, maxFile)
	}
	return text, nil
}

func cause(file string, err error) error {
	if pe := (*fs.PathError)(nil); errors.As(err, &pe) {
		err = pe.Err
	}
	return fmt.Errorf("%s cannot be read: %w", file, err)
}
