// SPDX-License-Identifier: Apache-2.0

package pgserver

import (
	"os/exec"
	"runtime"
	"sync"
)

// environment is all that a server's programs see: nothing of the caller's PG*
// variables or locale.
func environment() []string {
	return []string{"PATH=/usr/local/bin:/usr/bin:/bin", "LC_ALL=C", "TZ=UTC"}
}

// spawner is one goroutine that never leaves its thread. The kernel ties the
// signal "your parent is gone" to the thread that started the child, so this
// thread has to live as long as the process.
var spawner = sync.OnceValue(func() chan<- func() {
	jobs := make(chan func())
	go func() {
		runtime.LockOSThread()
		for f := range jobs {
			f()
		}
	}()
	return jobs
})

// StartTied starts cmd in a process group of its own, such that it is told to quit
// (SIGQUIT, Linux only) when this process dies, however it dies.
func StartTied(cmd *exec.Cmd) error { return startTied(cmd, nil) }

// startTied is StartTied as user u (nil: the current one).
func startTied(cmd *exec.Cmd, u *runUser) error {
	cmd.SysProcAttr = attributes(u)
	result := make(chan error)
	spawner() <- func() { result <- cmd.Start() }
	return <-result
}

// runAs runs cmd to its end as user u and returns what it printed.
func runAs(cmd *exec.Cmd, u *runUser) ([]byte, error) {
	cmd.SysProcAttr = attributes(u)
	return cmd.CombinedOutput()
}
