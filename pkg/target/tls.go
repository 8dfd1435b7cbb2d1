// SPDX-License-Identifier: Apache-2.0

package target

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
)

// verifyChain checks that a certificate the authorities of cfg trust was shown,
// whatever its name. It also runs when a session is resumed.
func verifyChain(cfg *tls.Config) func(tls.ConnectionState) error {
	roots, now := cfg.RootCAs, cfg.Time
	return func(s tls.ConnectionState) error {
		if len(s.PeerCertificates) == 0 {
			return errors.New("the server shows no certificate")
		}
		o := x509.VerifyOptions{Roots: roots, Intermediates: x509.NewCertPool()}
		if now != nil {
			o.CurrentTime = now()
		}
		for _, c := range s.PeerCertificates[1:] {
			o.Intermediates.AddCert(c)
		}
		_, err := s.PeerCertificates[0].Verify(o)
		if err != nil {
			return &tls.CertificateVerificationError{UnverifiedCertificates: s.PeerCertificates, Err: err}
		}
		return nil
	}
}

// untrusted tells whether a handshake failed because of the server's certificate.
func untrusted(err error) bool {
	var e *tls.CertificateVerificationError
	return errors.As(err, &e)
}
