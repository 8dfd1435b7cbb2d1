// SPDX-License-Identifier: Apache-2.0

package mylogin

import (
	"cmp"
	"context"
	"encoding/binary"
	"errors"

	"github.com/rdsproxy/rdsproxy/pkg/auth"
	"github.com/rdsproxy/rdsproxy/pkg/proxy/login"
	"github.com/rdsproxy/rdsproxy/pkg/wire/mysql"
)

// greet leaves the greeting in d.out.
func (d *dialogue) greet() {
	g := &d.cfg.Greeting
	d.salt = auth.NewSalt()
	if d.cfg.TLS != nil {
		d.base = d.cfg.TLS()
	}
	d.offered = g.Capabilities&^mysql.ClientSSL | needed
	if d.base != nil {
		d.offered |= mysql.ClientSSL
	}
	if !d.offered.Extended() {
		d.offered &^= mysql.ExtendedMask
	}
	d.out = mysql.AppendGreeting(d.out, d.next(), &mysql.Greeting{
		Version: g.Version, ThreadID: d.cfg.ThreadID, Salt: d.salt[:], Capabilities: d.offered,
		Collation: cmp.Or(g.Collation, mysql.CollationUTF8MB40900), Status: mysql.StatusAutocommit,
		Plugin: greetingPlugin(d.unknownMethod()),
	})
}

// greetingPlugin is the plugin that the greeting names. It is never the one that sends passwords in clear: a client
// might do so at once, before there is TLS.
func greetingPlugin(m auth.MySQLMethod) string {
	if m == auth.MySQLNative {
		return auth.PluginNative
	}
	return auth.PluginCachingSHA2
}

func (d *dialogue) unknownMethod() auth.MySQLMethod {
	return cmp.Or(d.cfg.UnknownMethod, auth.MySQLCachingSHA2)
}

// response reads packets until one is a handshake response. There are two at most: TLS is asked for once.
func (d *dialogue) response(ctx context.Context) (*mysql.Login, error) {
	for {
		payload, err := d.receive(ctx, mysql.MaxLogin)
		if err != nil {
			return nil, err
		}
		if d.TLS == nil && d.base != nil && mysql.IsSSLRequest(payload) {
			if err := d.handshake(ctx); err != nil {
				return nil, err
			}
			continue
		}
		return d.parse(payload)
	}
}

func (d *dialogue) parse(payload []byte) (*mysql.Login, error) {
	// What came before protocol 4.1 begins with two bytes of capabilities, and knows no SQLSTATE in an error.
	if len(payload) >= 2 && !mysql.Capabilities(binary.LittleEndian.Uint16(payload)).Has(mysql.ClientProtocol41) {
		d.caps = 0
		return nil, d.refuse(login.UnsupportedVersion, unsupported())
	}
	if mysql.IsSSLRequest(payload) { // for the second time, or when it was not offered
		return nil, d.refuse(login.BadPacket, mysql.BadHandshake())
	}
	l, err := mysql.ParseLogin(payload)
	if err != nil {
		told, ok := errors.AsType[*mysql.Error](err)
		if !ok {
			told = mysql.BadHandshake()
		}
		return nil, d.refuse(login.BadPacket, told)
	}
	d.User, d.heard, d.caps = l.User, true, l.Capabilities
	switch {
	case d.cfg.RequireTLS && d.TLS == nil:
		return nil, d.refuseTLS("the client did not ask for TLS")
	case d.TLS == nil && d.base != nil && l.Capabilities.Has(mysql.ClientSSL):
		// A server would go on with a TLS handshake here. The client may believe that it is protected.
		return nil, d.refuse(login.BadPacket, mysql.BadHandshake())
	case !l.Capabilities.Has(mysql.ClientSecureConnection):
		return nil, d.refuse(login.UnsupportedVersion, unsupported())
	}
	if agreed := l.Capabilities & d.offered; agreed.Has(mysql.ClientZstd) && !agreed.Has(mysql.ClientCompress) &&
		(l.ZstdLevel < 1 || l.ZstdLevel > maxZstdLevel) {
		return nil, d.refuse(login.BadPacket, mysql.BadHandshake())
	}
	return l, nil
}

// maxZstdLevel is the highest level of compression that a client may ask for.
const maxZstdLevel = 22
