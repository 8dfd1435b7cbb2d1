// SPDX-License-Identifier: Apache-2.0

package replicas

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"sync/atomic"
	"testing"
	"time"

	"github.com/rdsproxy/rdsproxy/test/machine"
	"github.com/rdsproxy/rdsproxy/test/myserver"
	"github.com/rdsproxy/rdsproxy/test/pgserver"
)

// Engine is which database.
type Engine string

// The engines.
const (
	PostgreSQL Engine = "PostgreSQL" // the distribution's
	MariaDB    Engine = "MariaDB"    // the distribution's
	MySQL      Engine = "MySQL"      // the machine's, or Debian unstable's
)

// Engines lists all that tests should cover.
func Engines() []Engine { return []Engine{PostgreSQL, MariaDB, MySQL} }

// Options describe a cluster. The zero value is PostgreSQL with one reader.
type Options struct {
	Engine Engine
	// Readers is how many there are at the start; 0 means one.
	Readers int
	// Synchronous has a commit wait until a reader has received it. While there is
	// no reader, commits hang. A member that is promoted does not wait until a
	// reader has rejoined.
	Synchronous bool
	// Settings are lines for each server: "max_connections=20".
	Settings []string
}

// User can log in everywhere, from everywhere, and owns Database.
const (
	User     = "app"
	Password = "app-password"
	Database = "app"
	// Monitor has no privileges but to see replication (MySQL, MariaDB).
	Monitor         = "monitor"
	MonitorPassword = "monitor-password"
)

// Cluster is a writer with its readers. Its methods are for one goroutine, except
// Writer.
type Cluster struct {
	Engine  Engine
	Members []*Member
	// Promoted is when the latest promotion was over: from then on the writer was known
	// to accept writes.
	Promoted time.Time

	o      Options
	writer atomic.Pointer[Member]
}

// Member is one server. Its methods may not be called concurrently with each other,
// or with those of the Cluster that are about it, except Addr, Exec and Query.
type Member struct {
	server
	Host string
	Port int
	c    *Cluster
}

// server is what the engines differ in.
type server interface {
	Addr() string
	// Exec runs statements as the superuser over the server's socket.
	Exec(ctx context.Context, sql ...string) error
	// Query returns the first value as text.
	Query(ctx context.Context, sql string) (string, error)
	// Column returns the first value of each row, of a query in Database.
	Column(ctx context.Context, sql string) ([]string, error)
	// Start starts a member that is not running; it is what it was before: a former
	// writer accepts writes again.
	Start(ctx context.Context) error
	// Stop shuts it down in order.
	Stop() error
	Kill()
	Freeze()
	Thaw()
	Log() string
	Close() error

	// promote returns when the member accepts writes.
	promote(ctx context.Context) error
	// follow makes the member, running or not, a reader of another.
	follow(ctx context.Context, writer *Member) error
	// synchronise has commits wait for a reader, or not.
	synchronise(ctx context.Context, on bool) error
	// position is how far a writer has come, and reached whether a reader is there.
	position(ctx context.Context) (string, error)
	reached(ctx context.Context, position string) (bool, error)
	// attached tells whether a reader follows this writer.
	attached(ctx context.Context) (bool, error)
	// demote makes a writer read-only without disconnecting anybody; false if the
	// engine cannot.
	demote(ctx context.Context) (bool, error)
}

// Start launches a cluster for one test and removes it when the test ends. Where
// there are no such servers the test is skipped with the reason, or fails if CI=true.
func Start(tb testing.TB, o Options) *Cluster {
	tb.Helper()
	c, err := Launch(tb.Context(), o)
	switch {
	case err == nil:
	case os.Getenv("CI") != "true" && (errors.Is(err, pgserver.ErrUnavailable) || errors.Is(err, myserver.ErrUnavailable)):
		tb.Skip(err)
	default:
		tb.Fatal(err)
	}
	tb.Cleanup(func() {
		for _, m := range c.Members {
			if tb.Failed() {
				tb.Logf("last lines of the log of %s:\n%s", m.Addr(), machine.LastLines(m.Log(), 25))
			}
		}
		if err := c.Close(); err != nil {
			tb.Error(err)
		}
	})
	return c
}

// Launch starts a cluster. The caller must Close it.
func Launch(ctx context.Context, o Options) (*Cluster, error) {
	o.Engine = cmp.Or(o.Engine, PostgreSQL)
	o.Readers = max(o.Readers, 1)
	c := &Cluster{Engine: o.Engine, o: o}
	if err := c.start(ctx); err != nil {
		return nil, errors.Join(err, c.Close())
	}
	return c, nil
}

func (c *Cluster) start(ctx context.Context) error {
	// Addresses of its own: the port is free there.
	net := fmt.Sprintf("127.%d.%d.", 20+rand.IntN(200), rand.IntN(256))
	port, err := machine.FreePort(net + "1")
	if err != nil {
		return err
	}
	secret := machine.RandomPassword()
	for i := range 1 + c.o.Readers {
		m := &Member{Host: fmt.Sprintf("%s%d", net, i+1), Port: port, c: c}
		if c.Engine == PostgreSQL {
			m.server, err = launchPostgres(ctx, m, secret)
		} else {
			m.server, err = launchMySQL(ctx, m, secret, i+1)
		}
		if m.server != nil {
			c.Members = append(c.Members, m)
		}
		if err != nil {
			return fmt.Errorf("member %d: %w", i+1, err)
		}
		if i == 0 {
			c.writer.Store(m)
			continue
		}
		if err := m.follow(ctx, c.Writer()); err != nil {
			return fmt.Errorf("member %d: %w", i+1, err)
		}
	}
	if err := c.Writer().create(ctx); err != nil {
		return err
	}
	for _, m := range c.Readers() {
		if err := c.AwaitCaughtUp(ctx, m); err != nil {
			return err
		}
	}
	return c.synchronise(ctx)
}

