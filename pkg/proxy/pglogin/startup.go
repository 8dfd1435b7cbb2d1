// SPDX-License-Identifier: Apache-2.0

package pglogin

import (
	"context"
	"errors"

	"github.com/rdsproxy/rdsproxy/pkg/proxy/login"
	"github.com/rdsproxy/rdsproxy/pkg/wire/postgres"
)

// startup reads packets until one is a StartupMessage or a CancelRequest. What goes out before the authentication is
// left in d.out.
//
// Each kind of request is answered once and remembered for good, which ends the loop after three packets whatever
// their order; in PostgreSQL an answer to one kind made the server forget the other one (CVE-2026-6479).
func (d *dialogue) startup(ctx context.Context) (*postgres.Startup, error) {
	var sawSSL, sawGSS bool
	for first := true; ; first = false {
		head := make([]byte, postgres.StartupHeaderSize)
		if err := d.read(ctx, head); err != nil {
			return nil, err
		}
		if first && head[0] == postgres.TLSHandshake {
			if err := d.directTLS(ctx, head); err != nil {
				return nil, err
			}
			continue
		}
		s, err := d.packet(ctx, head)
		if err != nil {
			return nil, err
		}
		switch {
		case s.Kind == postgres.PacketSSL && !sawSSL:
			sawSSL = true
			if err := d.answerSSL(ctx); err != nil {
				return nil, err
			}
			sawGSS = sawGSS || d.TLS != nil // there is no encryption to be had on top of TLS
		case s.Kind == postgres.PacketGSS && !sawGSS:
			sawGSS = true
			d.out = append(d.out, 'N')
			if err := d.flush(ctx); err != nil {
				return nil, err
			}
		case s.Kind == postgres.PacketSSL, s.Kind == postgres.PacketGSS:
			return nil, d.refuse(login.UnsupportedVersion, postgres.UnsupportedVersion(s.Version))
		default:
			return s, nil
		}
	}
}

// packet reads the rest of a packet and decodes it.
func (d *dialogue) packet(ctx context.Context, head []byte) (*postgres.Startup, error) {
	n, err := postgres.StartupLength(head)
	if err != nil {
		d.Unread = true
		return nil, d.refuse(login.BadPacket, err)
	}
	packet := make([]byte, n)
	if err := d.read(ctx, packet[copy(packet, head):]); err != nil {
		return nil, err
	}
	s, err := postgres.DecodeStartup(packet)
	if s.Kind == postgres.PacketStartup {
		if version, tell := s.Negotiate(); tell {
			d.out = postgres.AppendNegotiateProtocolVersion(d.out, version, s.UnknownOptions)
		}
	}
	if err != nil {
		return nil, d.badPacket(&s, err)
	}
	if s.Kind != postgres.PacketStartup {
		return &s, nil
	}
	d.User = s.User
	if d.cfg.RequireTLS && d.TLS == nil {
		d.last = postgres.Fatal(postgres.CodeInvalidAuthorization, "This RDS Proxy requires TLS connections")
		return nil, &login.Error{Reason: login.TLSRequired, User: d.User, Cause: errors.New("the client did not ask for TLS")}
	}
	return &s, nil
}

func (d *dialogue) badPacket(s *postgres.Startup, err error) error {
	// A packet that could not be decoded has no kind; if it has a version, then that was the reason.
	if s.Kind == 0 && s.Version != 0 {
		d.v2 = s.Version.Major() < postgres.Version30.Major()
		return d.refuse(login.UnsupportedVersion, err)
	}
	return d.refuse(login.BadPacket, err)
}
