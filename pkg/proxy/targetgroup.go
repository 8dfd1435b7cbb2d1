// SPDX-License-Identifier: Apache-2.0

package proxy

import (
	"cmp"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"runtime/debug"
	"sync"
	"sync/atomic"
	"time"

	"go.uber.org/zap"

	"github.com/rdsproxy/rdsproxy/pkg/pool"
)

// cancelLimit bounds the delivery of one cancel request.
const cancelLimit = 10 * time.Second

// TargetOptions are the settings of a target group. All of them may change
// while it is in use.
type TargetOptions struct {
	Name string
	// Dialer is for PostgreSQL, MySQLDialer for MySQL and MariaDB. Which of them is
	// there does not change.
	Dialer      Dialer
	MySQLDialer MySQLDialer
	// Setup is the statement that MySQLDialer begins each connection with, to be said
	// again after a reset.
	Setup string
	// MaxConnections replaces the max_connections that the database reports; 0
	// asks the database.
	MaxConnections           int
	MaxConnectionsPercent    int
	MaxIdlePercent           int
	BorrowTimeout            time.Duration // 0: no waiting
	ConnectTimeout           time.Duration
	MaxLifetime, IdleTimeout time.Duration
	MaxStatements            int
	Credentials              Credentials
	// TLS: connections are opened with TLS, or it is at least tried.
	TLS bool
	// InitQuery: connections are set up by an init query.
	InitQuery bool
	// Suspect is told when something is odd with the server that the dialer leads to:
	// a connection could not be opened, or broke, or refused to write. It must return
	// at once. It may be nil.
	Suspect func(why string)
}

func (o *TargetOptions) tls() int {
	if o.TLS {
		return 1
	}
	return 0
}

// TargetGroup is one database (its writer) with the pools of connections to it.
type TargetGroup struct {
	proxy *Proxy
	name  string
	index int // among the proxy's target groups
	log   *zap.Logger
	group *pool.Group
	// engine is chosen once.
	engine engine
	opts   atomic.Pointer[TargetOptions]
	eras   *eras

	// limits is held while the pool's options are computed and set, so that of
	// two changes the later one counts. stopped: there is to be no connection.
	limits  sync.Mutex
	stopped bool

	// family has what sessions share; target groups of readers have one together.
	family *family
	// readers counts the clients of read-only endpoints that are served here.
	readers atomic.Int64

	mu sync.Mutex
	// facts is what the database said of itself; nil until it was reached. fresh:
	// it has not been unreachable or replaced since.
	facts *facts
	fresh bool
	// learning: the database is being asked beside the dials.
	learning bool

	// logins is what became of the proxy's logins, by user; see rotating.
	logins map[string]loginState

	turns turns // of those who open a connection

	ticking sync.Mutex
	tick    *time.Timer // nil once stopped

	// requests are attempts to open a connection, by whether TLS is asked for.
	requests [2]atomic.Uint64
	opened   atomic.Uint64
	failed   *reasonCounts
	openTLS  atomic.Int64
}

// Why a database connection could not be opened.
const (
	failedNoCredentials = "no_credentials"
	failedRefused       = "refused" // by the database, with an error of its own
	failedTimeout       = "timeout"
	failedUnreachable   = "unreachable"
)

func newTargetGroup(p *Proxy, o TargetOptions, index int) *TargetGroup {
	t := &TargetGroup{
		proxy: p, name: o.Name, index: index, log: p.log.With(zap.String("target_group", o.Name)),
		failed: newReasonCounts(failedNoCredentials, failedRefused, failedTimeout, failedUnreachable),
		family: newFamily(),
		logins: make(map[string]loginState),
	}
	t.engine = engineFor(&o)
	t.eras = newEras(p.mayDial)
	t.opts.Store(&o)
	t.group = pool.NewGroup(t.poolOptions(&o))
	t.tick = time.AfterFunc(time.Hour, t.onTick)
	t.arm()
	return t
}

