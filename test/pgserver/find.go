// SPDX-License-Identifier: Apache-2.0

package pgserver

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"runtime"
	"strconv"
	"sync"

	"github.com/rdsproxy/rdsproxy/test/machine"
)

// binEnv names the variable that points to a folder with PostgreSQL's programs,
// to be taken in place of the distribution's.
const binEnv = "RDSPROXY_TEST_PGBIN"

// Installation is a set of PostgreSQL server programs.
type Installation struct {
	// Version is the major version, such as 15.
	Version int
	// BinDir holds initdb and postgres.
	BinDir string
	// Origin tells where it came from, for messages.
	Origin string
}

// ErrUnavailable is wrapped by the errors of Find and Tools that mean "this
// machine does not have it and it could not be installed"; the text says how to go on.
var ErrUnavailable = errors.New("PostgreSQL is not available")

type findKey struct {
	version int
	tools   bool
}

var found struct {
	sync.Mutex
	results map[findKey]findResult
}

type findResult struct {
	inst Installation
	err  error
}

// Find returns the server programs of a major version, installing them if need
// be. Version 0 means whatever the distribution ships. The answer, also a failure, is
// kept for the life of the process.
func Find(ctx context.Context, version int) (Installation, error) {
	return remember(findKey{version: version}, func() (Installation, error) { return find(ctx, version) })
}

// Tools returns the folder with the client programs (psql, pgbench, pg_dump,
// pg_restore, pg_receivewal) and their major version, installing them if need be.
func Tools(ctx context.Context) (Installation, error) {
	return remember(findKey{tools: true}, func() (Installation, error) {
		return distribution(ctx, "psql", "pgbench", "pg_dump", "pg_restore", "pg_receivewal")
	})
}

func remember(k findKey, f func() (Installation, error)) (Installation, error) {
	found.Lock()
	defer found.Unlock()
	if r, ok := found.results[k]; ok {
		return r.inst, r.err
	}
	inst, err := f()
	if found.results == nil {
		found.results = make(map[findKey]findResult)
	}
	found.results[k] = findResult{inst, err}
	return inst, err
}

func find(ctx context.Context, version int) (Installation, error) {
	if version == 0 {
		return distribution(ctx, "initdb", "postgres")
	}
	for _, inst := range local("initdb", "postgres") {
		if inst.Version == version {
			return inst, nil
		}
	}
	return embedded(ctx, version)
}

// distribution looks for an installed version that has all the programs, newest
// first, and installs the distribution's when there is none.
func distribution(ctx context.Context, programs ...string) (Installation, error) {
	if all := local(programs...); len(all) > 0 {
		return all[0], nil
	}
	installErr := aptInstall(ctx)
	if installErr == nil {
		if all := local(programs...); len(all) > 0 {
			return all[0], nil
		}
		installErr = fmt.Errorf("the package was installed, but its programs %v were not found", programs)
	}
	return Installation{}, fmt.Errorf("%w: %w; %s", ErrUnavailable, installErr, advice())
}

func advice() string {
	if runtime.GOOS == "darwin" {
		return "install it with `brew install postgresql@17` or set " + binEnv + " to the folder of its programs"
	}
	return "install your distribution's PostgreSQL server and contrib programs (Debian, Ubuntu: `apt-get install postgresql`; " +
		"Fedora: `dnf install postgresql-server postgresql-contrib`) or set " + binEnv + " to the folder of its programs"
}

// local lists installed versions that have all the programs, the one of
// RDSPROXY_TEST_PGBIN first, then newest first.
func local(programs ...string) []Installation {
	dirs := []string{os.Getenv(binEnv)}
	for v := 30; v >= 10; v-- {
		dirs = append(dirs,
			fmt.Sprintf("/usr/lib/postgresql/%d/bin", v),          // Debian, Ubuntu
			fmt.Sprintf("/usr/pgsql-%d/bin", v),                   // PGDG packages on RPM systems
			fmt.Sprintf("/opt/homebrew/opt/postgresql@%d/bin", v), // Homebrew on ARM
			fmt.Sprintf("/usr/local/opt/postgresql@%d/bin", v))    // Homebrew on Intel
	}
	for _, p := range []string{"postgres", "initdb"} {
		if path, err := exec.LookPath(p); err == nil {
			if real, err := filepath.EvalSymlinks(path); err == nil {
				dirs = append(dirs, filepath.Dir(real))
			}
		}
	}
	var all []Installation
	for _, dir := range dirs {
		if dir == "" || !hasAll(dir, programs) {
			continue
		}
		if v, err := majorVersion(filepath.Join(dir, programs[0])); err == nil {
			all = append(all, Installation{Version: v, BinDir: dir, Origin: dir})
		}
	}
	return all
}

func hasAll(dir string, programs []string) bool {
	for _, p := range programs {
		info, err := os.Stat(filepath.Join(dir, p))
		if err != nil || info.IsDir() || info.Mode()&0o111 == 0 {
			return false
		}
	}
	return true
}

var versionPattern = regexp.MustCompile(`\(PostgreSQL\) (\d+)`)

func majorVersion(program string) (int, error) {
	cmd := exec.Command(program, "--version")
	cmd.Env = machine.Environment()
	out, err := cmd.Output()
	if err != nil {
		return 0, fmt.Errorf("%s --version: %w", program, err)
	}
	m := versionPattern.FindSubmatch(out)
	if m == nil {
		return 0, fmt.Errorf("%s --version: unexpected answer %q", program, out)
	}
	return strconv.Atoi(string(m[1]))
}
