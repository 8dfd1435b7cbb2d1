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
	"github.com/rdsproxy/rdsproxy/pkg/wire/mysql"
)

const (
	// farewellTime is how long a client that failed may take to read its error.
	farewellTime = time.Second
	// farewellBytes is how much more is taken from it meanwhile.
	farewellBytes = 64 << 10
)

// Serve logs the client at the other end of t in, which may be an OnLoop. The deadline of ctx, and its cancellation, end
// the dialogue; t is left without a deadline after success.
//
// On success the client waits for the OK packet that ends the login; nothing of it has been sent. On failure the client
// has been told, and t is to be closed; the error is an *Error. Serve never closes t, except that the TLS engine does
// when ctx ends in the middle of a handshake.
func Serve(ctx context.Context, t net.Conn, cfg *Config) (*Login, error) {
	// Until a client says otherwise it is taken for one that understands today's errors.
	d := &dialogue{cfg: cfg, raw: t, conn: t, stage: BadPacket, caps: mysql.ClientProtocol41}
	d.begin(ctx)
	login, err := d.run(ctx)
	if d.cut != nil && d.cut() && err == nil {
		err = d.interrupted(ctx, ctx.Err())
	}
	if err != nil {
		d.farewell()
		return nil, err
	}
	_ = d.raw.SetDeadline(time.Time{}) // if it fails, so does the next read
	return login, nil
}

// dialogue is one login under way.
type dialogue struct {
	cfg *Config
	// raw is the transport; conn is where packets go: raw, or tls on top of it.
	raw  net.Conn
	conn net.Conn
	tls  *tls.Conn
	// cut stops the end of the context from ending the dialogue, and tells whether it has. nil: nothing to be stopped.
	cut func() bool
	// base is what TLS was offered by, nil if it was not.
	base *tls.Config
	salt [auth.MySQLSaltSize]byte
	// offered are the capabilities of the greeting, caps those of the client.
	offered, caps mysql.Capabilities
	// user is the name given, once it is known; heard says that it is, since it may be empty.
	user  string
	heard bool
	// password tells whether the client gave one that is not empty.
	password bool
	// stage is the reason for which a packet that breaks the protocol makes the login fail.
	stage Reason
	// seq is the sequence id of the next packet, whoever sends it.
	seq byte
	// out is what is to be sent with the next flush.
	out []byte
	// last is the error to be sent to the client, nil if it is told nothing.
	last *mysql.Error
	// unread is set when the client may have sent more than was read.
	unread bool
}

// run returns an *Error as error, or nil.
func (d *dialogue) run(ctx context.Context) (*Login, error) {
	d.greet()
	l, err := d.response(ctx)
	if err != nil {
		return nil, err
	}
	d.stage = BadMessage
	method, err := d.authenticate(ctx, l)
	if err != nil {
		return nil, err
	}
	return d.login(l, method), nil
}

func (d *dialogue) login(l *mysql.Login, method auth.MySQLMethod) *Login {
	agreed := l.Capabilities & d.offered &^ mysql.ClientSSL
	if d.tls != nil {
		agreed |= mysql.ClientSSL // some clients say so in their request only
	}
	login := &Login{
		TLS: d.tls, User: l.User, Schema: l.Schema, Capabilities: agreed, MaxPacket: l.MaxPacket, Collation: l.Collation,
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
		d.unread = true
		return nil, d.refuse(d.stage, mysql.NewError(mysql.CodePacketsOutOfOrder, "Got packets out of order"))
	case n > limit:
		d.unread = true
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
	if _, err := io.ReadFull(d.conn, p); err != nil {
		return d.interrupted(ctx, err)
	}
	return nil
}

// flush sends what is waiting, in one write.
func (d *dialogue) flush(ctx context.Context) error {
	if len(d.out) == 0 {
		return nil
	}
	if _, err := d.conn.Write(d.out); err != nil {
		return d.ioError(ctx, err)
	}
	d.out = d.out[:0]
	return nil
}

// interrupted ends the dialogue because the connection or the context ended.
func (d *dialogue) interrupted(ctx context.Context, err error) error {
	e := d.ioError(ctx, err)
	// Before its handshake response a client is told nothing: it may be in the middle of a TLS handshake, or not be one
	// of MySQL at all.
	if d.heard {
		d.last = lastWord(e.Reason)
	}
	return e
}

// refuse ends the dialogue with an error that is both the cause and what the client is told.
func (d *dialogue) refuse(r Reason, told *mysql.Error) error {
	d.last = told
	return &Error{Reason: r, User: d.user, Cause: told}
}

// refuseTLS ends the dialogue because it is not encrypted. why is for the operator.
func (d *dialogue) refuseTLS(why string) error {
	d.last = tlsRequired()
	return &Error{Reason: TLSRequired, User: d.user, Cause: errors.New(why)}
}

// farewell sends the last error, if there is one, and closes TLS in good order. A socket that is closed while bytes
// are waiting in it is reset, which can take the error away from the client before it has read it; so those bytes are
// taken first, up to a limit and for a moment.
func (d *dialogue) farewell() {
	if d.last == nil && d.tls == nil {
		return
	}
	_ = d.raw.SetDeadline(time.Now().Add(farewellTime)) // a client that is gone is no loss
	if d.last != nil {
		d.out = mysql.AppendError(d.out, d.next(), d.caps, d.last)
		_, _ = d.conn.Write(d.out)
	}
	if d.tls != nil {
		_ = d.tls.CloseWrite()
	}
	if d.unread {
		_, _ = io.CopyN(io.Discard, d.raw, farewellBytes)
	}
}
