// SPDX-License-Identifier: Apache-2.0

//go:build linux

package rig

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/jackc/pgx/v5/pgconn"
	"golang.org/x/sync/errgroup"

	"github.com/rdsproxy/rdsproxy/test/bench/measure"
)

// Load is one pgbench run: single-row selects by primary key.
type Load struct {
	Mode    string // simple, extended, prepared
	Clients int
	TLS     bool
	Seconds int           // length of the run after all clients have logged in
	Warm    time.Duration // left out at its beginning
}

// Pgbench runs the load against the instance and measures the instance's process meanwhile.
func Pgbench(ctx context.Context, pg *Postgres, i *Instance, l Load) (_ measure.Throughput, err error) {
	dir, err := os.MkdirTemp("", "rdsproxy-bench-")
	if err != nil {
		return measure.Throughput{}, err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	watched, stopWatch := context.WithCancel(ctx)
	var samples []measure.Sample
	var watch errgroup.Group
	watch.Go(func() (err error) {
		samples, err = measure.Watch(watched, i.PID())
		return err
	})
	runErr := pgbench(ctx, pg, i, l, dir)
	stopWatch()
	watchErr := watch.Wait()
	for _, err := range []error{ctx.Err(), i.Failed(), runErr, watchErr} {
		if err != nil {
			return measure.Throughput{}, err
		}
	}
	trace, err := measure.ReadLogs(filepath.Join(dir, "log"))
	if err != nil {
		return measure.Throughput{}, err
	}
	return measure.Steady(samples, trace, l.Warm)
}

func pgbench(ctx context.Context, pg *Postgres, i *Instance, l Load, dir string) error {
	threads := min(l.Clients, 2)
	cmd := exec.CommandContext(ctx, pg.Program("pgbench"), "-n", "-S", "-M", l.Mode,
		"-c", strconv.Itoa(l.Clients), "-j", strconv.Itoa(threads), "-T", strconv.Itoa(l.Seconds),
		"-l", "--log-prefix="+filepath.Join(dir, "log"),
		"-h", "127.0.0.1", "-p", strconv.Itoa(i.Port), "-U", i.User, Database)
	ssl := []string{"PGSSLMODE=disable"}
	if l.TLS {
		root := filepath.Join(dir, "root.pem")
		if err := os.WriteFile(root, i.tls.Authority.CertPEM, 0o600); err != nil {
			return err
		}
		ssl = []string{"PGSSLMODE=verify-ca", "PGSSLROOTCERT=" + root}
	}
	cmd.Env = append(ssl, "PATH="+os.Getenv("PATH"), "HOME="+dir, "PGPASSWORD="+Password, "PGGSSENCMODE=disable", "LC_ALL=C")
	cmd.Dir = dir
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("pgbench against %s: %w\n%s", i.name, err, lastBytes(out, 1000))
	}
	return nil
}

// source gives the n-th client's address: some thousands to each address of 127.0.0.0/8, because an address has 28,000 ports at most, and
// those of closed connections rest for a minute.
func source(n int) net.IP {
	const perAddress = 2000
	return net.IPv4(127, 0, 1, byte(1+n/perAddress%250))
}

// logins is how many clients log in at the same time.
const logins = 16

// Park logs n clients in, lets each run one query, and gives them back connected and idle. It closes them all when it fails.
func Park(ctx context.Context, i *Instance, n int, withTLS bool) ([]*pgconn.PgConn, error) {
	conns := make([]*pgconn.PgConn, n)
	err := each(ctx, n, func(ctx context.Context, k int) error {
		c, err := i.Dialer(withTLS, source(k))(ctx)
		if err != nil {
			return err
		}
		conns[k] = c
		return c.Exec(ctx, "SELECT 1").Close()
	})
	if err != nil {
		HangUp(conns)
		return nil, fmt.Errorf("idle clients of %s: %w", i.name, err)
	}
	return conns, nil
}

// HangUp closes the sockets of clients without a word of goodbye. Nil entries are passed over.
func HangUp(conns []*pgconn.PgConn) {
	for _, c := range conns {
		if c != nil {
			_ = c.Conn().Close() // the proxy may have closed it already
		}
	}
}

// Logins lets n clients log in and out again, a few at a time, and gives the CPU time that the instance's process spent for each.
func Logins(ctx context.Context, i *Instance, n int, withTLS bool) (time.Duration, error) {
	before, err := measure.CPUTime(i.PID())
	if err != nil {
		return 0, err
	}
	err = each(ctx, n, func(ctx context.Context, k int) error {
		c, err := i.Dialer(withTLS, source(k))(ctx)
		if err != nil {
			return err
		}
		return c.Close(ctx)
	})
	if err != nil {
		return 0, fmt.Errorf("logins to %s: %w", i.name, err)
	}
	after, err := measure.CPUTime(i.PID())
	return (after - before) / time.Duration(n), err
}

// each calls f for 0 to n-1 from a few goroutines, until the first error.
func each(ctx context.Context, n int, f func(ctx context.Context, k int) error) error {
	g, ctx := errgroup.WithContext(ctx)
	var next atomic.Int64
	for range logins {
		g.Go(func() error {
			for {
				k := int(next.Add(1)) - 1
				if k >= n {
					return nil
				}
				if err := f(ctx, k); err != nil {
					return err
				}
			}
		})
	}
	return g.Wait()
}