// Name is that of the options it was made with.
func (t *TargetGroup) Name() string { return t.name }

// poolOptions computes the limits. Until the database has told its
// max_connections, one connection is opened to ask.
func (t *TargetGroup) poolOptions(o *TargetOptions) pool.Options {
	most, budget := o.MaxConnections, 1
	if facts := t.knownFacts(); most == 0 && facts != nil {
		most = facts.maxConnections
	}
	switch {
	case t.stopped:
		budget = 0
	case most > 0:
		budget = max(1, most*o.MaxConnectionsPercent/100)
	}
	return pool.Options{
		Budget: budget, MaxIdle: most * o.MaxIdlePercent / 100, IdleTimeout: o.IdleTimeout,
		MaxLifetime: o.MaxLifetime, LifetimeJitter: 0.1, NoWait: o.BorrowTimeout == 0,
	}
}

// noWaitLimit is how long a session may wait at most where waiting is not wanted:
// for a connection of its own, which cannot be ready.
const noWaitLimit = 2 * time.Minute

// borrowTimeout limits a wait that begins now.
func (t *TargetGroup) borrowTimeout() time.Duration {
	return cmp.Or(t.opts.Load().BorrowTimeout, noWaitLimit)
}

// setLimits tells the pool what follows from the options and facts of now.
func (t *TargetGroup) setLimits() {
	t.limits.Lock()
	acts := t.group.SetOptions(t.poolOptions(t.opts.Load()), t.proxy.now(), nil)
	t.limits.Unlock()
	t.carryOutAll(acts)
}

func (t *TargetGroup) knownFacts() *facts {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.facts
}

// doubtFacts has the database asked again: it may be another one, or have been
// started with other settings.
func (t *TargetGroup) doubtFacts() {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.fresh = false
}

// Update gives the target group new options. retire replaces the connections
// that were made under the old ones, as they become free.
func (t *TargetGroup) Update(o TargetOptions, retire bool) {
	t.opts.Store(&o)
	t.setLimits()
	if retire {
		t.retire()
	}
}

// retire replaces all connections, as they become free.
func (t *TargetGroup) retire() {
	t.doubtFacts()
	for _, sh := range t.family.all() {
		sh.Retire()
	}
	t.carryOutAll(t.group.Retire(t.proxy.now(), nil))
}

// carryOut does one thing that the pool asks for. here is the worker whose loop
// the caller runs on, or nil.
func (t *TargetGroup) carryOut(a *pool.Action, here *worker) {
	switch a.Kind {
	case pool.Grant:
		c, db := a.Waiter.Owner.(*client), a.Conn.Owner.(*dbConn)
		switch {
		case db.worker != c.worker:
			db.move(c)
		case here == c.worker && here.granting < maxGranting:
			here.granting++
			c.granted(db)
			here.granting--
		default:
			c.worker.loop.Post(func() { c.granted(db) })
		}
	case pool.Fail:
		// Always later: the session may be in the middle of asking.
		c, err := a.Waiter.Owner.(*client), a.Err
		c.worker.loop.Post(func() { c.refused(err) })
	case pool.Dial:
		d := a.Dial
		t.proxy.background.run(func() { t.dial(d) })
	case pool.Close:
		db, reason := a.Conn.Owner.(*dbConn), a.Reason
		t.log.Debug("The database connection is being closed.",
			zap.Uint32("db_connection", db.pid), zap.Stringer("reason", reason))
		db.worker.on(here, db.shutdown)
	case pool.Wake:
		t.arm()
	}
}

func (t *TargetGroup) carryOutAll(acts []pool.Action) {
	for i := range acts {
		t.carryOut(&acts[i], nil)
	}
}

// arm lets Tick be called when the pool wants it. The time is asked for under
// the lock, so that of two calls the later one arms for what is true now.
func (t *TargetGroup) arm() {
	t.ticking.Lock()
	defer t.ticking.Unlock()
	if t.tick == nil {
		return
	}
	if at := t.group.NextTick(); at != pool.Never {
		t.tick.Reset(max(at-t.proxy.now(), 0))
	}
}

