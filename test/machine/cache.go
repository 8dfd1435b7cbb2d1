// SPDX-License-Identifier: Apache-2.0

package machine

import (
	"fmt"
	"os"
	"path/filepath"
	"syscall"

	"github.com/rdsproxy/rdsproxy/test/pgserver"
)

// CacheDir is the folder that keeps what was downloaded; see pgserver.CacheDir.
func CacheDir() (string, error) { return pgserver.CacheDir() }

// LockCache holds a lock over processes: test binaries of several packages run
// at the same time, and one of them should install.
func LockCache(dir, name string) (unlock func(), err error) {
	f, err := os.OpenFile(filepath.Join(dir, "."+name+".lock"), os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return nil, fmt.Errorf("lock %s: %w", name, err)
	}
	if err := syscall.Flock(int(f.Fd()), syscall.LOCK_EX); err != nil {
		f.Close()
		return nil, fmt.Errorf("lock %s: %w", name, err)
	}
	return func() { f.Close() }, nil
}
