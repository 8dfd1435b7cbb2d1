// SPDX-License-Identifier: Apache-2.0

package proxy

import (
	"context"
	"crypto/tls"
	"net"

	"github.com/rdsproxy/rdsproxy/pkg/netloop"
	"github.com/rdsproxy/rdsproxy/pkg/pool"
)

// engine is what differs between the kinds of databases, for one target group.
type engine interface {
	// newShared makes what the sessions of one pool share.
	newShared(o *TargetOptions) shared
	// learn asks the database what it is. It logs in as user.
	learn(ctx context.Context, o *TargetOptions, key pool.Key, password string) (facts, error)
	// dial opens a connection for the pool of key.
	dial(ctx context.Context, o *TargetOptions, key pool.Key, password string, d *pool.DialAttempt) (link, error)
	// newServer describes it to the sessions.
	newServer(sh shared, l *link, o *TargetOptions, d *pool.DialAttempt) server
	// cancel has the database cancel what runs on a connection, and returns when
	// that has had its effect. Of an error, sent tells whether the request may
	// still have one.
	cancel(ctx context.Context, o *TargetOptions, db *dbConn) (sent bool, err error)
	// goodbye is what a database is told before a connection is closed.
	goodbye() []byte
	// refusal tells whether err is an error of the database's own, rather than
	// one of the way to it, and whether trying again is useless until somebody
	// has changed something.
	refusal(err error) (own, permanent bool)
	// deniesLogin tells whether the database refused the user or the password.
	deniesLogin(err error) bool
	// errorState gives the SQLSTATE of an error message that p begins with; "" if it
	// begins with something else.
	errorState(p []byte) string
	// greet lets a client log in. It returns a nil visitor if there is nothing
	// more to do. The error is told apart by failureOf.
	greet(ctx context.Context, e *Endpoint, a *arrival, o *EndpointOptions, s *Settings) (visitor, error)
}

// engineFor gives the engine that the options are for.
func engineFor(o *TargetOptions) engine {
	if o.MySQLDialer != nil {
		return mysql{}
	}
	return postgres{}
}

// shared is what the sessions and connections of one pool share. It lives for as
// long as there are any.
type shared interface {
	// Retire forgets what the database reported.
	Retire()
}

// poolShared is kept by all that use it.
type poolShared struct{ shared }

// server is the protocol state of a database connection.
type server interface {
	// IdleData takes what came while nobody had borrowed the connection; false if
	// that is not to be.
	IdleData(p []byte) (n int, ok bool)
	// Key is what is in force there, as the pool compares it.
	Key() any
}

// link is a database connection that has just been opened.
type link struct {
	conn      net.Conn // a *tls.Conn, or transport
	transport *netloop.Transport
	// pid and secret are what the database cancels it by.
	pid    uint32
	secret []byte
	// detail is the engine's own.
	detail any
}

// facts are what a database has told of itself.
type facts struct {
	maxConnections int
	version        string
	readOnly       bool
	// detail is the engine's own.
	detail any
}

// machine is a client's session, as far as it is the same for all engines.
type machine interface {
	Start()
	ClientData(p []byte) int
	ServerData(p []byte) int
	ClientGone()
	ServerGone()
	Closed() bool
	TimeUp()
	Drain()
	Cancel()
	Waiting() bool
	AwaitsClient() bool
	InTransaction() bool
}

// driver gives a session what has a type of its own in each engine.
type driver interface {
	// grant gives it the connection that it waits for.
	grant(srv server)
	// deny tells it that there is none.
	deny(err error)
	// wants is what it asks the pool for, as the pool compares it.
	wants() any
	// finish ends it, telling the client why.
	finish(why CloseReason)
	// cancelDone tells it that a cancel request cannot hit anything any more.
	cancelDone(srv server)
}

// visitor is a client that has proved who it is, and is not let in yet.
type visitor interface {
	// turnAway tells it why it has to go: there are maxClients already, or, if
	// that is 0, the proxy is shutting down.
	turnAway(nc net.Conn, maxClients int)
	// client makes it a client on the worker's loop. begin makes its session, and is
	// called there. tc is its TLS connection, nil if it has none.
	client(a *arrival, w *worker, o *EndpointOptions, s *Settings) (c *client, tc *tls.Conn, begin func())
}