func (t *TargetGroup) onTick() {
	_, acts := t.group.Tick(t.proxy.now(), nil)
	t.carryOutAll(acts)
	t.arm()
}

// dial opens one connection and hands it to the pool. It runs on a goroutine of
// its own.
func (t *TargetGroup) dial(d *pool.DialAttempt) {
	key := d.Pool.Key()
	now, born, dials, err := t.eras.await()
	if err == nil && t.group.Outdated(d) {
		err = errOutdated
	}
	if err != nil {
		t.carryOutAll(t.group.Dialed(d, nil, err, pool.TargetFailed, t.proxy.now(), nil))
		return
	}
	o := t.opts.Load()
	l, err := t.openInTurn(dials, o, key, d)
	if err != nil {
		t.failed.add(t.failureReason(err))
		failure := t.meaning(key.User, err)
		if dials.Err() == nil {
			if failure == pool.TargetFailed {
				o.suspect("a connection could not be opened")
			}
			t.log.Warn("A database connection could not be opened.",
				zap.String("user", key.User), zap.String("database", key.Database), zap.Error(err))
		}
		if failure == pool.TargetFailed {
			t.doubtFacts()
		}
		t.carryOutAll(t.group.Dialed(d, nil, err, failure, t.proxy.now(), nil))
		return
	}
	t.opened.Add(1)
	w := t.proxy.workerFor(d.Loop)
	tc, encrypted := l.conn.(*tls.Conn)
	db := &dbConn{target: t, opts: o, era: now, born: born, worker: w, shared: t.sharedFor(key), pid: l.pid, secret: l.secret, tls: encrypted}
	db.entry.Owner = db
	db.server = t.engine.newServer(db.shared.shared, &l, o, d)
	posted := w.loop.Post(func() {
		if err := db.attach(l.transport, tc); err != nil {
			t.log.Warn("A database connection could not be moved to its event loop.", zap.Error(err))
			_ = l.transport.Close()
			w.carryOut(t, t.group.Dialed(d, nil, err, pool.TargetFailed, w.now(), w.buffer()))
			return
		}
		db.opened()
		w.carryOut(t, t.group.Dialed(d, &db.entry, nil, pool.TargetFailed, w.now(), w.buffer()))
	})
	if !posted {
		t.farewell(l.conn)
	}
}

// farewell ends a connection that has come too late.
func (t *TargetGroup) farewell(nc net.Conn) {
	_ = nc.SetDeadline(time.Now().Add(flushLimit))
	_, _ = nc.Write(t.engine.goodbye())
	_ = nc.Close()
}

// openInTurn opens a connection when there are not too many others on their way.
func (t *TargetGroup) openInTurn(ctx context.Context, o *TargetOptions, key pool.Key, d *pool.DialAttempt) (l link, err error) {
	if err := t.turns.take(ctx); err != nil {
		return link{}, err
	}
	defer func() { t.turns.done(err == nil) }()
	ctx, stop := context.WithTimeout(ctx, o.ConnectTimeout)
	defer stop()
	return t.open(ctx, o, key, d)
}

var errPanicked = errors.New("a defect of the proxy, which its log tells of")

func (t *TargetGroup) open(ctx context.Context, o *TargetOptions, key pool.Key, d *pool.DialAttempt) (l link, err error) {
	defer func() {
		if v := recover(); v != nil {
			t.proxy.panickedWithSecrets("panic while a database connection was opened; only those who wait for it are affected", v, debug.Stack())
			err = errPanicked
		}
	}()
	t.requests[o.tls()].Add(1)
	return t.logIn(ctx, o, key, d)
}

