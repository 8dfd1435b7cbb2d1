// SPDX-License-Identifier: Apache-2.0

package proxy

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"runtime/debug"
	"slices"
	"strings"
	"sync/atomic"
	"time"

	"go.uber.org/zap"

	"github.com/rdsproxy/rdsproxy/pkg/auth"
	"github.com/rdsproxy/rdsproxy/pkg/netloop"
	"github.com/rdsproxy/rdsproxy/pkg/pool"
	"github.com/rdsproxy/rdsproxy/pkg/proxy/pglogin"
	"github.com/rdsproxy/rdsproxy/pkg/session"
	"github.com/rdsproxy/rdsproxy/pkg/session/pgsession"
	wire "github.com/rdsproxy/rdsproxy/pkg/wire/postgres"
)

// KeepAlive are the settings of clients' sockets.
type KeepAlive struct {
	Idle, Interval time.Duration
	Count          int
	UserTimeout    time.Duration
}

// EndpointOptions are the settings of an endpoint.
type EndpointOptions struct {
	Name   string
	Target *TargetGroup
	Users  pglogin.UserLookup
	// UnknownMethod is the method that unknown users are asked for: that of most
	// known ones, so that they cannot be told apart.
	UnknownMethod func() auth.Method
	TLS           func() *tls.Config // nil: no TLS
	KeepAlive     KeepAlive
}

// Endpoint is a listener whose clients are served by one target group.
type Endpoint struct {
	proxy    *Proxy
	name     string
	index    int // among the proxy's endpoints
	log      *zap.Logger
	opts     atomic.Pointer[EndpointOptions]
	listener net.Listener
	done     chan struct{}

	received, succeeded              atomic.Uint64
	cancelsDelivered, cancelsUnknown atomic.Uint64
	unauthenticated                  atomic.Int64
	failed                           *reasonCounts
}

// Why a connection does not become a client, beside the reasons of pglogin.
const (
	failedAddress         = "address_not_allowed"
	failedUnauthenticated = "too_many_unauthenticated"
	failedClients         = "too_many_clients"
	failedDraining        = "draining"
	failedPanic           = "panic"
)

func setupFailures() *reasonCounts {
	known := []string{failedAddress, failedUnauthenticated, failedClients, failedDraining, failedPanic}
	for r := pglogin.Disconnected; r <= pglogin.BadOptions; r++ {
		known = append(known, r.String())
	}
	return newReasonCounts(known...)
}

// dedicated is what a session needs of a connection that is started for it
// alone.
type dedicated struct {
	settings    []wire.Setting
	replication string
}

// AddEndpoint begins to accept clients.
func (p *Proxy) AddEndpoint(l net.Listener, o EndpointOptions) *Endpoint {
	e := &Endpoint{
		proxy: p, name: o.Name, log: p.log.With(zap.String("endpoint", o.Name)),
		listener: l, done: make(chan struct{}), failed: setupFailures(),
	}
	e.opts.Store(&o)
	p.mu.Lock()
	defer p.mu.Unlock()
	e.index = len(p.endpoints)
	p.endpoints = append(p.endpoints, e)
	if p.draining.Load() {
		_ = l.Close()
	}
	go e.accept()
	return e
}

// Update gives the endpoint new options, for clients that come from now on.
func (e *Endpoint) Update(o EndpointOptions) { e.opts.Store(&o) }

// Addr is where the endpoint listens.
func (e *Endpoint) Addr() net.Addr { return e.listener.Addr() }

func (e *Endpoint) stopListening() {
	_ = e.listener.Close() // it may be closed already
	<-e.done
}

// accept takes clients until the listener is closed. When the process has no
// file left it waits a little: those that are there will end.
func (e *Endpoint) accept() {
	defer close(e.done)
	pause := 5 * time.Millisecond
	for {
		nc, err := e.listener.Accept()
		if errors.Is(err, net.ErrClosed) {
			return
		}
		if err != nil {
			e.log.Error("A client could not be accepted.", zap.Error(err))
			select {
			case <-time.After(pause):
			case <-e.proxy.mayLogIn.Done():
			}
			pause = min(2*pause, time.Second)
			continue
		}
		pause = 5 * time.Millisecond
		e.admit(nc)
	}
}

// admit checks what can be checked before a byte is read.
func (e *Endpoint) admit(nc net.Conn) {
	s := e.proxy.settings.Load()
	addr := remoteAddr(nc)
	e.received.Add(1)
	if s.Admits != nil && !s.Admits(addr) {
		e.failed.add(failedAddress)
		e.log.Warn("A client was refused: its address is not allowed (see allowed_client_networks).",
			zap.Stringer("client", nc.RemoteAddr()))
		_ = nc.Close()
		return
	}
	if !e.proxy.admitted.enter(s.MaxUnauthenticated) {
		e.failed.add(failedUnauthenticated)
		e.log.Warn("A client was refused: too many are logging in (see max_unauthenticated_connections).",
			zap.Stringer("client", nc.RemoteAddr()))
		_ = nc.Close()
		return
	}
	e.proxy.logins.Go(func() { e.login(nc, s) })
}

func remoteAddr(nc net.Conn) netip.Addr {
	if a, ok := nc.RemoteAddr().(*net.TCPAddr); ok {
		return a.AddrPort().Addr().Unmap()
	}
	return netip.IPv6Loopback() // a Unix socket
}

