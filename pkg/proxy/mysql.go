// SPDX-License-Identifier: Apache-2.0

package proxy

import (
	"context"
	"errors"
	"fmt"
	"strconv"

	"github.com/rdsproxy/rdsproxy/pkg/netloop"
	"github.com/rdsproxy/rdsproxy/pkg/pool"
	"github.com/rdsproxy/rdsproxy/pkg/session/mysession"
	"github.com/rdsproxy/rdsproxy/pkg/target"
	mywire "github.com/rdsproxy/rdsproxy/pkg/wire/mysql"
)

// MySQLDialer opens connections to MySQL or MariaDB: *target.MySQLDialer.
type MySQLDialer interface {
	Dial(ctx context.Context, r target.MySQLRequest) (*target.MySQLEstablished, error)
	Kill(ctx context.Context, r target.MySQLRequest, threadID uint32) error
	Facts(ctx context.Context, r target.MySQLRequest) (target.MySQLFacts, error)
}

// InitConnect is a variable that MySQLDialer is to ask for beyond those that are
// tracked.
const InitConnect = "init_connect"

// mysql is the engine of MySQL and MariaDB.
type mysql struct{}

// classKey names the pool of a user and of the capabilities that cannot be changed
// after the login. The schema is none of them.
func classKey(user string, caps mywire.Capabilities) pool.Key {
	return pool.Key{User: user, Database: strconv.FormatUint(uint64(caps.Class()), 16)}
}

func classOf(key pool.Key) mywire.Capabilities {
	n, err := strconv.ParseUint(key.Database, 16, 64)
	if err != nil {
		return 0 // classKey made it
	}
	return mywire.Capabilities(n)
}

func (mysql) newShared(o *TargetOptions) shared { return mysession.NewShared(o.MaxStatements) }

func (mysql) learn(ctx context.Context, o *TargetOptions, key pool.Key, password string) (facts, error) {
	f, err := o.MySQLDialer.Facts(ctx, target.MySQLRequest{User: key.User, Password: password})
	return facts{maxConnections: f.MaxConnections, version: f.Version, readOnly: f.ReadOnly, detail: f}, err
}

func (mysql) dial(ctx context.Context, o *TargetOptions, key pool.Key, password string, _ *pool.DialAttempt) (link, error) {
	est, err := o.MySQLDialer.Dial(ctx, target.MySQLRequest{User: key.User, Password: password, Capabilities: classOf(key)})
	if err != nil {
		return link{}, err
	}
	return link{conn: est.Conn, transport: est.Wrapped.(*netloop.Transport), pid: est.ThreadID, detail: est}, nil
}

func (mysql) cancel(ctx context.Context, o *TargetOptions, db *dbConn) (sent bool, err error) {
	// KILL QUERY is sent on a connection of its own, with the password of now.
	r := target.MySQLRequest{User: db.entry.Pool().Key().User}
	c, err := o.Credentials.Get(ctx, r.User)
	if err != nil {
		return false, err
	}
	r.Password = c.Password.Reveal()
	if err = o.MySQLDialer.Kill(ctx, r, db.pid); err == nil {
		return true, nil
	}
	if e, ok := target.MySQLServerError(err); ok && e.Code == mywire.CodeNoSuchThread {
		return true, nil
	}
	e, ok := errors.AsType[*target.Error](err)
	return !ok || e.Stage == target.StageCancel, err
}

// quitMessage is COM_QUIT.
var quitMessage = []byte{1, 0, 0, 0, byte(mywire.ComQuit)}

func (mysql) goodbye() []byte { return quitMessage }

func (mysql) errorState(p []byte) string {
	if len(p) <= mywire.HeaderLen || mywire.ReplyOf(p[mywire.HeaderLen:]) != mywire.ReplyError {
		return ""
	}
	if e, ok := mywire.ParseError(p[mywire.HeaderLen:]); ok {
		return e.State
	}
	return ""
}

func (mysql) refusal(err error) (own, permanent bool) {
	_, own = target.MySQLServerError(err)
	return own, target.Permanent(err)
}

func (mysql) deniesLogin(err error) bool {
	e, ok := target.MySQLServerError(err)
	return ok && (e.Code == mywire.CodeAccessDenied || e.Code == codeAccessDeniedNoPassword)
}

// codeAccessDeniedNoPassword is what MariaDB says instead where a user has no
// password, but another way to log in.
const codeAccessDeniedNoPassword = 1698

// clientError is what a client is told when it gets no connection.
func (mysql) clientError(err error) *mywire.Error {
	if none, ok := errors.AsType[*noCredentialsError](err); ok {
		return mywire.NewError(mywire.CodeAccessDenied, fmt.Sprintf(
			"This RDS proxy has no credentials for the role %s. Check the credentials for this role and try again.", none.user))
	}
	if errors.Is(err, pool.ErrNoneReady) {
		return mywire.NewError(mywire.CodeConCount, "Timed-out waiting to acquire database connection.")
	}
	if e, ok := target.MySQLServerError(err); ok && e.Code != mywire.CodeAccessDenied {
		return e
	}
	return mywire.NewError(mywire.CodeConCount, "The proxy could not log in to the database; its log tells why.")
}

func (mysql) newServer(sh shared, l *link, o *TargetOptions, _ *pool.DialAttempt) server {
	est := l.detail.(*target.MySQLEstablished)
	// A server with init_connect has done more for the connection than the proxy could
	// do again.
	unrepeatable := est.Base[InitConnect] != ""
	delete(est.Base, InitConnect)
	return mysession.NewServer(sh.(*mysession.Shared), &mysession.ServerFacts{
		Capabilities: est.Capabilities, ThreadID: est.ThreadID, MariaDB: est.Greeting.MariaDB(), Status: est.Status,
		Schema: est.Schema, Base: est.Base, Collation: est.Collation, Setup: o.Setup,
		Unrepeatable: o.InitQuery || unrepeatable,
	})
}
