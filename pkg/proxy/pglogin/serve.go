// SPDX-License-Identifier: Apache-2.0

package pglogin

import (
	"context"
	"io"
	"net"
	"time"

	"github.com/rdsproxy/rdsproxy/pkg/proxy/login"
	"github.com/rdsproxy/rdsproxy/pkg/wire/postgres"
)

// Serve logs the client at the other end of t in, which may be a login.OnLoop. The deadline of ctx, and its cancellation, end
// the dialogue; t is left without a deadline after success.
//
// On success AuthenticationOk has been sent (for a Cancel nothing was). On failure the client has been told, and t is
// to be closed; the error is a *login.Error. Serve never closes t, except that the TLS engine does when ctx ends in the
// middle of a handshake.
func Serve(ctx context.Context, t net.Conn, cfg *Config) (*Login, error) {
	d := &dialogue{cfg: cfg, Line: login.Line{Raw: t, Conn: t}}
	d.Begin(ctx)
	login, err := d.run(ctx)
	if d.WasCut() && err == nil {
		e := d.Broken(ctx, ctx.Err())
		d.last, err = lastWord(e.Reason), e
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

	// binding is the channel binding data of tls, nil if there is none.
	binding []byte
	// out is what is to be sent with the next flush.
	out []byte
	// last is the error to be sent to the client, nil if it is told nothing.
	last *postgres.Error
	// v2 is set when the client understands errors in the form of protocol 2.0 only.
	v2 bool
}

// run returns a *login.Error as error, or nil.
func (d *dialogue) run(ctx context.Context) (*Login, error) {
	s, err := d.startup(ctx)
	if err != nil {
		return nil, err
	}
	if s.Kind == postgres.PacketCancel {
		return &Login{Kind: Cancel, TLS: d.TLS, CancelPID: s.CancelPID, CancelSecret: s.CancelKey}, nil
	}
	method, err := d.authenticate(ctx)
	if err != nil {
		return nil, err
	}
	// PostgreSQL reads the options of those only who have proved who they are, and so do we.
	d.out = postgres.AppendAuthenticationOK(d.out)
	settings, err := postgres.ParseOptions(s.Options)
	if err != nil {
		return nil, d.refuse(login.BadOptions, err)
	}
	if err := d.flush(ctx); err != nil {
		return nil, err
	}
	version, _ := s.Negotiate()
	return &Login{
		Kind: Session, TLS: d.TLS,
		User: s.User, Database: s.Database, Settings: append(settings, s.Settings...),
		Replication: string(s.Replication), ProtocolMinor: version.Minor(), AuthMethod: method,
	}, nil
}

// read fills p, and takes nothing that is behind it.
func (d *dialogue) read(ctx context.Context, p []byte) error {
	if _, err := io.ReadFull(d.Conn, p); err != nil {
		return d.interrupted(ctx, err)
	}
	return nil
}

// interrupted ends the dialogue because the connection or the context ended.
func (d *dialogue) interrupted(ctx context.Context, err error) error {
	e := d.Broken(ctx, err)
	// Before its start-up packet a client is told nothing: it may be in the middle of a negotiation that has no form for
	// it, or not be one of PostgreSQL at all.
	if d.User != "" {
		d.last = lastWord(e.Reason)
	}
	return e
}

// lastWord is what a client is told that is not at fault itself, in the words of PostgreSQL.
func lastWord(r login.Reason) *postgres.Error {
	switch r {
	case login.Timeout:
		return postgres.Fatal(postgres.CodeQueryCanceled, "canceling authentication due to timeout")
	case login.Shutdown:
		return postgres.Fatal(postgres.CodeAdminShutdown, "terminating connection due to administrator command")
	}
	return nil
}

// flush sends what is waiting, in one write.
func (d *dialogue) flush(ctx context.Context) error {
	if _, err := d.Conn.Write(d.out); err != nil {
		return d.Broken(ctx, err)
	}
	d.out = d.out[:0]
	return nil
}

// refuse ends the dialogue with an error that is both the cause and what the client is told.
func (d *dialogue) refuse(r login.Reason, err error) error {
	told, ok := err.(*postgres.Error) //nolint:errorlint // decoders return it bare
	if ok {
		d.last = told
	}
	return &login.Error{Reason: r, User: d.User, Cause: err}
}

// farewell sends the last error, if there is one, and ends the dialogue.
func (d *dialogue) farewell() {
	switch {
	case d.last == nil:
		d.out = nil
	case d.v2:
		d.out = postgres.AppendErrorV2(d.out, d.last)
	default:
		d.out = postgres.AppendErrorResponse(d.out, d.last)
	}
	d.Farewell(d.out)
}
