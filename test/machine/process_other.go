// SPDX-License-Identifier: Apache-2.0

//go:build !linux

package machine

import "syscall"

// attributes has no way to have a child end with its parent here.
func attributes(a *Account, _ syscall.Signal) *syscall.SysProcAttr {
	return &syscall.SysProcAttr{Setpgid: true, Credential: a.credential()}
}