// synchronise has commits wait for a reader, if that is wanted, as soon as one can
// acknowledge them.
func (c *Cluster) synchronise(ctx context.Context) error {
	if !c.o.Synchronous {
		return nil
	}
	w := c.Writer()
	if c.Engine == PostgreSQL {
		if err := poll(ctx, pollInterval, func() (bool, error) { return w.attached(ctx) }); err != nil {
			return fmt.Errorf("no reader follows %s: %w", w.Addr(), err)
		}
		return w.synchronise(ctx, true)
	}
	// Semi-synchronous readers are counted only when the writer has been told.
	if err := w.synchronise(ctx, true); err != nil {
		return err
	}
	if err := poll(ctx, pollInterval, func() (bool, error) { return w.attached(ctx) }); err != nil {
		return fmt.Errorf("no reader follows %s: %w", w.Addr(), err)
	}
	return nil
}

// create makes what all clusters have; replication carries it to the readers.
func (m *Member) create(ctx context.Context) error {
	if m.c.Engine == PostgreSQL {
		return m.Exec(ctx,
			fmt.Sprintf("CREATE ROLE %s LOGIN PASSWORD '%s'", User, Password),
			fmt.Sprintf("CREATE ROLE %s LOGIN PASSWORD '%s'", Monitor, MonitorPassword),
			fmt.Sprintf("CREATE DATABASE %s OWNER %s", Database, User))
	}
	see := "REPLICATION CLIENT"
	if m.c.Engine == MariaDB {
		see = "REPLICA MONITOR"
	}
	return m.Exec(ctx,
		"CREATE DATABASE "+Database,
		fmt.Sprintf("CREATE USER %s@'%%' IDENTIFIED BY '%s'", User, Password),
		fmt.Sprintf("GRANT ALL PRIVILEGES ON %s.* TO %s@'%%'", Database, User),
		fmt.Sprintf("CREATE USER %s@'%%' IDENTIFIED BY '%s'", Monitor, MonitorPassword),
		fmt.Sprintf("GRANT %s ON *.* TO %s@'%%'", see, Monitor))
}

// Writer is the member that was promoted last, or the first one.
func (c *Cluster) Writer() *Member { return c.writer.Load() }

// Readers are the others, whether they run or not.
func (c *Cluster) Readers() (readers []*Member) {
	for _, m := range c.Members {
		if m != c.Writer() {
			readers = append(readers, m)
		}
	}
	return readers
}

// Promote makes a reader the writer, and returns when it accepts writes. The former
// writer is not touched: unless it was stopped before, there are two.
func (c *Cluster) Promote(ctx context.Context, m *Member) error {
	if err := m.promote(ctx); err != nil {
		return fmt.Errorf("promotion of %s: %w", m.Addr(), err)
	}
	c.Promoted = time.Now()
	c.writer.Store(m)
	return nil
}

// Rejoin makes a member, running or not, a reader of the writer, and returns when it
// has caught up. What it has that the writer has not is gone.
func (c *Cluster) Rejoin(ctx context.Context, m *Member) error {
	if err := m.follow(ctx, c.Writer()); err != nil {
		return fmt.Errorf("%s as a reader: %w", m.Addr(), err)
	}
	if err := c.AwaitCaughtUp(ctx, m); err != nil {
		return fmt.Errorf("%s does not catch up: %w", m.Addr(), err)
	}
	return c.synchronise(ctx)
}

// Switchover makes a reader the writer as an operator plans it: the writer accepts no
// more writes, the reader catches up and is promoted, the former writer comes
// back as a reader. A PostgreSQL is stopped meanwhile; the others only become read-only.
func (c *Cluster) Switchover(ctx context.Context, to *Member) error {
	from := c.Writer()
	stays, err := from.demote(ctx)
	if err != nil {
		return fmt.Errorf("demotion of %s: %w", from.Addr(), err)
	}
	if stays {
		if err := c.AwaitCaughtUp(ctx, to); err != nil {
			return err
		}
	} else if err := from.Stop(); err != nil { // a stop in order sends all there is
		return err
	}
	if err := c.Promote(ctx, to); err != nil {
		return err
	}
	return c.Rejoin(ctx, from)
}

const (
	catchUpLimit = 30 * time.Second
	pollInterval = 20 * time.Millisecond // of what may take longer
	promotePoll  = 2 * time.Millisecond  // of what is measured
)

// AwaitCaughtUp waits until a reader has what the writer has now.
func (c *Cluster) AwaitCaughtUp(ctx context.Context, m *Member) error {
	position, err := c.Writer().position(ctx)
	if err != nil || position == "" {
		return err
	}
	return poll(ctx, pollInterval, func() (bool, error) { return m.reached(ctx, position) })
}

// poll asks until the answer is yes.
func poll(ctx context.Context, every time.Duration, f func() (bool, error)) error {
	ctx, cancel := context.WithTimeout(ctx, catchUpLimit)
	defer cancel()
	tick := time.NewTicker(every)
	defer tick.Stop()
	for {
		done, err := f()
		if done && err == nil {
			return nil
		}
		select {
		case <-ctx.Done():
			return errors.Join(ctx.Err(), err)
		case <-tick.C:
		}
	}
}

// Close ends all members and removes their folders.
func (c *Cluster) Close() error {
	var errs []error
	for _, m := range c.Members {
		m.Thaw()
		m.Kill()
		errs = append(errs, m.Close())
	}
	return errors.Join(errs...)
}
