// SPDX-License-Identifier: Apache-2.0

package mylogin

import (
	"context"
	"crypto/tls"
	"sync/atomic"

	"github.com/rdsproxy/rdsproxy/pkg/proxy/login"
)

// handshake begins TLS, as d.base says.
func (d *dialogue) handshake(ctx context.Context) error {
	if err := d.Leave(ctx); err != nil {
		return err
	}
	tc := tls.Server(d.Raw, prepare(d.base))
	if err := tc.HandshakeContext(ctx); err != nil {
		e := d.Broken(ctx, err)
		if e.Reason == login.Disconnected {
			e.Reason, e.Cause = login.TLSHandshake, err
		}
		return e
	}
	d.TLS, d.Conn = tc, tc
	return nil
}

// prepared is the last result of prepare. A process has one certificate at a time, and a connection keeps its
// configuration for life, so sharing it saves each idle client half a kilobyte.
var prepared atomic.Pointer[preparedTLS]

type preparedTLS struct{ base, cfg *tls.Config }

// prepare makes the configuration for clients of MySQL out of the one given.
func prepare(base *tls.Config) *tls.Config {
	if p := prepared.Load(); p != nil && p.base == base {
		return p.cfg
	}
	cfg := base.Clone()
	cfg.NextProtos = nil // MySQL has no name there
	cfg.MinVersion = max(cfg.MinVersion, tls.VersionTLS12)
	cfg.SessionTicketsDisabled = true // hardly any client would use them
	cfg.GetConfigForClient = nil
	prepared.Store(&preparedTLS{base, cfg})
	return cfg
}
