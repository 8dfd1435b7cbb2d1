// SPDX-License-Identifier: Apache-2.0

package machine

import (
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
)

// ScratchDir makes a folder for one server that the account (nil: the current
// user) owns. Its name starts with prefix and this process's id, and its path is
// short, because a socket in it must fit into 107 bytes.
func ScratchDir(prefix string, a *Account) (string, error) {
	base, err := scratchBase()
	if err != nil {
		return "", err
	}
	dir, err := os.MkdirTemp(base, fmt.Sprintf("%s%d-", prefix, os.Getpid()))
	if err != nil {
		return "", fmt.Errorf("folder for a server: %w", err)
	}
	return dir, a.Own(dir)
}

// scratchBase picks the first temporary folder that every user may enter (the
// servers run as another user when the tests run as root) and whose path is short.
func scratchBase() (string, error) {
	for _, base := range []string{os.TempDir(), "/tmp", "/var/tmp"} {
		if len(base) <= 40 && enterable(base) {
			return base, nil
		}
	}
	return "", fmt.Errorf("no temporary folder that other users may enter: set TMPDIR to one")
}

func enterable(dir string) bool {
	if os.Geteuid() != 0 {
		return true
	}
	for {
		info, err := os.Stat(dir)
		if err != nil || info.Mode().Perm()&0o001 == 0 {
			return false
		}
		parent := filepath.Dir(dir)
		if parent == dir {
			return true
		}
		dir = parent
	}
}

// SweepScratch removes the folders with this prefix that processes killed without
// mercy have left.
func SweepScratch(prefix string) {
	base, err := scratchBase()
	if err != nil {
		return
	}
	dirs, err := filepath.Glob(filepath.Join(base, prefix+"*"))
	if err != nil {
		return
	}
	for _, dir := range dirs {
		name := strings.TrimPrefix(filepath.Base(dir), prefix)
		pid, err := strconv.Atoi(name[:max(strings.IndexByte(name, '-'), 0)])
		if err != nil || pid <= 1 || syscall.Kill(pid, 0) != syscall.ESRCH {
			continue
		}
		_ = os.RemoveAll(dir) // another user's folder stays; it is theirs to sweep
	}
}
