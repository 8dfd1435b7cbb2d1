// SPDX-License-Identifier: Apache-2.0

//go:build !linux

package pgserver

import "syscall"

// attributes puts a child in a process group of its own. There is no way here to
// have it end with its parent.
func attributes(u *runUser) *syscall.SysProcAttr {
	a := &syscall.SysProcAttr{Setpgid: true}
	if u != nil {
		a.Credential = &syscall.Credential{Uid: u.uid, Gid: u.gid}
	}
	return a
}

// children is unknown here: the server's own processes notice the death of their parent.
func children(int) []int { return nil }

// awaitStates has nothing to look at here.
func awaitStates(string, ...int) {}
