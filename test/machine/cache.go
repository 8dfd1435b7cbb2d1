// SPDX-License-Identifier: Apache-2.0

package machine

import (
	"fmt"
	"os"
	"path/filepath"
	"syscall"
)

// cacheEnv names the variable that overrides the cache folder.
const cacheEnv = "RDSPROXY_TEST_CACHE"

// CacheDir returns the folder that keeps what was downloaded, creating it. It is
// $RDSPROXY_TEST_CACHE, or /var/cache/rdsproxy-test for root (whose home other
// users may not enter, while the servers run as another user), or the user's
// own cache folder.
func CacheDir() (string, error) {
	dir := os.Getenv(cacheEnv)
	switch {
	case dir != "":
	case os.Geteuid() == 0:
		dir = "/var/cache/rdsproxy-test"
	default:
		base, err := os.UserCacheDir()
		if err != nil {
			return "", fmt.Errorf("no cache folder, set %s: %w", cacheEnv, err)
		}
		dir = filepath.Join(base, "rdsproxy-test")
	}
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return "", fmt.Errorf("cache folder, set %s to another: %w", cacheEnv, err)
	}
	return dir, nil
}

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
