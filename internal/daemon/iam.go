// SPDX-License-Identifier: Apache-2.0

package daemon

import (
	"bytes"
	"crypto/x509"
	"fmt"
	"net/http"
	"os"

	"github.com/rdsproxy/rdsproxy/pkg/config"
	"github.com/rdsproxy/rdsproxy/pkg/iam"
	"github.com/rdsproxy/rdsproxy/pkg/secret"
)

// NewGate makes what tokens of clients are checked with; nil if none are taken. It
// reads the files that the configuration names. sts takes the place of the way to
// AWS STS; nil is the plain one.
func NewGate(c config.IAM, secrets secret.Store, sts http.RoundTripper) (*iam.Gate, error) {
	if !c.Enabled() {
		return nil, nil
	}
	var verifiers []iam.Verifier
	if len(c.OwnKeys) > 0 {
		v, err := ownKeys(c, secrets)
		if err != nil {
			return nil, err
		}
		verifiers = append(verifiers, v)
	}
	if len(c.STS.Mappings) > 0 {
		v, err := iam.NewSTS(iam.STSOptions{Mappings: mappings(c.STS.Mappings), Regions: c.STS.Regions, Transport: sts})
		if err != nil {
			return nil, fmt.Errorf("iam.sts: %w", err)
		}
		verifiers = append(verifiers, v)
	}
	for i, w := range c.WebIdentity {
		v, err := webIdentity(w)
		if err != nil {
			return nil, fmt.Errorf("iam.web_identity[%d]: %w", i, err)
		}
		verifiers = append(verifiers, v)
	}
	return iam.NewGate(iam.GateOptions{Verifiers: verifiers, FailureBurst: c.MaxFailures}), nil
}

func ownKeys(c config.IAM, secrets secret.Store) (*iam.OwnKeys, error) {
	var entries []iam.KeyEntry
	for i, k := range c.OwnKeys {
		text, err := os.ReadFile(k.PolicyFile)
		if err != nil {
			return nil, fmt.Errorf("iam.own_keys[%d].policy_file: %w", i, err)
		}
		policy, err := iam.ParsePolicy(text)
		if err != nil {
			return nil, fmt.Errorf("iam.own_keys[%d].policy_file: %s: %w", i, k.PolicyFile, err)
		}
		entries = append(entries, iam.KeyEntry{Secret: k.Secret, Policy: policy})
	}
	r := c.Resource
	v, err := iam.NewOwnKeys(iam.OwnKeysOptions{
		Keys:     iam.NewKeyring(secrets, entries),
		Resource: iam.Resource{Partition: r.Partition, Region: r.Region, Account: r.Account, ID: r.ID},
	})
	if err != nil {
		return nil, fmt.Errorf("iam.resource: %w", err)
	}
	return v, nil
}

func webIdentity(w config.WebIdentity) (*iam.WebIdentity, error) {
	o := iam.WebIdentityOptions{
		Issuer: w.Issuer, Audience: w.Audience, KeysURL: w.KeysURL, Claim: w.Claim, Mappings: mappings(w.Mappings),
	}
	if w.CAFile != "" {
		text, err := os.ReadFile(w.CAFile)
		if err != nil {
			return nil, fmt.Errorf("ca_file: %w", err)
		}
		o.Roots = x509.NewCertPool()
		if !o.Roots.AppendCertsFromPEM(text) {
			return nil, fmt.Errorf("ca_file: %s holds no certificate", w.CAFile)
		}
	}
	if w.BearerFile != "" {
		// Kubernetes replaces it by the hour.
		o.Bearer = func() (string, error) {
			text, err := os.ReadFile(w.BearerFile)
			return string(bytes.TrimSpace(text)), err
		}
	}
	return iam.NewWebIdentity(o)
}

func mappings(list []config.Mapping) []iam.Mapping {
	out := make([]iam.Mapping, len(list))
	for i, m := range list {
		out[i] = iam.Mapping{Match: m.Match, Users: m.Users}
	}
	return out
}

// addresses are those by which clients reach an endpoint.
func addresses(e config.Endpoint, port uint16) []iam.Address {
	var list []iam.Address
	for _, a := range e.Addresses(port) {
		list = append(list, iam.Address{Host: a.Host, Port: a.Port})
	}
	return list
}
