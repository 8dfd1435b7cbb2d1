// SPDX-License-Identifier: Apache-2.0

package proxy

import (
	"context"
	"crypto/tls"
	"net"
	"time"

	"go.uber.org/zap"

	"github.com/rdsproxy/rdsproxy/pkg/pool"
	"github.com/rdsproxy/rdsproxy/pkg/proxy/mylogin"
	"github.com/rdsproxy/rdsproxy/pkg/session/mysession"
	"github.com/rdsproxy/rdsproxy/pkg/target"
	mywire "github.com/rdsproxy/rdsproxy/pkg/wire/mysql"
)

// myVisitor is a client whose login was accepted.
type myVisitor struct {
	*mylogin.Login
	id    uint32
	proxy *Proxy
}

func (mysql) greet(ctx context.Context, e *Endpoint, a *arrival, o *EndpointOptions, s *Settings) (visitor, error) {
	if o.Target.knownFacts() == nil { // the database is to be asked
		if _, err := a.Leave(); err != nil {
			return nil, err
		}
	}
	id := e.proxy.cancels.reserve()
	tokens := e.tokens(a, o)
	l, err := mylogin.Serve(ctx, a.stream(), &mylogin.Config{
		TLS: o.TLS, RequireTLS: s.RequireTLS, Users: o.MySQL.Users, UnknownMethod: o.MySQL.UnknownMethod(),
		Greeting: o.Target.greeting(ctx, o), ThreadID: id, Key: o.MySQL.Key, Tokens: tokens,
	})
	if err != nil {
		e.proxy.cancels.remove(id)
		return nil, err
	}
	e.report(tokens, l.User)
	return &myVisitor{l, id, e.proxy}, nil
}

// greetingLimit is how long a client waits for the database to be asked what it is.
const greetingLimit = 3 * time.Second

// greeting is what clients are told at first. It is what the database says, less
// what the proxy does not do.
func (t *TargetGroup) greeting(ctx context.Context, o *EndpointOptions) mylogin.Greeting {
	known := t.knownFacts()
	if user := o.MySQL.AnyUser(); known == nil && user != "" {
		ctx, stop := context.WithTimeout(ctx, greetingLimit)
		defer stop()
		opts := t.opts.Load()
		if c, err := opts.Credentials.Get(ctx, user); err == nil {
			if err := t.learn(ctx, opts, pool.Key{User: user}, c.Password.Reveal()); err != nil {
				t.log.Warn("The database could not be asked what it is.", zap.Error(err))
			}
			known = t.knownFacts()
		}
	}
	if known == nil {
		return supposed(o.MySQL.MariaDB)
	}
	f := known.detail.(target.MySQLFacts)
	return mylogin.Greeting{Version: f.Version, Capabilities: offered(f.Capabilities), Collation: f.Collation}
}

// supposed is the greeting in place of a database that was never reached.
func supposed(mariaDB bool) mylogin.Greeting {
	all := mywire.Always | mywire.ClassMask&^mywire.ExtendedMask | mywire.ClientConnectWithDB
	if mariaDB {
		all &^= mywire.ClientLongPassword | mywire.ClientQueryAttributes | mywire.ClientOptionalResultsetMetadata
		return mylogin.Greeting{Version: "10.6.0-MariaDB", Capabilities: offered(all), Collation: 45}
	}
	return mylogin.Greeting{Version: "8.0.11", Capabilities: offered(all &^ mywire.ClientQueryAttributes)}
}

// offered are the capabilities that clients of a database with those of server are
// offered.
func offered(server mywire.Capabilities) mywire.Capabilities {
	// With MariaDBCacheMetadata a server leaves out what its client has seen before,
	// which another client of the same statement has not.
	const kept = (mywire.Always | mywire.ClassMask | mywire.ClientConnectWithDB) &^ mywire.MariaDBCacheMetadata
	caps := server&kept | mywire.ClientCompress
	if !caps.Extended() {
		caps |= mywire.ClientZstd
	}
	return caps
}

func (v *myVisitor) turnAway(nc net.Conn, maxClients int) {
	v.proxy.cancels.remove(v.id)
	why := mysqlShutdown
	if maxClients > 0 {
		why = mywire.NewError(mywire.CodeConCount, "Too many connections")
	}
	if v.TLS != nil {
		nc = v.TLS
	}
	_ = nc.SetDeadline(time.Now().Add(flushLimit))
	_, _ = nc.Write(mywire.AppendError(nil, v.NextSeq, v.Capabilities, why))
	if v.TLS != nil {
		_ = v.TLS.CloseWrite()
	}
}

func (v *myVisitor) client(a *arrival, w *worker, o *EndpointOptions, s *Settings) (*client, *tls.Conn, func()) {
	e, target := a.endpoint, o.Target
	key := classKey(v.User, v.Capabilities)
	c := &myClient{
		client: client{
			worker: w, endpoint: e, readers: o.Readers, target: target, pool: target.group.Pool(key), shared: target.sharedFor(key), pid: v.id,
		},
		user: v.User, caps: v.Capabilities,
	}
	c.session, c.driver = &c.machine, c
	if v.Compression != mylogin.Uncompressed {
		c.codec = &compressed{
			machine: &c.machine, client: &c.client,
			codec: mywire.NewCompression(v.Capabilities, byte(v.ZstdLevel)), //nolint:gosec // 1 to 22
		}
		c.session = c.codec
	}
	so := mysession.Options{
		Host: c, Shared: c.shared.shared.(*mysession.Shared), ThreadID: v.id, User: v.User, Capabilities: v.Capabilities,
		Collation: v.Collation, Schema: v.Schema, LoginSeq: v.NextSeq,
		BorrowTimeout: target.borrowTimeout(), CleanupTimeout: s.CleanupTimeout,
		ResendWrites: o.Readers == nil,
	}
	e.connected(a.RemoteAddr(), &c.client, v.User, v.Schema, v.TLS != nil)
	return &c.client, v.TLS, func() { c.machine.Init(so) }
}
