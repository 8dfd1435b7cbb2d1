// SPDX-License-Identifier: Apache-2.0

package myserver

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"

	"github.com/rdsproxy/rdsproxy/test/machine"
	"github.com/rdsproxy/rdsproxy/test/sid"
)

// distribution returns the distribution's MariaDB. The package mariadb-server would
// make and start a service, so only those that it stands on are installed.
func distribution(ctx context.Context) (Installation, error) {
	inst, ok := local(ctx, MariaDB, "mariadbd")
	if !ok {
		if err := machine.AptInstall(ctx, "mariadb-server-core", "mariadb-client"); err != nil {
			return inst, fmt.Errorf("%s: %w: %w; install your distribution's MariaDB server (Debian, Ubuntu: `apt-get install mariadb-server-core mariadb-client`; "+
				"Fedora: `dnf install mariadb-server`; macOS: `brew install mariadb`)", MariaDB, ErrUnavailable, err)
		}
		if inst, ok = local(ctx, MariaDB, "mariadbd"); !ok {
			return inst, errors.New("the package was installed, but mariadbd was not found")
		}
	}
	if inst.plugins != "" {
		if _, err := os.Stat(filepath.Join(inst.plugins, "auth_ed25519.so")); err == nil {
			return inst, nil
		}
	}
	dir, err := aptPlugins(ctx, inst.Version)
	if err != nil {
		return inst, fmt.Errorf("plugins of MariaDB: %w", err)
	}
	inst.plugins = dir
	return inst, nil
}

// aptPlugins unpacks the distribution's package mariadb-server, which has the
// plugins, in the cache. It is not installed.
func aptPlugins(ctx context.Context, version string) (string, error) {
	cache, err := machine.CacheDir()
	if err != nil {
		return "", err
	}
	unlock, err := machine.LockCache(cache, "mariadb-plugins")
	if err != nil {
		return "", err
	}
	defer unlock()
	dir := filepath.Join(cache, "mariadb-plugins-"+version)
	plugins := filepath.Join(dir, "usr/lib/mysql/plugin")
	if _, err := os.Stat(plugins); err == nil {
		return plugins, nil
	}
	work, err := os.MkdirTemp(cache, "mariadb-plugins-")
	if err != nil {
		return "", err
	}
	defer os.RemoveAll(work)
	if err := os.Chmod(work, 0o755); err != nil {
		return "", err
	}
	cmd := exec.CommandContext(ctx, "sh", "-ec", "apt-get -q download mariadb-server; dpkg-deb -x mariadb-server_*.deb .; rm -f ./*.deb")
	cmd.Dir = work
	if err := machine.Run(cmd, nil); err != nil {
		return "", err
	}
	return plugins, os.Rename(work, dir)
}

// release is where a flavor comes from that is unpacked in the cache: the packages
// with all they need, and alone the one that has the plugins.
type release struct {
	suite    sid.Suite
	tree     string
	packages []string
	alone    []string
}

var releases = map[Flavor]release{
	MySQL:         {sid.Sid, "mysql", []string{"mysql-server-core", "mysql-client-core", "mysql-router"}, nil},
	NewestMariaDB: {sid.Sid, "mariadb", []string{"mariadb-server-core", "mariadb-client-core"}, []string{"mariadb-server"}},
	MySQL80:       {sid.Jammy, "mysql", []string{"mysql-server-core-8.0", "mysql-client-core-8.0"}, nil},
	MySQL84:       {sid.Resolute, "mysql", []string{"mysql-server-core", "mysql-client-core"}, nil},
	MariaDB106:    {sid.Jammy, "mariadb", []string{"mariadb-server-core-10.6", "mariadb-client-core-10.6"}, []string{"mariadb-server-10.6"}},
}

// unpacked returns the programs of a release.
func unpacked(ctx context.Context, f Flavor) (Installation, error) {
	r := releases[f]
	t, err := r.suite.Unpack(ctx, r.tree, r.packages, r.alone)
	if err != nil {
		return Installation{}, err
	}
	base := filepath.Join(t.Dir, "usr")
	inst := Installation{Flavor: f, Origin: t.Dir, baseDir: base, plugins: filepath.Join(base, "lib/mysql/plugin")}
	if f.IsMariaDB() {
		inst.server, inst.share = t.Argv("usr/sbin/mariadbd"), shareDir(base)
	} else {
		inst.server, inst.share = t.Argv("usr/sbin/mysqld"), filepath.Join(base, "share/mysql")
	}
	inst.command = func(ctx context.Context, program string, args ...string) *exec.Cmd {
		argv := append(t.Argv("usr/bin/"+program, filepath.Join(base, "lib/mysql-router"), filepath.Join(base, "lib/mysqlrouter/plugin")), args...)
		return exec.CommandContext(ctx, argv[0], argv[1:]...)
	}
	inst.Version, _, err = version(ctx, inst.server)
	return inst, err
}

// Sysbench returns the path of sysbench, a load generator, installing it if need be.
func Sysbench(ctx context.Context) (string, error) {
	if path, err := exec.LookPath("sysbench"); err == nil {
		return path, nil
	}
	if err := machine.AptInstall(ctx, "sysbench"); err != nil {
		return "", fmt.Errorf("sysbench: %w: %w", ErrUnavailable, err)
	}
	return exec.LookPath("sysbench")
}
