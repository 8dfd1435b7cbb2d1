// SPDX-License-Identifier: Apache-2.0

package proxy

import (
	"crypto/tls"
	"errors"
	"net"
	"runtime/debug"
	"sync/atomic"
	"time"

	"go.uber.org/zap"

	"github.com/rdsproxy/rdsproxy/pkg/auth"
	"github.com/rdsproxy/rdsproxy/pkg/iam"
	"github.com/rdsproxy/rdsproxy/pkg/netloop"
	"github.com/rdsproxy/rdsproxy/pkg/proxy/login"
	"github.com/rdsproxy/rdsproxy/pkg/proxy/pglogin"
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
	// Readers serve a read-only endpoint; Target is their lobby then. Otherwise nil.
	Readers *Readers
	Users   pglogin.UserLookup
	// UnknownMethod is the method that unknown users are asked for: that of most
	// known ones, so that they cannot be told apart.
	UnknownMethod func() auth.Method
	MySQL         MySQLEndpoint
	TLS           func() *tls.Config // nil: no TLS
	// Barred tells why a user who is set up cannot log in; nil if that is not known,
	// or nothing is wrong. The client is told nothing of it. The function may be nil.
	Barred func(user string) error
	// IAM checks tokens, and Names are the addresses that they may be for. It is
	// asked for each client; nil, from either, is that no token is taken.
	IAM       func() *iam.Gate
	Names     []iam.Address
	KeepAlive KeepAlive
}

// Endpoint is a listener whose clients are served by one target group.
type Endpoint struct {
	proxy    *Proxy
	name     string
	index    int // among the proxy's endpoints
	log      *zap.Logger
	opts     atomic.Pointer[EndpointOptions]
	listener net.Listener
	// accepting is how worker's loop accepts; nil if a goroutine does.
	worker    *worker
	accepting *netloop.Listener
	// handsDown: clients' sockets have their options from the listening one.
	handsDown atomic.Bool
	done      chan struct{} // closed when nobody accepts any more

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
	failedNoSecret        = "no_secret"
)

func setupFailures() *reasonCounts {
	known := []string{failedAddress, failedUnauthenticated, failedClients, failedDraining, failedPanic, failedNoSecret}
	for _, r := range login.Reasons() {
		known = append(known, r.String())
	}
	return newReasonCounts(append(known, tokenFailures()...)...)
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
	e.worker = p.workers[e.index%len(p.workers)]
	e.handDown(&o)
	if !e.worker.loop.Post(e.open) {
		close(e.done)
	}
	return e
}

// Update gives the endpoint new options, for clients that come from now on.
func (e *Endpoint) Update(o EndpointOptions) {
	e.handDown(&o)
	e.opts.Store(&o)
}

// Addr is where the endpoint listens.
func (e *Endpoint) Addr() net.Addr { return e.listener.Addr() }

func (e *Endpoint) stopListening() {
	_ = e.listener.Close() // it may be closed already
	e.worker.loop.Post(e.shut)
	select {
	case <-e.done:
	case <-e.proxy.ctx.Done(): // the loops have ended, or are about to
	}
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
	if s := e.admits(nc.RemoteAddr()); s != nil {
		a := &arrival{endpoint: e, transport: netloop.NewTransport(nc), blocking: true}
		e.setKeepAlive(a.transport)
		e.proxy.logins.Go(func() { e.login(a, s) })
		return
	}
	_ = nc.Close()
}

// admits checks what can be checked of a client that has just come, and takes a
// place for it. nil: it has to go.
func (e *Endpoint) admits(addr net.Addr) *Settings {
	s := e.proxy.settings.Load()
	e.received.Add(1)
	if s.Admits != nil && !s.Admits(addrOf(addr)) {
		e.failed.add(failedAddress)
		e.log.Warn("A client was refused: its address is not allowed (see allowed_client_networks).",
			zap.Stringer("client", addr))
		return nil
	}
	if !e.proxy.admitted.enter(s.MaxUnauthenticated) {
		e.failed.add(failedUnauthenticated)
		e.log.Warn("A client was refused: too many are logging in (see max_unauthenticated_connections).",
			zap.Stringer("client", addr))
		return nil
	}
	return s
}

// setKeepAlive is for a socket that has its options from nobody.
func (e *Endpoint) setKeepAlive(t *netloop.Transport) {
	if k := e.opts.Load().KeepAlive; k != (KeepAlive{}) {
		_ = t.SetKeepAlive(k.Idle, k.Interval, k.Count, k.UserTimeout) // a matter of taste, not of correctness
	}
}

// login is the life of a client until it is let in.
func (e *Endpoint) login(a *arrival, s *Settings) {
	p, o := e.proxy, e.opts.Load()
	loggedIn, moved := false, false
	e.unauthenticated.Add(1)
	defer func() {
		e.unauthenticated.Add(-1)
		if v := recover(); v != nil {
			e.failed.add(failedPanic)
			p.panickedWithSecrets("panic in a login; only this client is affected", v, debug.Stack())
		}
		if !moved {
			a.end(func() { p.admitted.leave(loggedIn) })
		}
	}()
	ctx := &loginContext{p.mayLogIn, time.Now().Add(s.LoginTimeout)}
	v, err := o.Target.engine.greet(ctx, e, a, o, s)
	if err != nil {
		e.loginFailed(a, o, err)
		return
	}
	if v == nil {
		return
	}
	if p.draining.Load() {
		e.failed.add(failedDraining)
		v.turnAway(a.stream(), 0)
		return
	}
	if loggedIn = p.admitted.loggedIn(s.MaxClients); !loggedIn {
		e.failed.add(failedClients)
		e.log.Warn("A client was refused: too many clients (see max_client_connections).", zap.Stringer("client", a.RemoteAddr()))
		v.turnAway(a.stream(), s.MaxClients)
		return
	}
	e.succeeded.Add(1)
	moved = a.enter(v, o, s)
}

// loginFailed notes why a client could not log in. To the dialogue, a user whose
// secret is not there is unknown; the operator is told the difference.
func (e *Endpoint) loginFailed(a *arrival, o *EndpointOptions, err error) {
	reason := failureOf(err)
	if errors.Is(err, auth.ErrUnknownUser) && o.Barred != nil {
		if why := o.Barred(userOf(err)); why != nil {
			reason, err = failedNoSecret, why
		}
	}
	e.failed.add(reason)
	e.log.Info("A client could not log in.", zap.Stringer("client", a.RemoteAddr()), zap.String("reason", reason), zap.Error(err))
}

// userOf is the name that a client gave whose login failed.
func userOf(err error) string {
	if e, ok := errors.AsType[*login.Error](err); ok {
		return e.User
	}
	return ""
}

// connected notes that a client is let in.
func (e *Endpoint) connected(from net.Addr, c *client, user, database string, encrypted bool) {
	if entry := e.log.Check(zap.InfoLevel, "A new client connected."); entry != nil {
		entry.Write(zap.Stringer("client", from), zap.String("user", user),
			zap.String("database", database), zap.Uint32("client_connection", c.pid), zap.Bool("tls", encrypted))
	}
}

// failureOf is why a login has failed.
func failureOf(err error) string {
	// Who is not known fails for that, whatever the token.
	if r := iam.ReasonOf(err); r != 0 && !errors.Is(err, auth.ErrUnknownUser) {
		return tokenFailure(r)
	}
	if e, ok := errors.AsType[*login.Error](err); ok {
		return e.Reason.String()
	}
	return login.Disconnected.String()
}
