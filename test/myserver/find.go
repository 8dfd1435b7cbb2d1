// SPDX-License-Identifier: Apache-2.0

package myserver

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"sync"
)

// Flavor is which server, of those that can be had.
type Flavor string

// The flavors.
const (
	MariaDB       Flavor = "MariaDB"        // the distribution's
	MySQL         Flavor = "MySQL"          // the machine's, or Debian unstable's
	NewestMariaDB Flavor = "newest MariaDB" // Debian unstable's
	MySQL80       Flavor = "MySQL 8.0"      // Ubuntu 22.04's
	MySQL84       Flavor = "MySQL 8.4"      // Ubuntu 26.04's
	MariaDB106    Flavor = "MariaDB 10.6"   // Ubuntu 22.04's
)

// Flavors lists all that tests should cover.
func Flavors() []Flavor { return []Flavor{MariaDB, MySQL, NewestMariaDB} }

// OlderFlavors lists those that are had and tested on demand only (see Chosen).
func OlderFlavors() []Flavor { return []Flavor{MariaDB106, MySQL80, MySQL84} }

// Chosen lists the flavors that longer tests run on: those given or, by
// RDSPROXY_TEST_FLAVORS, others: "all", or names as they are here, separated by
// commas.
func Chosen(usual ...Flavor) []Flavor {
	text := os.Getenv("RDSPROXY_TEST_FLAVORS")
	switch text {
	case "":
		return usual
	case "all":
		return append(Flavors(), OlderFlavors()...)
	}
	var list []Flavor
	for name := range strings.SplitSeq(text, ",") {
		list = append(list, Flavor(strings.TrimSpace(name)))
	}
	return list
}

// IsMariaDB tells a MariaDB from a MySQL.
func (f Flavor) IsMariaDB() bool { return strings.Contains(string(f), "MariaDB") }

// Installation is a set of server programs.
type Installation struct {
	Flavor Flavor
	// Version is the server's, such as "10.11.14".
	Version string
	// Origin tells where it came from, for messages.
	Origin string

	server  []string // the server program, and what stands before it
	baseDir string
	share   string // messages, character sets, MariaDB's system tables
	plugins string // folder of plugins; empty: the server knows
	command func(ctx context.Context, program string, args ...string) *exec.Cmd
}

// Command runs a client program of the installation: "mysql", "mysqldump" and so
// on, or of MySQL from Debian unstable also "mysqlrouter".
func (i Installation) Command(ctx context.Context, program string, args ...string) *exec.Cmd {
	return i.command(ctx, program, args...)
}

// AtLeast compares the version.
func (i Installation) AtLeast(major, minor int) bool {
	a, rest, _ := strings.Cut(i.Version, ".")
	b, _, _ := strings.Cut(rest, ".")
	x, errX := strconv.Atoi(a)
	y, errY := strconv.Atoi(b)
	return errX == nil && errY == nil && (x > major || x == major && y >= minor)
}

// ErrUnavailable is wrapped by the errors of Find that mean "this machine does not
// have it and it could not be installed"; the text says how to go on.
var ErrUnavailable = errors.New("the server is not available")

var found struct {
	sync.Mutex
	results map[Flavor]findResult
}

type findResult struct {
	inst Installation
	err  error
}

// Find returns the programs of a flavor, installing them if need be. The answer,
// also a failure, is kept for the life of the process.
func Find(ctx context.Context, f Flavor) (Installation, error) {
	found.Lock()
	defer found.Unlock()
	if r, ok := found.results[f]; ok {
		return r.inst, r.err
	}
	inst, err := find(ctx, f)
	if err != nil && !errors.Is(err, ErrUnavailable) {
		err = fmt.Errorf("%s: %w: %w", f, ErrUnavailable, err)
	}
	if found.results == nil {
		found.results = make(map[Flavor]findResult)
	}
	found.results[f] = findResult{inst, err}
	return inst, err
}

func find(ctx context.Context, f Flavor) (Installation, error) {
	switch f {
	case MariaDB:
		return distribution(ctx)
	case MySQL:
		if inst, ok := local(ctx, MySQL, "mysqld"); ok {
			return inst, nil
		}
		return unpacked(ctx, f)
	case NewestMariaDB, MySQL80, MySQL84, MariaDB106:
		return unpacked(ctx, f)
	}
	return Installation{}, fmt.Errorf("no flavor %q", f)
}

// versionPattern finds the number in "mysqld  Ver 9.7.4-2 for Linux on x86_64" and in
// "mariadbd  Ver 10.11.14-MariaDB-0+deb12u2 for debian-linux-gnu".
var versionPattern = regexp.MustCompile(`Ver (\d+\.\d+\.\d+)(-MariaDB)?`)

// version asks a server program who it is.
func version(ctx context.Context, argv []string) (number string, mariadb bool, err error) {
	cmd := exec.CommandContext(ctx, argv[0], append(argv[1:len(argv):len(argv)], "--version")...)
	out, err := cmd.Output()
	if err != nil {
		return "", false, fmt.Errorf("%s --version: %w", argv[len(argv)-1], err)
	}
	m := versionPattern.FindSubmatch(out)
	if m == nil {
		return "", false, fmt.Errorf("%s --version: unexpected answer %q", argv[len(argv)-1], out)
	}
	return string(m[1]), m[2] != nil, nil
}

// local looks for a server program on the machine.
func local(ctx context.Context, f Flavor, program string) (Installation, bool) {
	for _, base := range []string{"/usr", "/usr/local", "/usr/local/mysql", "/opt/homebrew", "/opt/homebrew/opt/mysql", "/opt/homebrew/opt/mariadb"} {
		for _, dir := range []string{"sbin", "bin", "libexec"} {
			path := filepath.Join(base, dir, program)
			if info, err := os.Stat(path); err != nil || info.Mode()&0o111 == 0 {
				continue
			}
			number, mariadb, err := version(ctx, []string{path})
			inst := Installation{
				Flavor: f, Version: number, Origin: path, server: []string{path},
				baseDir: base, share: shareDir(base), plugins: firstDir(pluginDirs(base)...), command: inPath,
			}
			if err == nil && mariadb == f.IsMariaDB() && inst.AtLeast(8, 0) {
				return inst, true
			}
		}
	}
	return Installation{}, false
}

func inPath(ctx context.Context, program string, args ...string) *exec.Cmd {
	return exec.CommandContext(ctx, program, args...)
}

// shareDir is where MariaDB's packages have the texts and tables that belong to a server.
func shareDir(base string) string {
	return firstDir(filepath.Join(base, "share/mariadb/charsets"), filepath.Join(base, "share/mysql/charsets"))
}

func pluginDirs(base string) []string {
	return []string{
		filepath.Join(base, "lib/mysql/plugin"), filepath.Join(base, "lib64/mysql/plugin"),
		filepath.Join(base, "lib64/mariadb/plugin"), filepath.Join(base, "lib/plugin"),
	}
}

// firstDir is the first folder that exists; of a folder "charsets" its parent.
func firstDir(dirs ...string) string {
	for _, d := range dirs {
		if info, err := os.Stat(d); err == nil && info.IsDir() {
			return strings.TrimSuffix(d, "/charsets")
		}
	}
	return ""
}
