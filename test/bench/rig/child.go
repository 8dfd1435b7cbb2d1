// SPDX-License-Identifier: Apache-2.0

//go:build linux

// Package rig starts what a benchmark run needs and takes it away again: a throw-away PostgreSQL cluster, PgBouncer, rdsproxy, and
// the load. Everything runs on loopback, as an unprivileged user, on free ports, in folders of its own.
package rig

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"os/exec"
	"sync"
	"syscall"
	"time"
)

// Child is a server that runs until Stop.
type Child struct {
	name string
	cmd  *exec.Cmd
	stop syscall.Signal
	out  tail
	done chan struct{} // closed when the process has ended
	err  error         // how it ended, never nil; valid once done is closed
}

// errEnded stands for the end of a process that reports no failure, and was to go on.
var errEnded = errors.New("exit status 0")

// Program says how to run a server.
type Program struct {
	Name string // for messages
	Path string
	Args []string // without the program's own name
	Env  []string
	As   *Account       // run as this user; nil for the present one
	Stop syscall.Signal // asks it to end; SIGTERM if zero
}

// Start runs the program in a process group of its own, so that a Ctrl-C on the terminal reaches this program alone, which then stops its
// children in order. Should this program be killed, the kernel sends each child its stop signal.
func Start(p Program) (*Child, error) {
	if p.Stop == 0 {
		p.Stop = syscall.SIGTERM
	}
	c := &Child{name: p.Name, stop: p.Stop, done: make(chan struct{})}
	c.cmd = exec.Command(p.Path, p.Args...)
	c.cmd.Dir = "/"
	c.cmd.Env = p.Env
	c.cmd.Stdout, c.cmd.Stderr = &c.out, &c.out
	c.cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Pdeathsig: p.Stop, Credential: p.As.credential()}
	if err := c.cmd.Start(); err != nil {
		return nil, fmt.Errorf("start %s: %w", p.Name, err)
	}
	go func() {
		c.err = cmp.Or(c.cmd.Wait(), errEnded)
		close(c.done)
	}()
	return c, nil
}

// PID is the process id.
func (c *Child) PID() int { return c.cmd.Process.Pid }

// stopLimit is how long a child may take to end before it is killed.
const stopLimit = 5 * time.Second

// Stop asks the child to end, kills it if it does not, and returns when it is gone. A second call does nothing.
func (c *Child) Stop() {
	_ = c.cmd.Process.Signal(c.stop) // it may be gone already
	select {
	case <-c.done:
	case <-time.After(stopLimit):
		_ = c.cmd.Process.Kill() // as above
		<-c.done
	}
}

// Await calls ready every few milliseconds until it gives no error. It gives up when the child ends, ctx ends, or limit has passed.
func (c *Child) Await(ctx context.Context, limit time.Duration, ready func(context.Context) error) error {
	ctx, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	for {
		err := ready(ctx)
		if err == nil {
			return nil
		}
		select {
		case <-c.done:
			return fmt.Errorf("%s ended while starting (%w):\n%s", c.name, c.err, c.out.String())
		case <-ctx.Done():
			return fmt.Errorf("%s is not ready: %w; its last words:\n%s", c.name, err, c.out.String())
		case <-time.After(20 * time.Millisecond):
		}
	}
}

// Failed gives an error that carries the child's last output if the child has ended.
func (c *Child) Failed() error {
	select {
	case <-c.done:
		return fmt.Errorf("%s ended during the run (%w):\n%s", c.name, c.err, c.out.String())
	default:
		return nil
	}
}

// tail keeps the last bytes written to it.
type tail struct {
	mu  sync.Mutex
	buf []byte
}

const tailSize = 4096

func (t *tail) Write(p []byte) (int, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.buf = append(t.buf, p...)
	if over := len(t.buf) - tailSize; over > 0 {
		t.buf = append(t.buf[:0], t.buf[over:]...)
	}
	return len(p), nil
}

func (t *tail) String() string {
	t.mu.Lock()
	defer t.mu.Unlock()
	return string(bytes.TrimSpace(t.buf))
}
