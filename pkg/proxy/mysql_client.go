// SPDX-License-Identifier: Apache-2.0

package proxy

import (
	"crypto/rsa"

	"github.com/rdsproxy/rdsproxy/pkg/auth"
	"github.com/rdsproxy/rdsproxy/pkg/proxy/mylogin"
	"github.com/rdsproxy/rdsproxy/pkg/session/mysession"
	mywire "github.com/rdsproxy/rdsproxy/pkg/wire/mysql"
)

// MySQLEndpoint is what an endpoint in front of MySQL or MariaDB needs beyond
// others.
type MySQLEndpoint struct {
	Users mylogin.UserLookup
	// UnknownMethod is as EndpointOptions.UnknownMethod.
	UnknownMethod func() auth.MySQLMethod
	// Key is what clients without TLS encrypt their password with; nil: they
	// need TLS for a full caching_sha2_password login.
	Key *rsa.PrivateKey
	// AnyUser gives a user for whom the database can be asked what it is, as long as
	// that is not known; "" for none.
	AnyUser func() string
	// MariaDB tells what to be taken for while the database was not reached.
	MariaDB bool
}

// myClient is a client of a MySQL or MariaDB database.
type myClient struct {
	client
	machine mysession.Session
	user    string
	caps    mywire.Capabilities
	// codec is nil unless the client uses the compressed protocol.
	codec *compressed
}

var (
	_ mysession.Host = (*myClient)(nil)
	_ driver         = (*myClient)(nil)
)

// Borrow implements mysession.Host.
func (c *myClient) Borrow(settings *mysession.Settings) *mysession.Server {
	if srv := c.borrow(settings.Key()); srv != nil {
		return srv.(*mysession.Server)
	}
	return nil
}

// Scarce implements mysession.Host.
func (c *myClient) Scarce() bool { return c.target.group.Scarce(c.pool) }

// ToClient implements session.Host.
func (c *myClient) ToClient(p []byte) {
	if c.codec != nil {
		p = c.codec.deflate(p)
	}
	c.client.ToClient(p)
}

// Salt implements mysession.Host.
func (c *myClient) Salt(user string) (plugin string, salt []byte) {
	salted := auth.NewSalt()
	plugin = c.credential(user).Method().Plugin()
	if plugin == auth.PluginCleartext {
		// A token cannot be checked here, and nobody is to send one without TLS.
		plugin = auth.PluginCachingSHA2
	}
	return plugin, salted[:]
}

// credential is what a login of user is checked against, whether there is such a
// user or not.
func (c *myClient) credential(user string) auth.MySQLCredential {
	o := c.endpoint.opts.Load()
	credential := auth.MockMySQLCredential(user, o.MySQL.UnknownMethod())
	if known, ok := o.MySQL.Users.LookupMySQL(user); ok {
		credential = known
	}
	return credential
}

// Authenticate implements mysession.Host.
func (c *myClient) Authenticate(user, plugin string, salt, response []byte) bool {
	return c.credential(user).Verify(plugin, salt, response) == nil
}

// ChangeUser implements mysession.Host.
func (c *myClient) ChangeUser(user string) *mysession.Shared {
	if _, known := c.endpoint.opts.Load().MySQL.Users.LookupMySQL(user); !known {
		return nil
	}
	key := classKey(user, c.caps)
	c.user = user
	c.shared = c.target.sharedFor(key)
	c.pool = c.target.group.Pool(key)
	return c.shared.shared.(*mysession.Shared)
}

// Kill implements mysession.Host.
func (c *myClient) Kill(id uint32, query bool) {
	p, worker := c.worker.proxy, c.worker
	done := func(r mysession.KillResult) {
		worker.loop.Post(func() { c.do(func() { c.machine.KillDone(r) }) })
	}
	victim := p.cancels.find(id)
	if victim == nil {
		done(mysession.KillUnknown)
		return
	}
	user := c.user
	posted := victim.worker.loop.Post(func() { done(victim.killBy(user, query)) })
	if !posted {
		done(mysession.KillUnknown)
	}
}

// killBy ends what the client runs, or the client, for another one of the same
// user. It runs on the client's own loop.
func (c *client) killBy(user string, query bool) mysession.KillResult {
	my, ok := c.driver.(*myClient)
	switch {
	case !ok || c.conn == nil:
		return mysession.KillUnknown
	case my.user != user:
		return mysession.KillDenied
	case query && c.cancelling < maxCancelling:
		c.do(c.session.Cancel)
	case !query:
		c.closing = ClosedKilled
		c.conn.Close()
	}
	return mysession.Killed
}

func (c *myClient) grant(srv server)      { c.machine.Granted(srv.(*mysession.Server)) }
func (c *myClient) deny(err error)        { c.machine.BorrowFailed(mysql{}.clientError(err)) }
func (c *myClient) wants() any            { return c.machine.Settings().Key() }
func (c *myClient) cancelDone(srv server) { c.machine.CancelDone(srv.(*mysession.Server)) }

func (c *myClient) finish(why CloseReason) {
	if why == ClosedIdle {
		c.machine.End(idleError)
		return
	}
	c.machine.End(mysqlShutdown)
}

var (
	// idleError is what MySQL says since 8.0.24.
	idleError = &mywire.Error{
		Code: 4031, State: "HY000",
		Message: "The client was disconnected by the server because of inactivity. See idle_client_timeout for configuring this behavior.",
	}
	mysqlShutdown = mywire.NewError(mywire.CodeServerShutdown, "Server shutdown in progress")
)
