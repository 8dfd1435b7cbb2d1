// SPDX-License-Identifier: Apache-2.0

//go:build linux

package rig

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"syscall"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/rdsproxy/rdsproxy/test/bench/measure"
)

// Load is one pgbench run: single-row selects by primary key.
type Load struct {
	Mode    string // simple, extended, prepared
	Clients int
	TLS     bool
	Warm    time.Duration // left out at the beginning, after all clients have logged in
	For     time.Duration // measured
}

// Pgbench runs the load against the instance and measures the instance's process meanwhile.
func Pgbench(ctx context.Context, pg *Postgres, i *Instance, l Load) (_ measure.Throughput, err error) {
	dir, err := os.MkdirTemp("", "rdsproxy-bench-")
	if err != nil {
		return measure.Throughput{}, err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	return watched(ctx, i.PID(), i.Failed, l.Warm, func() (measure.Trace, error) {
		if err := pgbench(ctx, pg, i, l, dir); err != nil {
			return measure.Trace{}, err
		}
		return measure.ReadLogs(filepath.Join(dir, "log"))
	})
}

// watched runs a load and measures a process meanwhile. failed tells why that process has ended, and nil if it has not.
func watched(ctx context.Context, pid int, failed func() error, warm time.Duration, load func() (measure.Trace, error)) (measure.Throughput, error) {
	watchCtx, stopWatch := context.WithCancel(ctx)
	var samples []measure.Sample
	var watch errgroup.Group
	watch.Go(func() (err error) {
		samples, err = measure.Watch(watchCtx, pid)
		return err
	})
	trace, loadErr := load()
	stopWatch()
	watchErr := watch.Wait()
	for _, err := range []error{ctx.Err(), failed(), loadErr, watchErr} {
		if err != nil {
			return measure.Throughput{}, err
		}
	}
	return measure.Steady(samples, trace, warm)
}

// loginLimit is how long pgbench may take until all its clients have logged in and queries flow.
const loginLimit = time.Minute

// pgbench runs the load. The time limit of pgbench itself (-T) counts the logins in, which take from milliseconds to seconds; so it gets a
// long one, and when the queries have flowed for long enough, the alarm that would end it then is sent early.
func pgbench(ctx context.Context, pg *Postgres, i *Instance, l Load, dir string) error {
	threads := min(l.Clients, 2)
	prefix := filepath.Join(dir, "log")
	cmd := exec.Command(pg.Program("pgbench"), "-n", "-S", "-M", l.Mode,
		"-c", strconv.Itoa(l.Clients), "-j", strconv.Itoa(threads), "-T", "3600", "-l", "--log-prefix="+prefix,
		"-h", "127.0.0.1", "-p", strconv.Itoa(i.Port), "-U", i.User, Database)
	var err error
	if cmd.Env, err = l.environment(i, dir); err != nil {
		return err
	}
	var out tail
	cmd.Dir, cmd.Stdout, cmd.Stderr = dir, &out, &out
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}
	if err := cmd.Start(); err != nil {
		return err
	}
	ended := make(chan error, 1)
	go func() { ended <- cmd.Wait() }()
	end, early := conduct(ctx, prefix, l.Warm+l.For, ended)
	if early {
		return fmt.Errorf("pgbench against %s ended early: %w\n%s", i.name, end, out.String())
	}
	if end == nil {
		_ = cmd.Process.Signal(syscall.SIGALRM) // should it be gone, Wait tells
	} else {
		_ = cmd.Process.Kill() // as above
	}
	if err := <-ended; err != nil && end == nil {
		return fmt.Errorf("pgbench against %s: %w\n%s", i.name, err, out.String())
	}
	return end
}

// conduct waits until the logs begin to fill, and then for a time. early tells that the program has ended before that, for the reason err.
func conduct(ctx context.Context, prefix string, flow time.Duration, ended <-chan error) (err error, early bool) {
	flowing := func() bool {
		logs, err := filepath.Glob(prefix + ".*")
		return err == nil && slices.ContainsFunc(logs, func(p string) bool {
			st, err := os.Stat(p)
			return err == nil && st.Size() > 0
		})
	}
	limit := time.Now().Add(loginLimit)
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	var stop <-chan time.Time
	for {
		select {
		case err := <-ended:
			return cmp.Or(err, errEnded), true
		case <-ctx.Done():
			return ctx.Err(), false
		case <-stop:
			return nil, false
		case now := <-tick.C:
			switch {
			case stop != nil:
			case flowing():
				stop = time.After(flow)
			case now.After(limit):
				return fmt.Errorf("no query has ended %v after pgbench began", loginLimit), false
			}
		}
	}
}

// environment is all that pgbench sees of an environment: no variable and no file of the home folder has a say in how it connects.
func (l Load) environment(i *Instance, dir string) ([]string, error) {
	env := []string{"PATH=" + os.Getenv("PATH"), "HOME=" + dir, "PGPASSWORD=" + Password, "PGGSSENCMODE=disable", "LC_ALL=C"}
	if !l.TLS {
		return append(env, "PGSSLMODE=disable"), nil
	}
	root := filepath.Join(dir, "root.pem")
	return append(env, "PGSSLMODE=verify-ca", "PGSSLROOTCERT="+root), os.WriteFile(root, i.tls.Authority.CertPEM, 0o600)
}
