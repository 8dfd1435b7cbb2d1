// SPDX-License-Identifier: Apache-2.0

package machine

import (
	"os/exec"
	"runtime"
	"sync"
	"syscall"
)

// Environment is all that a server's programs see: nothing of the caller's
// variables or locale.
func Environment() []string {
	return []string{"PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", "LC_ALL=C", "TZ=UTC"}
}

// spawner is one goroutine that never leaves its thread. The kernel ties the
// signal "your parent is gone" to the thread that started the child, so this
// thread has to live as long as the process.
var spawner = sync.OnceValue(func() chan<- func() {
	jobs := make(chan func())
	go spawn(jobs)
	return jobs
})

func spawn(jobs <-chan func()) {
	runtime.LockOSThread()
	for f := range jobs {
		f()
	}
}

// Start starts cmd as the account, in a process group of its own, such that
// Ctrl-C on the terminal reaches this process alone. The kernel sends the child the
// signal farewell when this process dies, however it dies (Linux only).
func Start(cmd *exec.Cmd, a *Account, farewell syscall.Signal) error {
	cmd.SysProcAttr = attributes(a, farewell)
	result := make(chan error)
	spawner() <- func() { result <- cmd.Start() }
	return <-result
}

// Run runs cmd to its end as the account. The end of its output is in the error.
func Run(cmd *exec.Cmd, a *Account) error {
	out := &tail{}
	cmd.Stdout, cmd.Stderr = out, out
	if err := Start(cmd, a, syscall.SIGKILL); err != nil {
		return err
	}
	if err := cmd.Wait(); err != nil {
		return &exitError{err, out.lines(15)}
	}
	return nil
}
