// SPDX-License-Identifier: Apache-2.0

package target

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"strings"
	"sync/atomic"
	"time"

	"github.com/jackc/pgx/v5/pgconn"

	wire "github.com/rdsproxy/rdsproxy/pkg/wire/postgres"
)

// Dialer opens connections to one database server. It may be used by any number
// of goroutines.
type Dialer struct {
	o             Options
	network, addr string
	tls           *tls.Config // nil: without
	err           error       // why it can open nothing
	// old is set when the server was found to refuse newer protocol versions.
	old atomic.Bool
}

// NewDialer makes a Dialer. Mistakes in the options show as permanent errors of
// its methods.
func NewDialer(o Options) *Dialer {
	if o.MaxSCRAMIterations <= 0 {
		o.MaxSCRAMIterations = DefaultMaxSCRAMIterations
	}
	if o.TLSMode == "" {
		o.TLSMode = TLSPrefer
	}
	d := &Dialer{o: o}
	d.network, d.addr = o.address()
	switch o.TLSMode {
	case TLSDisable:
	case TLSPrefer, TLSRequire, TLSVerifyCA, TLSVerifyFull:
		if d.network == "tcp" {
			d.tls = tlsConfig(&d.o)
		}
	default:
		d.err = &policyError{fmt.Sprintf("unknown TLS mode %q", o.TLSMode), true}
	}
	if o.Host == "" || o.Port < 1 || o.Port > 65535 {
		d.err = &policyError{fmt.Sprintf("no address: host %q, port %d", o.Host, o.Port), true}
	}
	return d
}

// session is a connection that is logged in, still in the hands of pgconn.
type session struct {
	link
	pg *pgconn.PgConn
}

// Dial opens a connection, logs in and runs the init query. Errors are of type
// *Error; Permanent and ServerError tell more about them. The caller owns what is
// returned.
func (d *Dialer) Dial(ctx context.Context, r Request) (*Established, error) {
	ctx, cancel := d.limit(ctx)
	defer cancel()
	s, err := d.login(ctx, r)
	if err != nil {
		return nil, err
	}
	if err := d.initialise(ctx, s, r); err != nil {
		s.drop()
		return nil, d.fail(ctx, StageInit, err)
	}
	e, err := s.handOver(ctx)
	if err != nil {
		s.drop()
		return nil, d.fail(ctx, StageLogin, err)
	}
	return e, nil
}

// limit applies the connect timeout.
func (d *Dialer) limit(ctx context.Context) (context.Context, context.CancelFunc) {
	if d.o.ConnectTimeout <= 0 {
		return context.WithCancel(ctx)
	}
	return context.WithTimeout(ctx, d.o.ConnectTimeout)
}

// login connects and authenticates. It tries again where libpq would: without
// TLS if that is only preferred and the handshake fails or the server has no
// place for encrypted connections; with an older protocol version if the server
// cannot negotiate.
func (d *Dialer) login(ctx context.Context, r Request) (*session, error) {
	if d.err != nil {
		return nil, d.fail(ctx, StageConnect, d.err)
	}
	mayGoPlain := d.tls != nil && d.o.TLSMode == TLSPrefer
	for encrypt := d.tls != nil; ; {
		version := "3.2"
		if d.old.Load() {
			version = "3.0"
		}
		s, stage, err := d.attempt(ctx, r, encrypt, version)
		switch {
		case err == nil:
			return s, nil
		case ctx.Err() != nil:
			return nil, err
		case encrypt && mayGoPlain && plainMayHelp(stage, err):
			encrypt = false
		case version != "3.0" && refusesVersion(err):
			d.old.Store(true)
		default:
			return nil, err
		}
	}
}

// plainMayHelp tells whether a failed attempt with TLS should be followed by one
// without.
func plainMayHelp(stage Stage, err error) bool {
	if stage == StageTLS {
		return true
	}
	e, ok := ServerError(err)
	return ok && e.Code == stateInvalidAuthorization
}

