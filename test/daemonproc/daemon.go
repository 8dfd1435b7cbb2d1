// SPDX-License-Identifier: Apache-2.0

package daemonproc

import (
	"context"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/rdsproxy/rdsproxy/test/pgserver"
)

const (
	readyLimit = 30 * time.Second // from start to /readyz
	stopLimit  = 30 * time.Second // from SIGTERM to the end; the drain is 5 s by default
	pollEvery  = 20 * time.Millisecond
)

// Daemon is a running rdsproxy, or with RDSPROXY_TEST_DIRECT=1 the database itself.
type Daemon struct {
	// Addr is where clients connect to.
	Addr string
	// AdminURL is the admin listener, such as http://127.0.0.1:9127.
	AdminURL string
	// Dir holds the configuration and the secrets.
	Dir string

	opts   Options
	layout layout
	cmd    *exec.Cmd // nil with RDSPROXY_TEST_DIRECT=1
	out    *output
	done   chan struct{} // closed when the process has ended
	err    error         // how it ended; valid after done
}

// Direct tells whether tests run against the database without a proxy.
func Direct() bool { return os.Getenv("RDSPROXY_TEST_DIRECT") == "1" }

// Start runs a daemon until the test ends, and waits until it is ready and has found
// the writer: short time-outs of a test are not for that.
func Start(tb testing.TB, o Options) *Daemon {
	tb.Helper()
	d := Spawn(tb, o)
	d.WaitReady(tb)
	d.Eventually(tb, "the writer is found", readyLimit, func() bool {
		return strings.Contains(d.Log(), "Database connections lead to the writer.")
	})
	return d
}

// Spawn is Start without the wait, for daemons that cannot become ready.
func Spawn(tb testing.TB, o Options) *Daemon {
	tb.Helper()
	if Direct() {
		return &Daemon{Addr: o.Writer, opts: o}
	}
	d := &Daemon{opts: o, Dir: tb.TempDir(), out: &output{}, done: make(chan struct{})}
	d.Addr, d.layout.admin = freeAddr(tb), freeAddr(tb)
	d.AdminURL = "http://" + d.layout.admin
	d.layout.dir, d.layout.listen = d.Dir, d.Addr
	if err := d.layout.write(o); err != nil {
		tb.Fatal(err)
	}
	binary := o.Binary
	if binary == "" {
		binary = Binary(tb)
	}
	d.cmd = exec.Command(binary, "run", "--config", d.layout.configFile())
	d.cmd.Dir = d.Dir
	d.cmd.Env = append(environment(), o.Env...)
	d.cmd.Stdout, d.cmd.Stderr = d.out, d.out
	if err := pgserver.StartTied(d.cmd); err != nil {
		tb.Fatalf("start of the daemon: %v", err)
	}
	go func() {
		d.err = d.cmd.Wait()
		close(d.done)
	}()
	tb.Cleanup(func() { d.finish(tb) })
	return d
}

// environment keeps what the daemon's runtime needs and nothing that could be
// taken for a setting.
func environment() []string {
	env := []string{"GOTRACEBACK=all", "GORACE=halt_on_error=0"}
	for _, name := range []string{"PATH", "HOME", "TMPDIR", "GOMAXPROCS", "GOCOVERDIR"} {
		if v, ok := os.LookupEnv(name); ok {
			env = append(env, name+"="+v)
		}
	}
	return env
}

func freeAddr(tb testing.TB) string {
	tb.Helper()
	port, err := pgserver.FreePort("127.0.0.1")
	if err != nil {
		tb.Fatal(err)
	}
	return net.JoinHostPort("127.0.0.1", strconv.Itoa(port))
}

// RequireProxy skips a test that makes no sense against the database itself.
func (d *Daemon) RequireProxy(tb testing.TB) {
	tb.Helper()
	if d.cmd == nil {
		tb.Skip("RDSPROXY_TEST_DIRECT=1: there is no proxy")
	}
}

// PID is the daemon's process id.
func (d *Daemon) PID() int { return d.cmd.Process.Pid }

// ConfigFile is the daemon's configuration.
func (d *Daemon) ConfigFile() string { return d.layout.configFile() }

