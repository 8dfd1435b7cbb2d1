// SPDX-License-Identifier: Apache-2.0

//go:build unix

package daemon

import "golang.org/x/sys/unix"

// fileLimit is how many files, sockets included, this process may have open. The
// Go runtime has raised it as far as the system lets it.
func fileLimit() (most uint64, known bool) {
	var r unix.Rlimit
	if err := unix.Getrlimit(unix.RLIMIT_NOFILE, &r); err != nil {
		return 0, false
	}
	return uint64(r.Cur), true //nolint:unconvert // signed on some systems
}
