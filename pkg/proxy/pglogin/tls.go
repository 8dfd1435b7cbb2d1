// SPDX-License-Identifier: Apache-2.0

package pglogin

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"net"
	"sync/atomic"

	"github.com/rdsproxy/rdsproxy/pkg/auth"
	"github.com/rdsproxy/rdsproxy/pkg/proxy/login"
	"github.com/rdsproxy/rdsproxy/pkg/wire/postgres"
)

// answerSSL answers an SSLRequest, and begins TLS if it is to be had.
func (d *dialogue) answerSSL(ctx context.Context) error {
	base := d.baseTLS()
	if base == nil || d.TLS != nil {
		d.out = append(d.out, 'N')
		return d.flush(ctx)
	}
	d.out = append(d.out, 'S')
	if err := d.flush(ctx); err != nil {
		return err
	}
	if err := d.Leave(ctx); err != nil {
		return err
	}
	return d.handshake(ctx, d.Raw, base)
}

// directTLS begins TLS with a client that did so without asking. Then it has to say by ALPN that it means PostgreSQL:
// with the question left out, nothing else would keep the client of another protocol, tricked into coming here, from
// being understood (the ALPACA attacks). head is what was read of the handshake.
func (d *dialogue) directTLS(ctx context.Context, head []byte) error {
	base := d.baseTLS()
	if base == nil {
		return &login.Error{Reason: login.TLSHandshake, Cause: errors.New("the client began with TLS, which is not offered here")}
	}
	if err := d.Leave(ctx); err != nil {
		return err
	}
	conn := d.Raw
	if u, ok := conn.(interface{ Unread(p []byte) }); ok {
		u.Unread(head) // so that TLS sits on the connection itself, which a loop will want
	} else {
		conn = &replay{Conn: conn, head: head}
	}
	if err := d.handshake(ctx, conn, base); err != nil {
		return err
	}
	if d.TLS.ConnectionState().NegotiatedProtocol != postgres.ALPN {
		return &login.Error{Reason: login.TLSHandshake, Cause: errors.New("the client began with TLS but did not offer ALPN " + postgres.ALPN)}
	}
	return nil
}

func (d *dialogue) baseTLS() *tls.Config {
	if d.cfg.TLS == nil {
		return nil
	}
	return d.cfg.TLS()
}

func (d *dialogue) handshake(ctx context.Context, conn net.Conn, base *tls.Config) error {
	var shown *tls.Certificate
	tc := tls.Server(conn, prepare(base))
	if err := tc.HandshakeContext(context.WithValue(ctx, shownKey{}, &shown)); err != nil {
		e := d.Broken(ctx, err)
		if e.Reason == login.Disconnected {
			e.Reason, e.Cause = login.TLSHandshake, err
		}
		return e
	}
	d.TLS, d.Conn, d.binding = tc, tc, bindingOf(shown)
	return nil
}

// shownKey is where the context of a handshake has a **tls.Certificate to note the certificate that was shown; nothing
// else tells the server's side.
type shownKey struct{}

// prepared is the last result of prepare. A process has one certificate at a time, and a connection keeps its
// configuration for life, so sharing it saves each idle client half a kilobyte.
var prepared atomic.Pointer[preparedTLS]

type preparedTLS struct{ base, cfg *tls.Config }

// prepare makes the configuration for clients of PostgreSQL out of the one given.
func prepare(base *tls.Config) *tls.Config {
	if p := prepared.Load(); p != nil && p.base == base {
		return p.cfg
	}
	cfg := base.Clone()
	cfg.NextProtos = []string{postgres.ALPN}
	cfg.MinVersion = max(cfg.MinVersion, tls.VersionTLS12)
	// As in PostgreSQL there is no resumption: it would leave open which certificate the client has seen, and hardly
	// any client does it.
	cfg.SessionTicketsDisabled = true
	cfg.GetConfigForClient = nil
	cfg.Certificates = nil
	cfg.GetCertificate = func(hello *tls.ClientHelloInfo) (*tls.Certificate, error) {
		c, err := certificateFor(base, hello)
		if shown, ok := hello.Context().Value(shownKey{}).(**tls.Certificate); ok {
			*shown = c
		}
		return c, err
	}
	prepared.Store(&preparedTLS{base, cfg})
	return cfg
}

// certificateFor chooses as crypto/tls does.
func certificateFor(base *tls.Config, hello *tls.ClientHelloInfo) (*tls.Certificate, error) {
	if base.GetCertificate != nil {
		if c, err := base.GetCertificate(hello); c != nil || err != nil {
			return c, err
		}
	}
	if len(base.Certificates) == 0 {
		return nil, errors.New("there is no certificate")
	}
	for i := range base.Certificates {
		if hello.SupportsCertificate(&base.Certificates[i]) == nil {
			return &base.Certificates[i], nil
		}
	}
	return &base.Certificates[0], nil
}

// bindingOf returns the channel binding data for a certificate, nil if there is none to be had.
func bindingOf(c *tls.Certificate) []byte {
	if c == nil || len(c.Certificate) == 0 {
		return nil
	}
	leaf := c.Leaf
	if leaf == nil {
		var err error
		if leaf, err = x509.ParseCertificate(c.Certificate[0]); err != nil {
			return nil
		}
	}
	return auth.EndpointHash(leaf)
}

// replay is a connection of which a few bytes were read already. The TLS engine on top of it sees them first.
type replay struct {
	net.Conn
	head []byte
}

func (r *replay) Read(p []byte) (int, error) {
	if len(r.head) == 0 {
		return r.Conn.Read(p)
	}
	n := copy(p, r.head)
	if r.head = r.head[n:]; len(r.head) == 0 {
		r.head = nil
	}
	return n, nil
}