// login is the life of a client until it moves to an event loop.
func (e *Endpoint) login(nc net.Conn, s *Settings) {
	p, o := e.proxy, e.opts.Load()
	t := netloop.NewTransport(nc)
	loggedIn, moved := false, false
	e.unauthenticated.Add(1)
	defer func() {
		e.unauthenticated.Add(-1)
		if v := recover(); v != nil {
			e.failed.add(failedPanic)
			p.panicked("panic in a login; only this client is affected", v, debug.Stack())
		}
		if !moved {
			_ = t.Close()
			p.admitted.leave(loggedIn)
		}
	}()
	if k := o.KeepAlive; k != (KeepAlive{}) {
		_ = t.SetKeepAlive(k.Idle, k.Interval, k.Count, k.UserTimeout) // a matter of taste, not of correctness
	}
	ctx, stop := context.WithTimeout(p.mayLogIn, s.LoginTimeout)
	defer stop()
	l, err := pglogin.Serve(ctx, t, &pglogin.Config{TLS: o.TLS, RequireTLS: s.RequireTLS, Users: o.Users, UnknownMethod: o.UnknownMethod()})
	if err != nil {
		reason := pglogin.Disconnected
		if le, ok := errors.AsType[*pglogin.Error](err); ok {
			reason = le.Reason
		}
		e.failed.add(reason.String())
		e.log.Info("A client could not log in.", zap.Stringer("client", nc.RemoteAddr()), zap.Error(err))
		return
	}
	if l.Kind == pglogin.Cancel {
		e.cancel(ctx, l)
		return
	}
	if p.draining.Load() {
		e.failed.add(failedDraining)
		e.refuse(t, l, shutdownError)
		return
	}
	if loggedIn = p.admitted.loggedIn(s.MaxClients); !loggedIn {
		e.failed.add(failedClients)
		e.log.Warn("A client was refused: too many clients (see max_client_connections).", zap.Stringer("client", nc.RemoteAddr()))
		e.refuse(t, l, wire.Fatal(wire.CodeTooManyConnections,
			fmt.Sprintf("The maximum number of client connections to the proxy exceeded %d", s.MaxClients)))
		return
	}
	e.succeeded.Add(1)
	moved = e.open(t, l, o, s)
}

// cancel carries out a cancel request. The answer to it is an orderly end.
func (e *Endpoint) cancel(ctx context.Context, l *pglogin.Login) {
	if e.proxy.cancels.cancel(ctx, l.CancelPID, l.CancelSecret) {
		e.cancelsDelivered.Add(1)
	} else {
		e.cancelsUnknown.Add(1)
	}
	if l.TLS != nil {
		_ = l.TLS.Close()
	}
}

// refuse tells a client that has logged in why it has to go.
func (e *Endpoint) refuse(t *netloop.Transport, l *pglogin.Login, why *wire.Error) {
	var nc net.Conn = t
	if l.TLS != nil {
		nc = l.TLS
	}
	_ = nc.SetDeadline(time.Now().Add(flushLimit))
	_, _ = nc.Write(wire.AppendErrorResponse(nil, why))
	if l.TLS != nil {
		_ = l.TLS.CloseWrite()
	}
}

// open moves the client to a loop; false if that has ended.
func (e *Endpoint) open(t *netloop.Transport, l *pglogin.Login, o *EndpointOptions, s *Settings) bool {
	p := e.proxy
	key := pool.Key{User: l.User, Database: l.Database}
	shared := o.Target.sharedFor(key)
	w := p.workerFor(-1)
	c := &client{
		worker: w, endpoint: e, target: o.Target, pool: o.Target.group.Pool(key),
		pid: p.cancels.reserve(), secret: newSecret(l.ProtocolMinor),
	}
	so := p.sessionOptions(o.Target, s)
	so.Host, so.Shared = c, shared
	so.PID, so.Secret = c.pid, c.secret
	so.Dedicated = o.Target.dedicatedPins(l)
	if so.Dedicated != 0 {
		c.waiter.Dedicated = true
		c.waiter.Params = &dedicated{settings: l.Settings, replication: l.Replication}
	} else {
		so.Settings = shared.Settings(settingsOf(l.Settings))
	}
	e.log.Info("A new client connected.", zap.Stringer("client", t.RemoteAddr()), zap.String("user", l.User),
		zap.String("database", l.Database), zap.Uint32("client_connection", c.pid), zap.Bool("tls", l.TLS != nil))
	if !w.loop.Post(func() { c.attach(t, l.TLS, so) }) {
		p.cancels.remove(c.pid)
		return false
	}
	return true
}

func settingsOf(list []wire.Setting) []pgsession.Setting {
	out := make([]pgsession.Setting, len(list))
	for i, s := range list {
		out[i] = pgsession.Setting{Name: s.Name, Value: s.Value}
	}
	return out
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
func (t *TargetGroup) dedicatedPins(l *pglogin.Login) (pins session.Pins) {
	if l.Replication != "" {
		return session.PinReplication
	}
	facts := t.knownFacts()
	for _, s := range l.Settings {
		is := func(name string) bool { return strings.EqualFold(name, s.Name) }
		if slices.ContainsFunc(startupOnly, is) || facts != nil && slices.ContainsFunc(facts.BackendSettings, is) {
			pins |= session.PinStartupParameter
		}
	}
	return pins
}
