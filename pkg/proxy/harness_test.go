// SPDX-License-Identifier: Apache-2.0

package proxy_test

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"os"
	"runtime"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/jackc/pgx/v5/pgconn"
	"go.uber.org/goleak"
	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"
	"go.uber.org/zap/zaptest/observer"

	"github.com/rdsproxy/rdsproxy/pkg/auth"
	"github.com/rdsproxy/rdsproxy/pkg/netloop"
	"github.com/rdsproxy/rdsproxy/pkg/proxy"
	"github.com/rdsproxy/rdsproxy/pkg/secret"
	"github.com/rdsproxy/rdsproxy/pkg/target"
)

// patience is how long a test waits for what should come at once.
const patience = 20 * time.Second

const password = "sesame"

func TestMain(m *testing.M) {
	code := m.Run()
	if err := goleak.Find(); err != nil && code == 0 {
		fmt.Fprintln(os.Stderr, err)
		code = 1
	}
	os.Exit(code)
}

// scene is a proxy between a fake database and the test's clients.
type scene struct {
	tb       testing.TB
	db       *fakeDB
	proxy    *proxy.Proxy
	group    *proxy.TargetGroup
	endpoint *proxy.Endpoint
	target   proxy.TargetOptions
	settings proxy.Settings
	point    proxy.EndpointOptions
	logs     *observer.ObservedLogs
	// password is what the proxy logs in to the database with.
	password atomic.Pointer[string]
}

// plan changes what a scene is made of.
type plan struct {
	loops    int
	driver   string
	max      int // the database's max_connections; 100% of it is the budget
	target   func(*proxy.TargetOptions)
	settings func(*proxy.Settings)
	endpoint func(*proxy.EndpointOptions)
	dialer   func(proxy.Dialer) proxy.Dialer
	log      func(zapcore.Core) zapcore.Core
}

// everybody may log in with the one password, by MD5, which costs little.
type everybody struct{}

func (everybody) Lookup(user string) (auth.Credential, bool) {
	c, err := auth.NewCredential(user, password, auth.MD5)
	return c, err == nil && user != "stranger"
}

func newScene(tb testing.TB, p plan) *scene {
	tb.Helper()
	if p.loops == 0 {
		p.loops = 2
	}
	if p.max == 0 {
		p.max = 10
	}
	s := &scene{tb: tb, db: newFakeDB(tb, p.max)}
	core, logs := observer.New(zapcore.DebugLevel)
	s.logs = logs
	if p.log != nil {
		core = p.log(core)
	}
	s.settings = proxy.Settings{
		LoginTimeout: patience, CleanupTimeout: patience, MaxClients: 10000, MaxUnauthenticated: 1000,
	}
	if p.settings != nil {
		p.settings(&s.settings)
	}
	var err error
	s.proxy, err = proxy.New(proxy.Options{Loops: p.loops, Driver: p.driver, Log: zap.New(core)}, s.settings)
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(s.proxy.Close)
	first := "database's"
	s.password.Store(&first)
	host, port, _ := net.SplitHostPort(s.db.l.Addr().String())
	n, _ := strconv.Atoi(port)
	s.target = proxy.TargetOptions{
		Name: "main", MaxConnectionsPercent: 100, MaxIdlePercent: 100, BorrowTimeout: patience,
		ConnectTimeout: patience, MaxStatements: 100, IdleTimeout: time.Hour,
		Credentials: onePassword(func(context.Context, string) (string, error) { return *s.password.Load(), nil }),
		Dialer: target.NewDialer(target.Options{
			Host: host, Port: n, TLSMode: target.TLSDisable, ConnectTimeout: patience,
			Wrap: func(nc net.Conn) net.Conn { return netloop.NewTransport(nc) },
		}),
	}
	if p.target != nil {
		p.target(&s.target)
	}
	if p.dialer != nil {
		s.target.Dialer = p.dialer(s.target.Dialer)
	}
	s.group = s.proxy.AddTargetGroup(s.target)
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		tb.Fatal(err)
	}
	s.point = proxy.EndpointOptions{
		Name: "main", Target: s.group, Users: everybody{},
		UnknownMethod: func() auth.Method { return auth.MD5 }, TLS: func() *tls.Config { return nil },
	}
	if p.endpoint != nil {
		p.endpoint(&s.point)
	}
	s.endpoint = s.proxy.AddEndpoint(l, s.point)
	return s
}

// dsn is the address of the proxy for a user and database of the name given.
func (s *scene) dsn(name string, params ...string) string {
	dsn := fmt.Sprintf("postgres://%s:%s@%s/%s?sslmode=disable", name, password, s.endpoint.Addr(), name)
	for _, p := range params {
		dsn += "&" + p
	}
	return dsn
}

// dial opens a socket to the proxy that is closed by the caller, and does not
// hang for ever.
func (s *scene) dial() (net.Conn, error) {
	nc, err := net.Dial("tcp", s.endpoint.Addr().String())
	if err == nil {
		err = nc.SetDeadline(time.Now().Add(patience))
	}
	return nc, err
}

// client logs in, to be closed when the test ends.
func (s *scene) client(params ...string) *pgconn.PgConn {
	s.tb.Helper()
	c, err := s.tryClient("app", params...)
	if err != nil {
		s.tb.Fatal(err)
	}
	return c
}

func (s *scene) tryClient(name string, params ...string) (*pgconn.PgConn, error) {
	ctx, stop := context.WithTimeout(context.Background(), patience)
	defer stop()
	c, err := pgconn.Connect(ctx, s.dsn(name, params...))
	if err == nil {
		s.tb.Cleanup(func() { hangUpNow(c) })
	}
	return c, err
}

