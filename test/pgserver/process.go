// SPDX-License-Identifier: Apache-2.0

package pgserver

import (
	"os/exec"
	"syscall"

	"github.com/rdsproxy/rdsproxy/test/machine"
)

// StartTied starts cmd in a process group of its own, such that it is told to quit
// (SIGQUIT, Linux only) when this process dies, however it dies. For PostgreSQL that
// is an immediate shutdown.
func StartTied(cmd *exec.Cmd) error { return machine.Start(cmd, nil, syscall.SIGQUIT) }
