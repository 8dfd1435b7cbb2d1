// SPDX-License-Identifier: Apache-2.0

package proxy

import (
	"context"
	"crypto/tls"
	"fmt"
	"net"
	"time"

	"github.com/rdsproxy/rdsproxy/pkg/pool"
	"github.com/rdsproxy/rdsproxy/pkg/proxy/pglogin"
	"github.com/rdsproxy/rdsproxy/pkg/session/pgsession"
	wire "github.com/rdsproxy/rdsproxy/pkg/wire/postgres"
)

// pgClient is a client of a PostgreSQL database.
type pgClient struct {
	client
	machine pgsession.Session
}

var (
	_ pgsession.Host = (*pgClient)(nil)
	_ driver         = (*pgClient)(nil)
)

// Borrow implements pgsession.Host.
func (c *pgClient) Borrow(settings *pgsession.Settings) *pgsession.Server {
	if srv := c.borrow(settings.Key()); srv != nil {
		return srv.(*pgsession.Server)
	}
	return nil
}

func (c *pgClient) grant(srv server)      { c.machine.Granted(srv.(*pgsession.Server)) }
func (c *pgClient) deny(err error)        { c.machine.BorrowFailed(postgres{}.clientError(err)) }
func (c *pgClient) wants() any            { return c.machine.Settings().Key() }
func (c *pgClient) cancelDone(srv server) { c.machine.CancelDone(srv.(*pgsession.Server)) }

func (c *pgClient) finish(why CloseReason) {
	if why == ClosedIdle {
		c.machine.End(pgsession.IdleTimeoutError)
		return
	}
	c.machine.End(shutdownError)
}

var shutdownError = wire.Fatal(wire.CodeAdminShutdown, "terminating connection due to administrator command")

// pgVisitor is a client whose login was accepted.
type pgVisitor struct{ *pglogin.Login }

func (postgres) greet(ctx context.Context, e *Endpoint, a *arrival, o *EndpointOptions, s *Settings) (visitor, error) {
	tokens := e.tokens(a, o)
	l, err := pglogin.Serve(ctx, a.stream(), &pglogin.Config{
		TLS: o.TLS, RequireTLS: s.RequireTLS, Users: o.Users, UnknownMethod: o.UnknownMethod(), Tokens: tokens,
	})
	if err != nil {
		return nil, err
	}
	if l.Kind == pglogin.Cancel {
		if _, err := a.Leave(); err != nil {
			return nil, err
		}
		e.cancel(ctx, l)
		return nil, nil
	}
	e.report(tokens, l.User)
	return pgVisitor{l}, nil
}

// cancel carries out a cancel request. The answer to it is an orderly end.
func (e *Endpoint) cancel(ctx context.Context, l *pglogin.Login) {
	ctx, stop := limited(ctx)
	defer stop()
	if e.proxy.cancels.cancel(ctx, l.CancelPID, l.CancelSecret) {
		e.cancelsDelivered.Add(1)
	} else {
		e.cancelsUnknown.Add(1)
	}
	if l.TLS != nil {
		_ = l.TLS.Close()
	}
}

func (v pgVisitor) turnAway(nc net.Conn, maxClients int) {
	why := shutdownError
	if maxClients > 0 {
		why = wire.Fatal(wire.CodeTooManyConnections,
			fmt.Sprintf("The maximum number of client connections to the proxy exceeded %d", maxClients))
	}
	if v.TLS != nil {
		nc = v.TLS
	}
	_ = nc.SetDeadline(time.Now().Add(flushLimit))
	_, _ = nc.Write(wire.AppendErrorResponse(nil, why))
	if v.TLS != nil {
		_ = v.TLS.CloseWrite()
	}
}

func (v pgVisitor) client(a *arrival, w *worker, o *EndpointOptions, s *Settings) (*client, *tls.Conn, func()) {
	e, target := a.endpoint, o.Target
	p := e.proxy
	key := pool.Key{User: v.User, Database: v.Database}
	c := &pgClient{client: client{
		worker: w, endpoint: e, readers: o.Readers, target: target, pool: target.group.Pool(key), shared: target.sharedFor(key),
		pid: p.cancels.reserve(), secret: newSecret(v.ProtocolMinor),
	}}
	c.session, c.driver = &c.machine, c
	sh := c.shared.shared.(*pgsession.Shared)
	so := pgsession.Options{
		Host: c, Shared: sh, PID: c.pid, Secret: c.secret,
		BorrowTimeout: target.borrowTimeout(), CleanupTimeout: s.CleanupTimeout,
		Dedicated: postgres{}.dedicatedPins(target.knownFacts(), v.Login),
	}
	if so.Dedicated != 0 {
		c.waiter.Dedicated = true
		c.waiter.Params = &dedicated{settings: v.Settings, replication: v.Replication}
	} else {
		so.Settings = sh.Settings(settingsOf(v.Settings))
	}
	e.connected(a.RemoteAddr(), &c.client, v.User, v.Database, v.TLS != nil)
	return &c.client, v.TLS, func() { c.machine.Init(so) }
}

func settingsOf(list []wire.Setting) []pgsession.Setting {
	out := make([]pgsession.Setting, len(list))
	for i, s := range list {
		out[i] = pgsession.Setting{Name: s.Name, Value: s.Value}
	}
	return out
}
