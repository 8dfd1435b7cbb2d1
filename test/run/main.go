// SPDX-License-Identifier: Apache-2.0

// Command run is behind `make run`: it starts a throw-away PostgreSQL and MariaDB, and
// rdsproxy in front of both, prints the lines to connect with, and on Ctrl-C stops both and
// leaves nothing behind.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"time"

	"github.com/rdsproxy/rdsproxy/test/pgserver"
)

func main() {
	daemon := flag.String("daemon", "bin/rdsproxy", "the daemon to start")
	version := flag.Int("postgres", 0, "major version of PostgreSQL; 0 is the distribution's")
	flag.Parse()
	signals := make(chan os.Signal, 4)
	signal.Notify(signals, os.Interrupt, syscall.SIGTERM, syscall.SIGHUP)
	if err := run(*daemon, *version, signals, os.Stdout, os.Stderr); err != nil {
		fmt.Fprintf(os.Stderr, "\nrun: %v\n", err)
		os.Exit(1)
	}
}

// run lives until a signal comes or one of the processes ends.
func run(daemon string, version int, signals <-chan os.Signal, stdout, stderr io.Writer) (err error) {
	daemon, err = filepath.Abs(daemon)
	if err != nil {
		return fmt.Errorf("path of the daemon: %w", err)
	}
	if _, err := os.Stat(daemon); err != nil {
		return fmt.Errorf("no daemon: %w; `make run` builds it", err)
	}
	// A signal while the database starts ends that start.
	ctx, interrupted := untilSignal(signals)
	s, err := newScene(ctx, version, stdout)
	if err != nil {
		if ctx.Err() != nil {
			return nil
		}
		return err
	}
	defer func() { err = errors.Join(err, s.remove()) }()
	cmd := exec.Command(daemon, "run", "--config", s.configFile)
	cmd.Dir, cmd.Env, cmd.Stdout, cmd.Stderr = s.dir, environment(), stderr, stderr
	if err := pgserver.StartTied(cmd); err != nil {
		return fmt.Errorf("start of the daemon: %w", err)
	}
	ended := make(chan error, 1)
	go func() { ended <- cmd.Wait() }()

	if err := s.waitReady(ctx, ended); err != nil {
		if errors.Is(err, errEnded) {
			return fmt.Errorf("%w; its reason is above; the configuration was\n%s", err, s.config)
		}
		if ctx.Err() != nil {
			return stop(cmd, ended, signals)
		}
		return errors.Join(err, stop(cmd, ended, signals))
	}
	s.greet(stdout)
	select {
	case <-interrupted:
		fmt.Fprintln(stdout, "\nstopping")
		return stop(cmd, ended, signals)
	case err := <-ended:
		return fmt.Errorf("%w: %w", errEnded, err)
	case <-s.pg.Ended():
		return errors.Join(fmt.Errorf("PostgreSQL ended by itself; the end of its log:\n%s", s.pg.Log()), stop(cmd, ended, signals))
	case <-s.myEnded():
		return errors.Join(fmt.Errorf("MariaDB ended by itself; the end of its log:\n%s", s.my.Log()), stop(cmd, ended, signals))
	}
}

// environment is the caller's without what the daemon would take for settings.
func environment() []string {
	return slices.DeleteFunc(os.Environ(), func(v string) bool { return strings.HasPrefix(v, "RDSPROXY_") })
}

var errEnded = errors.New("the daemon ended by itself")

// untilSignal returns a context that ends with the first signal.
func untilSignal(signals <-chan os.Signal) (ctx context.Context, interrupted <-chan struct{}) {
	ctx, cancel := context.WithCancel(context.Background())
	go func() {
		<-signals
		cancel()
	}()
	return ctx, ctx.Done()
}

// stopLimit is a little more than the daemon's drain_timeout here.
const stopLimit = 15 * time.Second

// stop lets the daemon drain; a further signal, or the limit, kills it.
func stop(cmd *exec.Cmd, ended <-chan error, signals <-chan os.Signal) error {
	_ = cmd.Process.Signal(syscall.SIGTERM) // it may end right now
	select {
	case err := <-ended:
		if err != nil {
			return fmt.Errorf("the daemon ended with an error: %w", err)
		}
		return nil
	case <-signals:
	case <-time.After(stopLimit):
	}
	_ = cmd.Process.Kill() // it may have ended meanwhile
	if err := <-ended; !isExit(err) {
		return fmt.Errorf("the daemon could not be stopped: %w", err)
	}
	return nil
}

// isExit tells whether a process ended, however it did.
func isExit(err error) bool {
	_, failed := errors.AsType[*exec.ExitError](err)
	return err == nil || failed
}