// meaning is what a failed attempt to log in as user says of later ones.
func (t *TargetGroup) meaning(user string, err error) pool.Failure {
	if t.engine.deniesLogin(err) && t.rotating(user) {
		return pool.PoolRefused
	}
	_, none := errors.AsType[*noCredentialsError](err)
	if _, permanent := t.engine.refusal(err); none || permanent {
		return pool.PoolBarred
	}
	return pool.TargetFailed
}

func (t *TargetGroup) failureReason(err error) string {
	if _, ok := errors.AsType[*noCredentialsError](err); ok {
		return failedNoCredentials
	}
	if own, _ := t.engine.refusal(err); own {
		return failedRefused
	}
	if errors.Is(err, context.DeadlineExceeded) {
		return failedTimeout
	}
	return failedUnreachable
}

// learn asks the database for its limits, unless that is known. What was known of
// another writer, or of a time before a restart, is good enough to begin with.
func (t *TargetGroup) learn(ctx context.Context, o *TargetOptions, key pool.Key, password string) error {
	t.mu.Lock()
	fresh, known, learning := t.fresh, t.facts != nil, t.learning
	t.learning = t.learning || !fresh && known
	t.mu.Unlock()
	switch {
	case fresh, known && learning:
		return nil
	case !known:
		return t.askFacts(ctx, o, key, password)
	}
	begun := t.proxy.background.run(func() {
		defer func() {
			if v := recover(); v != nil {
				t.proxy.panickedWithSecrets("panic while the database was asked for its limits", v, debug.Stack())
			}
			t.mu.Lock()
			t.learning = false
			t.mu.Unlock()
		}()
		ctx, stop := context.WithTimeout(t.proxy.mayDial, o.ConnectTimeout)
		defer stop()
		if err := t.askFacts(ctx, o, key, password); err != nil {
			t.log.Debug("The database could not be asked for its limits.", zap.Error(err))
		}
	})
	if !begun {
		return context.Canceled // the proxy is closing
	}
	return nil
}

func (t *TargetGroup) askFacts(ctx context.Context, o *TargetOptions, key pool.Key, password string) error {
	f, err := t.engine.learn(ctx, o, key, password)
	if err != nil {
		return err
	}
	t.mu.Lock()
	t.facts, t.fresh = &f, t.opts.Load().sameServer(o)
	t.mu.Unlock()
	t.log.Info("The database was reached.", zap.String("version", f.version),
		zap.Int("max_connections", f.maxConnections), zap.Bool("read_only", f.readOnly))
	t.setLimits()
	return nil
}

// sameServer tells whether both lead to the same server by the same dialer.
func (o *TargetOptions) sameServer(other *TargetOptions) bool {
	return o.Dialer == other.Dialer && o.MySQLDialer == other.MySQLDialer
}

// cancel has the database cancel what runs on a connection, and returns when that
// has had its effect. It returns false if it may have one later.
func (t *TargetGroup) cancel(db *dbConn) (over bool) {
	defer func() {
		if v := recover(); v != nil {
			t.proxy.panicked("panic while a cancel request was delivered", v, debug.Stack())
		}
	}()
	ctx, stop := context.WithTimeout(t.proxy.ctx, cancelLimit)
	defer stop()
	sent, err := t.engine.cancel(ctx, db.opts, db)
	if err == nil {
		return true
	}
	t.log.Warn("A cancel request could not be delivered to the database.", zap.Error(err))
	return !sent
}

// noCredentialsError: there is no password to log in to the database with.
type noCredentialsError struct {
	user string
	err  error
}

func (e *noCredentialsError) Error() string {
	return fmt.Sprintf("no credentials for user %q: %v", e.user, e.err)
}

func (e *noCredentialsError) Unwrap() error { return e.err }

// shutdown closes all connections in order: idle ones now, the others are
// closed by their sessions' end.
func (t *TargetGroup) shutdown() {
	t.ticking.Lock()
	if t.tick != nil {
		t.tick.Stop()
		t.tick = nil
	}
	t.ticking.Unlock()
	t.limits.Lock()
	t.stopped = true
	t.limits.Unlock()
	t.setLimits()
}