// DSN is a connection URL for clients; params are further parameters as "key=value".
func (d *Daemon) DSN(user, password, database string, params ...string) string {
	return pgserver.DSN(d.Addr, user, password, database, params...)
}

// WaitReady waits until /readyz answers 200 and fails the test if it does not.
func (d *Daemon) WaitReady(tb testing.TB) {
	tb.Helper()
	d.Eventually(tb, "the daemon is ready", readyLimit, func() bool {
		status, _, err := d.Get("/readyz")
		return err == nil && status == http.StatusOK
	})
}

// Eventually polls until cond holds. It fails the test when the limit is over or
// the daemon has ended.
func (d *Daemon) Eventually(tb testing.TB, what string, limit time.Duration, cond func() bool) {
	tb.Helper()
	if d.cmd == nil {
		return
	}
	deadline := time.NewTimer(limit)
	defer deadline.Stop()
	tick := time.NewTicker(pollEvery)
	defer tick.Stop()
	for !cond() {
		select {
		case <-d.done:
			if cond() {
				return
			}
			tb.Fatalf("the daemon ended (%v) before: %s\n%s", d.err, what, d.out.tail(40))
		case <-deadline.C:
			tb.Fatalf("not within %s: %s\n%s", limit, what, d.out.tail(40))
		case <-tick.C:
		}
	}
}

// Log returns what the daemon has printed so far.
func (d *Daemon) Log() string { return d.out.String() }

// WaitLog waits until the daemon has printed a text.
func (d *Daemon) WaitLog(tb testing.TB, text string) {
	tb.Helper()
	d.Eventually(tb, fmt.Sprintf("the log has %q", text), 10*time.Second, func() bool { return strings.Contains(d.Log(), text) })
}

// Signal sends a signal to the daemon.
func (d *Daemon) Signal(tb testing.TB, sig syscall.Signal) {
	tb.Helper()
	if err := d.cmd.Process.Signal(sig); err != nil {
		tb.Fatalf("signal %v: %v", sig, err)
	}
}

// Wait waits for the daemon's end and returns its exit code.
func (d *Daemon) Wait(ctx context.Context) (int, error) {
	select {
	case <-d.done:
		return d.cmd.ProcessState.ExitCode(), nil
	case <-ctx.Done():
		return 0, fmt.Errorf("the daemon still runs: %w", ctx.Err())
	}
}

// Ended tells whether the daemon has ended.
func (d *Daemon) Ended() bool {
	select {
	case <-d.done:
		return true
	default:
		return false
	}
}

// Rewrite replaces the configuration and the secrets with those of o, without
// telling the daemon. Addresses stay.
func (d *Daemon) Rewrite(tb testing.TB, o Options) {
	tb.Helper()
	d.opts = o
	if err := d.layout.write(o); err != nil {
		tb.Fatal(err)
	}
}

// finish stops the daemon and judges its end.
func (d *Daemon) finish(tb testing.TB) {
	tb.Helper()
	if !d.Ended() {
		_ = d.cmd.Process.Signal(syscall.SIGTERM) // it may end right now
		select {
		case <-d.done:
		case <-time.After(stopLimit):
			_ = d.cmd.Process.Signal(syscall.SIGQUIT) // prints all goroutines
			<-d.done
			tb.Errorf("the daemon did not end within %s of SIGTERM", stopLimit)
		}
	}
	log := d.Log()
	if d.err != nil && !d.opts.FailureIsExpected {
		tb.Errorf("the daemon ended with %v", d.err)
	}
	for _, sign := range []string{"panic", "DATA RACE", "fatal error", "goroutine 1 ["} {
		if line, ok := lineWith(log, sign); ok {
			tb.Errorf("the daemon printed %q", line)
		}
	}
	if tb.Failed() {
		tb.Logf("the end of the daemon's output:\n%s", d.out.tail(60))
	}
}

func lineWith(text, sign string) (string, bool) {
	for line := range strings.Lines(text) {
		if strings.Contains(line, sign) {
			return strings.TrimSpace(line), true
		}
	}
	return "", false
}
