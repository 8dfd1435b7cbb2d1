// SPDX-License-Identifier: Apache-2.0

package machine

import "syscall"

func attributes(a *Account, farewell syscall.Signal) *syscall.SysProcAttr {
	return &syscall.SysProcAttr{Setpgid: true, Pdeathsig: farewell, Credential: a.credential()}
}