// attempt connects and authenticates once.
func (d *Dialer) attempt(ctx context.Context, r Request, encrypt bool, version string) (*session, Stage, error) {
	l, err := d.connect(ctx, encrypt)
	if err != nil {
		var e *Error
		errors.As(err, &e)
		return nil, e.Stage, err
	}
	g := &guard{
		maxIterations:  d.o.MaxSCRAMIterations,
		allowCleartext: l.encrypted() || d.network == "unix" || d.o.AllowCleartextPassword,
	}
	pg, err := pgconn.ConnectConfig(ctx, configure(r, version, l, g))
	if err != nil {
		_ = l.wrapped.Close()
		return nil, StageLogin, d.fail(ctx, StageLogin, plain(err))
	}
	return &session{link: l, pg: pg}, StageLogin, nil
}

// initialise runs the init query.
func (d *Dialer) initialise(ctx context.Context, s *session, r Request) error {
	if d.o.InitQuery == "" || physical(r.Replication) {
		return nil
	}
	results := s.pg.Exec(ctx, d.o.InitQuery)
	for results.NextResult() {
		for rows := results.ResultReader(); rows.NextRow(); {
			continue // nobody wants them
		}
	}
	if err := results.Close(); err != nil {
		return plain(err)
	}
	if s.pg.TxStatus() != wire.TxIdle {
		return &policyError{"the init query leaves a transaction open", true}
	}
	return nil
}

// physical tells whether the value of the parameter "replication" makes a
// connection that knows no SQL. It is a boolean or the word "database".
func physical(replication string) bool {
	switch strings.ToLower(replication) {
	case "", "database", "false", "off", "no", "0":
		return false
	}
	return true
}

var errTalkative = &policyError{text: "the server goes on sending although it is idle"}

// handOver takes the connection away from pgconn.
func (s *session) handOver(ctx context.Context) (*Established, error) {
	// Before SyncConn, which may send a query: what is there already would be
	// taken for its answer.
	if s.pg.Frontend().ReadBufferLen() > 0 {
		return nil, errTalkative
	}
	// pgconn may be reading in the background if a write took long.
	if err := s.pg.SyncConn(ctx); err != nil {
		return nil, plain(err)
	}
	h, err := s.pg.Hijack()
	if err != nil {
		return nil, err
	}
	switch {
	case h.Frontend.ReadBufferLen() > 0:
		return nil, errTalkative
	case h.TxStatus != wire.TxIdle:
		return nil, &policyError{text: "the server is not idle after the login"}
	case len(h.SecretKey) > wire.MaxCancelKey:
		return nil, &policyError{text: fmt.Sprintf("the server's cancel key has %d bytes", len(h.SecretKey))}
	}
	if err := s.conn.SetDeadline(time.Time{}); err != nil {
		return nil, err
	}
	return &Established{
		Conn: s.conn, Wrapped: s.wrapped,
		PID: h.PID, SecretKey: h.SecretKey, Params: h.ParameterStatuses,
	}, nil
}

// drop closes the connection without ceremony.
func (s *session) drop() { _ = s.wrapped.Close() }

// plain takes away what pgconn puts around an error: it names an address and a
// user that are known here, and not always the right ones.
func plain(err error) error {
	if server, ok := errors.AsType[*pgconn.PgError](err); ok {
		return server
	}
	if policy, ok := errors.AsType[*policyError](err); ok {
		return policy
	}
	var whole *pgconn.ConnectError
	var attempts interface{ Unwrap() []error }
	if !errors.As(err, &whole) || !errors.As(whole, &attempts) || len(attempts.Unwrap()) != 1 {
		return err
	}
	if inner := errors.Unwrap(attempts.Unwrap()[0]); inner != nil {
		return inner
	}
	return err
}

// fail makes the error of a stage.
func (d *Dialer) fail(ctx context.Context, stage Stage, err error) error {
	if _, done := errors.AsType[*Error](err); done {
		return err
	}
	if cause := ctx.Err(); cause != nil && !errors.Is(err, cause) {
		err = fmt.Errorf("%w (%w)", cause, err)
	}
	var policy *policyError
	permanent := errors.As(err, &policy) && policy.permanent || untrusted(err)
	return &Error{Stage: stage, Address: d.addr, Err: err, permanent: permanent}
}
