// SPDX-License-Identifier: Apache-2.0

package pgserver

import (
	"fmt"
	"os"
	"strconv"
	"strings"
	"syscall"
)

// attributes puts a child in a process group of its own, so that Ctrl-C on the
// terminal reaches only us and the server is stopped in order, and has the
// kernel send SIGQUIT (PostgreSQL's immediate shutdown) when we die.
func attributes(u *runUser) *syscall.SysProcAttr {
	a := &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGQUIT}
	if u != nil {
		a.Credential = &syscall.Credential{Uid: u.uid, Gid: u.gid}
	}
	return a
}

// children lists the direct child processes of pid.
func children(pid int) []int {
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/task/%d/children", pid, pid))
	if err != nil {
		return nil
	}
	var pids []int
	for f := range strings.FieldsSeq(string(text)) {
		if n, err := strconv.Atoi(f); err == nil {
			pids = append(pids, n)
		}
	}
	return pids
}
