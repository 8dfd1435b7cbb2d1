// SPDX-License-Identifier: Apache-2.0

package machine

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"sync"
	"syscall"
	"time"
)

const (
	startLimit = 60 * time.Second // from start to the first login
	stopLimit  = 60 * time.Second // for an orderly stop
)

// Daemon is a server's process, which may be stopped and started again. Its methods may not be called concurrently,
// except Log.
type Daemon struct {
	// Name is what errors call it.
	Name string
	// LogFile is where its output goes, with that of earlier runs.
	LogFile string

	mu   sync.Mutex
	proc *process // nil while stopped
}

// process is one run of it.
type process struct {
	cmd  *exec.Cmd
	done chan struct{} // closed when it has ended
	err  error         // valid after done
}

// Start runs cmd as the account and waits until ready gives no error. farewell is as for the function Start.
func (d *Daemon) Start(ctx context.Context, cmd *exec.Cmd, a *Account, farewell syscall.Signal, ready func(context.Context) error) error {
	log, err := os.OpenFile(d.LogFile, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return fmt.Errorf("server's log: %w", err)
	}
	defer log.Close()
	cmd.Stdout, cmd.Stderr = log, log
	if err := Start(cmd, a, farewell); err != nil {
		return fmt.Errorf("start of %s: %w", d.Name, err)
	}
	p := &process{cmd: cmd, done: make(chan struct{})}
	go func() {
		p.err = cmd.Wait()
		close(p.done)
	}()
	d.mu.Lock()
	d.proc = p
	d.mu.Unlock()
	return d.await(ctx, p, ready)
}

func (d *Daemon) await(ctx context.Context, p *process, ready func(context.Context) error) error {
	ctx, cancel := context.WithTimeout(ctx, startLimit)
	defer cancel()
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for {
		err := ready(ctx)
		if err == nil {
			return nil
		}
		select {
		case <-p.done:
			return fmt.Errorf("%s ended while starting: %w\n%s", d.Name, p.err, LastLines(d.Log(), 15))
		case <-ctx.Done():
			return fmt.Errorf("%s does not accept logins: %w\n%s", d.Name, err, LastLines(d.Log(), 15))
		case <-tick.C:
		}
	}
}

// Stop sends the signal that means an orderly stop and waits for the end. Stopping what is stopped is no error.
func (d *Daemon) Stop(how syscall.Signal) error {
	p := d.take()
	if p == nil {
		return nil
	}
	_ = p.cmd.Process.Signal(how) // it may have ended by itself
	limit := time.NewTimer(stopLimit)
	defer limit.Stop()
	select {
	case <-p.done:
		return nil
	case <-limit.C:
		p.kill()
		return fmt.Errorf("%s did not stop within %s and was killed\n%s", d.Name, stopLimit, LastLines(d.Log(), 15))
	}
}

// Kill ends all of the server's processes at once, as when the machine dies: clients get no message, only a closed
// socket.
func (d *Daemon) Kill() {
	if p := d.take(); p != nil {
		p.kill()
	}
}

// Freeze stops all of the server's processes without ending them: sockets stay open and nobody answers, as behind a
// broken network. Thaw lets them go on.
func (d *Daemon) Freeze() { d.signal(syscall.SIGSTOP) }

// Thaw undoes Freeze.
func (d *Daemon) Thaw() { d.signal(syscall.SIGCONT) }

// PID is the number of the process, 0 while it is stopped.
func (d *Daemon) PID() int {
	if p := d.running(); p != nil {
		return p.cmd.Process.Pid
	}
	return 0
}

// Ended is closed when the server, which has to be running now, has ended.
func (d *Daemon) Ended() <-chan struct{} { return d.running().done }

// Log returns what the server has logged so far.
func (d *Daemon) Log() string {
	text, err := os.ReadFile(d.LogFile)
	if err != nil {
		return err.Error()
	}
	return string(text)
}

func (d *Daemon) running() *process {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.proc
}

func (d *Daemon) take() *process {
	d.mu.Lock()
	defer d.mu.Unlock()
	p := d.proc
	d.proc = nil
	return p
}

func (d *Daemon) signal(sig syscall.Signal) {
	p := d.running()
	if p == nil {
		return
	}
	pid := p.cmd.Process.Pid
	_ = syscall.Kill(pid, sig)
	if sig == syscall.SIGSTOP {
		awaitStates("TZ", pid)
	}
	for _, child := range children(pid) {
		_ = syscall.Kill(child, sig)
	}
}

func (p *process) kill() {
	pid := p.cmd.Process.Pid
	// Stopped, it cannot start further processes meanwhile.
	_ = syscall.Kill(pid, syscall.SIGSTOP)
	awaitStates("TZ", pid)
	all := children(pid)
	for _, child := range all {
		_ = syscall.Kill(child, syscall.SIGKILL)
	}
	_ = syscall.Kill(pid, syscall.SIGKILL)
	<-p.done
	awaitStates("ZX", all...) // until then they hold the shared memory, and no new server starts
}
