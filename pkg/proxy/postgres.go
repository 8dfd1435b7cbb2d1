// SPDX-License-Identifier: Apache-2.0

package proxy

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/rdsproxy/rdsproxy/pkg/netloop"
	"github.com/rdsproxy/rdsproxy/pkg/pool"
	"github.com/rdsproxy/rdsproxy/pkg/proxy/pglogin"
	"github.com/rdsproxy/rdsproxy/pkg/session"
	"github.com/rdsproxy/rdsproxy/pkg/session/pgsession"
	"github.com/rdsproxy/rdsproxy/pkg/target"
	wire "github.com/rdsproxy/rdsproxy/pkg/wire/postgres"
)

// Dialer opens connections to PostgreSQL: *target.Dialer.
type Dialer interface {
	Dial(ctx context.Context, r target.Request) (*target.Established, error)
	Cancel(ctx context.Context, pid uint32, secret []byte) error
	Facts(ctx context.Context, r target.Request) (target.Facts, error)
}

// postgres is the engine of PostgreSQL.
type postgres struct{}

// dedicated is what a session needs of a connection that is started for it
// alone.
type dedicated struct {
	settings    []wire.Setting
	replication string
}

func (postgres) newShared(o *TargetOptions) shared { return pgsession.NewShared(o.MaxStatements) }

func (postgres) learn(ctx context.Context, o *TargetOptions, key pool.Key, password string) (facts, error) {
	f, err := o.Dialer.Facts(ctx, target.Request{User: key.User, Password: password, Database: key.Database})
	return facts{maxConnections: f.MaxConnections, version: f.ServerVersion, readOnly: f.InRecovery, detail: f.BackendSettings}, err
}

func (postgres) dial(ctx context.Context, o *TargetOptions, key pool.Key, password string, d *pool.DialAttempt) (link, error) {
	r := target.Request{User: key.User, Password: password, Database: key.Database}
	if p, ok := d.Params.(*dedicated); ok {
		r.Params, r.Replication = p.settings, p.replication
	}
	est, err := o.Dialer.Dial(ctx, r)
	if err != nil {
		return link{}, err
	}
	return link{
		conn: est.Conn, transport: est.Wrapped.(*netloop.Transport),
		pid: est.PID, secret: est.SecretKey, detail: est.Params,
	}, nil
}

func (postgres) newServer(sh shared, l *link, o *TargetOptions, d *pool.DialAttempt) server {
	params := l.detail.(map[string]string)
	srv := pgsession.NewServer(sh.(*pgsession.Shared), pgsession.NewParams(params), !d.Dedicated)
	srv.InitQuery, srv.MaxStatements = o.InitQuery, max(1, o.MaxStatements)
	return srv
}

func (postgres) cancel(ctx context.Context, o *TargetOptions, db *dbConn) (sent bool, err error) {
	if err = o.Dialer.Cancel(ctx, db.pid, db.secret); err == nil {
		return true, nil
	}
	e, ok := errors.AsType[*target.Error](err)
	return !ok || e.Stage == target.StageCancel, err
}

var terminateMessage = wire.AppendTerminate(nil)

func (postgres) goodbye() []byte { return terminateMessage }

func (postgres) errorState(p []byte) string {
	if len(p) < wire.HeaderSize || p[0] != wire.BackendErrorResponse {
		return ""
	}
	return string(wire.ErrorCode(p[wire.HeaderSize:]))
}

func (postgres) refusal(err error) (own, permanent bool) {
	_, own = target.ServerError(err)
	return own, target.Permanent(err)
}

func (postgres) deniesLogin(err error) bool {
	e, ok := target.ServerError(err)
	return ok && (e.Code == wire.CodeInvalidPassword || e.Code == wire.CodeInvalidAuthorization)
}

// clientError is what a client is told when it gets no connection.
func (postgres) clientError(err error) *wire.Error {
	if none, ok := errors.AsType[*noCredentialsError](err); ok {
		return wire.Fatal(wire.CodeInvalidAuthorization, fmt.Sprintf(
			"This RDS proxy has no credentials for the role %s. Check the credentials for this role and try again.", none.user))
	}
	if errors.Is(err, pool.ErrNoneReady) {
		return &wire.Error{
			Severity: wire.SeverityError, Code: wire.CodeTooManyConnections,
			Message: "Timed-out waiting to acquire database connection.",
			Detail:  "No database connection is ready, and connection_borrow_timeout is 0.",
		}
	}
	if e, ok := target.ServerError(err); ok && e.Code != wire.CodeInvalidPassword && e.Code != wire.CodeInvalidAuthorization {
		return &wire.Error{Severity: wire.SeverityError, Code: e.Code, Message: e.Message, Detail: e.Detail, Hint: e.Hint}
	}
	return &wire.Error{
		Severity: wire.SeverityError, Code: wire.CodeConnectionFailure,
		Message: "the proxy could not log in to the database",
		Hint:    "The proxy's log tells why.",
	}
}

// startupOnly are the parameters that can only be set when a connection starts
// (PostgreSQL: context "backend" and "superuser-backend"), as far as they are
// known before the database was asked.
var startupOnly = []string{
	"ignore_system_indexes", "post_auth_delay", "log_connections", "log_disconnections",
	"jit_debugging_support", "jit_profiling_support", "local_preload_libraries",
}

// dedicatedPins tells whether a client needs a connection that is started for
// it alone.
func (postgres) dedicatedPins(known *facts, l *pglogin.Login) (pins session.Pins) {
	if l.Replication != "" {
		return session.PinReplication
	}
	var backend []string
	if known != nil {
		backend = known.detail.([]string)
	}
	for _, s := range l.Settings {
		is := func(name string) bool { return strings.EqualFold(name, s.Name) }
		if slices.ContainsFunc(startupOnly, is) || slices.ContainsFunc(backend, is) {
			pins |= session.PinStartupParameter
		}
	}
	return pins
}