// hangUpNow closes the socket without a word.
func hangUpNow(c *pgconn.PgConn) { _ = c.Conn().Close() }

// row is what the fake database answers to SELECT '...'.
type row struct{ mark, pid string }

func ask(c *pgconn.PgConn, mark string) (row, error) {
	return query(c, "SELECT '"+mark+"'")
}

func query(c *pgconn.PgConn, sql string) (row, error) {
	ctx, stop := context.WithTimeout(context.Background(), patience)
	defer stop()
	results, err := c.Exec(ctx, sql).ReadAll()
	if err != nil {
		return row{}, err
	}
	for _, r := range results {
		if len(r.Rows) == 1 {
			return row{string(r.Rows[0][0]), string(r.Rows[0][1])}, nil
		}
	}
	return row{}, nil
}

// must fails the test unless the client gets its own mark.
func (s *scene) must(c *pgconn.PgConn, mark string) row {
	s.tb.Helper()
	r, err := ask(c, mark)
	if err != nil {
		s.tb.Fatal(err)
	}
	if r.mark != mark {
		s.tb.Fatalf("asked for %q, got %q", mark, r.mark)
	}
	return r
}

func (s *scene) exec(c *pgconn.PgConn, sql string) {
	s.tb.Helper()
	if _, err := query(c, sql); err != nil {
		s.tb.Fatalf("%s: %v", sql, err)
	}
}

// sqlstate is the code in err, or its text.
func sqlstate(err error) string {
	if e, ok := errors.AsType[*pgconn.PgError](err); ok {
		return e.Code
	}
	return fmt.Sprint(err)
}

func (s *scene) wantState(err error, want string) {
	s.tb.Helper()
	if sqlstate(err) != want {
		s.tb.Errorf("got %v, want SQLSTATE %s", err, want)
	}
}

// eventually polls until cond holds.
func eventually(tb testing.TB, what string, cond func() bool) {
	tb.Helper()
	late := time.NewTimer(patience)
	defer late.Stop()
	tick := time.NewTicker(2 * time.Millisecond)
	defer tick.Stop()
	for !cond() {
		select {
		case <-late.C:
			buf := make([]byte, 1<<20)
			tb.Fatalf("not within %v: %s\n%s", patience, what, buf[:runtime.Stack(buf, true)])
		case <-tick.C:
		}
	}
}

// stalls waits until a number has grown, and grows no more.
func stalls(tb testing.TB, n *atomic.Int64) {
	tb.Helper()
	last, since := int64(0), time.Now()
	eventually(tb, "it stalls", func() bool {
		if now := n.Load(); now != last {
			last, since = now, time.Now()
		}
		return last > 0 && time.Since(since) > 100*time.Millisecond
	})
}

func (s *scene) stats() proxy.Stats { return s.proxy.Stats(patience) }

// clients is how many clients have logged in and are there.
func (s *scene) clients() int {
	n := s.stats().Endpoints[0].Open
	return int(n[0] + n[1])
}

// settled waits until nobody is there, and then checks that nothing has been
// left behind: no place, no key, no borrowed connection.
func (s *scene) settled() {
	s.tb.Helper()
	eventually(s.tb, "clients gone and connections given back", func() bool {
		p := s.stats().Targets[0].Pool
		return s.clients() == 0 && p.Borrowed == 0 && p.Dedicated == 0 && p.Closing == 0 && p.Dialing == 0 && p.Waiting == 0
	})
	eventually(s.tb, "the database agrees", func() bool {
		p := s.stats().Targets[0].Pool
		return s.db.open() == p.Idle
	})
	eventually(s.tb, "no place and no cancel key is taken", func() bool {
		clients, unauthenticated, keys := s.proxy.Places()
		return clients == 0 && unauthenticated == 0 && keys == 0
	})
	st := s.stats()
	for reason, n := range st.Targets[0].Pinned {
		if n != 0 {
			s.tb.Errorf("%d sessions are still pinned for %s", n, reason)
		}
	}
	if st.Targets[0].OpenTLS > uint64(st.Targets[0].Pool.Idle) {
		s.tb.Errorf("%d connections with TLS of %d", st.Targets[0].OpenTLS, st.Targets[0].Pool.Idle)
	}
}

// logged tells whether some line has the text.
func (s *scene) logged(text string) bool {
	return s.logs.Filter(func(e observer.LoggedEntry) bool { return strings.Contains(e.Message, text) }).Len() > 0
}

// background runs f and gives its error.
func background(f func() error) <-chan error {
	done := make(chan error, 1)
	go func() { done <- f() }()
	return done
}

func (s *scene) await(what string, done <-chan error) error {
	s.tb.Helper()
	select {
	case err := <-done:
		return err
	case <-time.After(patience):
		s.tb.Fatalf("not within %v: %s", patience, what)
		return nil
	}
}

// onePassword is a proxy.Credentials of a function that knows one password.
type onePassword func(ctx context.Context, user string) (string, error)

func (f onePassword) Get(ctx context.Context, user string) (secret.Credential, error) {
	p, err := f(ctx, user)
	return secret.Credential{Username: user, Password: secret.NewPassword(p)}, err
}

func (onePassword) Refused(context.Context, string, secret.Credential) ([]secret.Credential, error) {
	return nil, secret.ErrNoOther
}

func (onePassword) Accepted(string, secret.Credential) {}
