// SPDX-License-Identifier: Apache-2.0

package machine

import "syscall"

func attributes(a *Account) *syscall.SysProcAttr {
	return &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL, Credential: a.credential()}
}
