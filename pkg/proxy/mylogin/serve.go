// SPDX-License-Identifier: Apache-2.0

package mylogin

import (
	"context"
	"crypto/tls"
	"errors"
	"io"
	"net"
	"time"

	"github.com/rdsproxy/rdsproxy/pkg/auth"
	"github.com/rdsproxy/rdsproxy/pkg/proxy/login"
	"github.com/rdsproxy/rdsproxy/pkg/wire/mysql"
)

// Serve logs the client at the other end of t in, which may be a login.OnLoop. The deadline of ctx, and its cancellation, end
// the dialogue; t is left without a deadline after success.
//
// On success the client waits for the OK packet that ends the login; nothing of it has been sent. On failure the client
// has been told, and t is to be closed; the error is a *login.Error. Serve never closes t, except that the TLS engine does
// when ctx ends in the middle of a handshake.
func Serve(ctx context.Context, t net.Conn, cfg *Config) (*Login, error) {
	// Until a client says otherwise it is taken for one that understands today's errors.
	d := &dialogue{cfg: cfg, Line: login.Line{Raw: t, Conn: t}, stage: login.BadPacket, caps: mysql.ClientProtocol41}
	d.Begin(ctx)
	login, err := d.run(ctx)
	if d.WasCut() && err == nil {
		err = d.interrupted(ctx, ctx.Err())
	}
	if err != nil {
		d.farewell()
		return nil, err
	}
	_ = d.Raw.SetDeadline(time.Time{}) // if it fails, so does the next read
	return login, nil
}

// dialogue is one login under way.
type dialogue struct {
	cfg *Config
	login.Line

	// base is what TLS was offered by, nil if it was not.
	base *tls.Config
	salt [auth.MySQLSaltSize]byte
	// offered are the capabilities of the greeting, caps those of the client.
	offered, caps mysql.Capabilities
	// heard says that the user's name is known, since it may be empty.
	heard bool
	// password tells whether the client gave one that is not empty.
	password bool
	// stage is the reason for which a packet that breaks the protocol makes the login fail.
	stage login.Reason
	// seq is the sequence id of the next packet, whoever sends it.
	seq byte
	// out is what is to be sent with the next flush.
	out []byte
	// last is the error to be sent to the client, nil if it is told nothing.
	last *mysql.Error
}

// run returns a *login.Error as error, or nil.
func (d *dialogue) run(ctx context.Context) (*Login, error) {
	d.greet()
	l, err := d.response(ctx)
	if err != nil {
		return nil, err
	}
	d.stage = login.BadMessage
	method, err := d.authenticate(ctx, l)
	if err != nil {
		return nil, err
	}
	return d.login(l, method), nil
}

func (d *dialogue) login(l *mysql.Login, method auth.MySQLMethod) *Login {
	agreed := l.Capabilities & d.offered &^ mysql.ClientSSL
	if d.TLS != nil {
		agreed |= mysql.ClientSSL // some clients say so in their request only
	}
	login := &Login{
		TLS: d.TLS, User: l.User, Schema: l.Schema, Capabilities: agreed, MaxPacket: l.MaxPacket, Collation: l.Collation,
		Attributes: l.Attributes, Method: method, NextSeq: d.seq,
	}
	// Client and server both look for zlib first.
	switch {
	case agreed.Has(mysql.ClientCompress):
		login.Compression = Zlib
	case agreed.Has(mysql.ClientZstd):
		login.Compression, login.ZstdLevel = Zstd, int(l.ZstdLevel)
	}
	return login
}

// next counts a packet that is about to be sent, and returns its sequence id.
func (d *dialogue) next() byte {
	d.seq++
	return d.seq - 1
}

// firstRead is how much room is made for a packet before any of it has come.
const firstRead = 2 << 10

// receive sends what is waiting and reads the payload of a packet, which is refused if it is longer than limit.
func (d *dialogue) receive(ctx context.Context, limit int) ([]byte, error) {
	if err := d.flush(ctx); err != nil {
		return nil, err
	}
	var head [mysql.HeaderLen]byte
	if err := d.read(ctx, head[:]); err != nil {
		return nil, err
	}
	n, seq := mysql.ParseHeader(head[:])
	expected := d.seq
	d.seq = seq + 1 // an error has to fit the client's idea of the count
	switch {
	case seq != expected:
		d.Unread = true
		return nil, d.refuse(d.stage, mysql.NewError(mysql.CodePacketsOutOfOrder, "Got packets out of order"))
	case n > limit:
		d.Unread = true
		return nil, d.refuse(d.stage, mysql.NewError(mysql.CodePacketTooLarge,
			"Got a packet bigger than 'max_allowed_packet' bytes"))
	}
	// The length is a claim. Room is made as the bytes come.
	payload := make([]byte, 0, min(n, firstRead))
	for len(payload) < n {
		from := len(payload)
		payload = append(payload, make([]byte, min(n-from, max(from, firstRead)))...)
		if err := d.read(ctx, payload[from:]); err != nil {
			return nil, err
		}
	}
	return payload, nil
}

// read fills p, and takes nothing that is behind it.
func (d *dialogue) read(ctx context.Context, p []byte) error {
	if _, err := io.ReadFull(d.Conn, p); err != nil {
		return d.interrupted(ctx, err)
	}
	return nil
}

// flush sends what is waiting, in one write.
func (d *dialogue) flush(ctx context.Context) error {
	if len(d.out) == 0 {
		return nil
	}
	if _, err := d.Conn.Write(d.out); err != nil {
		return d.Broken(ctx, err)
	}
	d.out = d.out[:0]
	return nil
}

// interrupted ends the dialogue because the connection or the context ended.
func (d *dialogue) interrupted(ctx context.Context, err error) error {
	e := d.Broken(ctx, err)
	// Before its handshake response a client is told nothing: it may be in the middle of a TLS handshake, or not be one
	// of MySQL at all.
	if d.heard {
		d.last = lastWord(e.Reason)
	}
	return e
}

// refuse ends the dialogue with an error that is both the cause and what the client is told.
func (d *dialogue) refuse(r login.Reason, told *mysql.Error) error {
	d.last = told
	return &login.Error{Reason: r, User: d.User, Cause: told}
}

// refuseTLS ends the dialogue because it is not encrypted. why is for the operator.
func (d *dialogue) refuseTLS(why string) error {
	d.last = tlsRequired()
	return &login.Error{Reason: login.TLSRequired, User: d.User, Cause: errors.New(why)}
}

// farewell sends the last error, if there is one, and ends the dialogue.
func (d *dialogue) farewell() {
	if d.last == nil {
		d.out = nil
	} else {
		d.out = mysql.AppendError(d.out, d.next(), d.caps, d.last)
	}
	d.Farewell(d.out)
}
