// SPDX-License-Identifier: Apache-2.0

package daemonproc

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"sync"
	"testing"

	"github.com/rdsproxy/rdsproxy/test/pgserver"
)

// binaryEnv names the variable that points to a ready-made daemon to test.
const binaryEnv = "RDSPROXY_TEST_DAEMON"

var built struct {
	sync.Mutex
	dir, path string
	err       error
}

// Binary returns the path of the daemon, built on first use. The package's
// TestMain must call Main, which removes it.
func Binary(tb testing.TB) string {
	tb.Helper()
	if path := os.Getenv(binaryEnv); path != "" {
		return path
	}
	built.Lock()
	defer built.Unlock()
	if built.dir == "" {
		built.path, built.err = build()
	}
	if built.err != nil {
		tb.Fatal(built.err)
	}
	return built.path
}

func build() (string, error) {
	dir, err := os.MkdirTemp("", "rdsproxy-bin-")
	if err != nil {
		return "", fmt.Errorf("folder for the daemon: %w", err)
	}
	built.dir = dir
	path := filepath.Join(dir, "rdsproxy")
	cmd := exec.Command("go", "build", "-race", "-o", path, "./cmd/rdsproxy")
	cmd.Dir = Root()
	if out, err := cmd.CombinedOutput(); err != nil {
		return "", fmt.Errorf("the daemon does not build: %w\n%s", err, out)
	}
	return path, nil
}

// Root is the folder of the main module's checkout.
func Root() string {
	_, file, _, _ := runtime.Caller(0)
	return filepath.Join(filepath.Dir(file), "..", "..")
}

// Main runs a package's tests in pgserver.Main and removes the daemon's binary.
// It returns the exit code for os.Exit.
func Main(m *testing.M) int {
	code := pgserver.Main(m)
	if built.dir != "" {
		os.RemoveAll(built.dir)
	}
	return code
}
