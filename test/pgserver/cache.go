// SPDX-License-Identifier: Apache-2.0

package pgserver

import (
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
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

// lockCache holds a lock over processes: test binaries of several packages run
// at the same time, and one of them should install.
func lockCache(dir, name string) (unlock func(), err error) {
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

// scratchPrefix starts the name of every server's folder; the process id of the
// process that owns it follows.
const scratchPrefix = "rdsproxy-pg-"

// scratchDir makes a folder for one server that the given user owns. Its path is
// short, because a socket in it must fit into 107 bytes.
func scratchDir(u *runUser) (string, error) {
	base, err := scratchBase()
	if err != nil {
		return "", err
	}
	dir, err := os.MkdirTemp(base, fmt.Sprintf("%s%d-", scratchPrefix, os.Getpid()))
	if err != nil {
		return "", fmt.Errorf("folder for a server: %w", err)
	}
	if u != nil {
		if err := os.Chown(dir, int(u.uid), int(u.gid)); err != nil {
			return "", fmt.Errorf("folder for a server: %w", err)
		}
	}
	return dir, nil
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

// sweepScratch removes the folders that processes killed without mercy have left.
func sweepScratch() {
	base, err := scratchBase()
	if err != nil {
		return
	}
	dirs, err := filepath.Glob(filepath.Join(base, scratchPrefix+"*"))
	if err != nil {
		return
	}
	for _, dir := range dirs {
		name := strings.TrimPrefix(filepath.Base(dir), scratchPrefix)
		pid, err := strconv.Atoi(name[:max(strings.IndexByte(name, '-'), 0)])
		if err != nil || pid <= 1 || syscall.Kill(pid, 0) != syscall.ESRCH {
			continue
		}
		_ = os.RemoveAll(dir) // another user's folder stays; it is theirs to sweep
	}
}
