// SPDX-License-Identifier: Apache-2.0

package compat

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"

	"github.com/rdsproxy/rdsproxy/test/pgserver"
)

// Module is a Go module at an exact version.
type Module struct{ Path, Version string }

func (m Module) String() string { return m.Path + "@" + m.Version }

// Copy gives a writable copy of the module's files, made on first use and kept in
// the cache folder of the tests.
func (m Module) Copy(ctx context.Context) (string, error) {
	cache, err := pgserver.CacheDir()
	if err != nil {
		return "", err
	}
	dir := filepath.Join(cache, "compat", strings.ReplaceAll(m.String(), "/", "_"))
	if exists(filepath.Join(dir, "go.mod")) {
		return dir, nil
	}
	source, err := m.download(ctx, cache)
	if err != nil {
		return "", err
	}
	if err := os.MkdirAll(filepath.Dir(dir), 0o755); err != nil {
		return "", fmt.Errorf("cache: %w", err)
	}
	work, err := os.MkdirTemp(filepath.Dir(dir), "copy-")
	if err != nil {
		return "", fmt.Errorf("cache: %w", err)
	}
	defer os.RemoveAll(work)
	tree := filepath.Join(work, "tree")
	if err := copyTree(tree, source); err != nil {
		return "", err
	}
	// By rename, so that the cache never holds half of it. Another process may
	// have been faster.
	if err := os.Rename(tree, dir); err != nil && !exists(filepath.Join(dir, "go.mod")) {
		return "", fmt.Errorf("cache: %w", err)
	}
	return dir, nil
}

// download fetches the module into the module cache and gives its folder there.
func (m Module) download(ctx context.Context, dir string) (string, error) {
	cmd := goCommand(ctx, dir, "mod", "download", "-json", m.String())
	out, err := cmd.Output()
	var answer struct{ Dir, Error string }
	if jsonErr := json.Unmarshal(out, &answer); jsonErr != nil {
		return "", fmt.Errorf("%w: go mod download %s: %w", errUnavailable, m, errors.Join(err, jsonErr))
	}
	if answer.Error != "" {
		return "", fmt.Errorf("%w: %s: %s", errUnavailable, m, answer.Error)
	}
	return answer.Dir, err
}

// errUnavailable marks what a machine without a module proxy cannot have.
var errUnavailable = errors.New("the module is not available")

// copyTree copies files and folders, with write permission for their owner.
func copyTree(dst, src string) error {
	if err := os.CopyFS(dst, os.DirFS(src)); err != nil {
		return fmt.Errorf("copy of a module: %w", err)
	}
	return filepath.WalkDir(dst, func(path string, d os.DirEntry, err error) error {
		if err != nil {
			return err
		}
		info, err := d.Info()
		if err != nil {
			return err
		}
		return os.Chmod(path, info.Mode().Perm()|0o200)
	})
}

func exists(path string) bool {
	_, err := os.Stat(path)
	return err == nil
}

// goCommand is a go command in a folder that belongs to no workspace.
func goCommand(ctx context.Context, dir string, args ...string) *exec.Cmd {
	cmd := exec.CommandContext(ctx, "go", args...)
	cmd.Dir = dir
	cmd.Env = append(os.Environ(), "GOWORK=off")
	return cmd
}

// buildTests compiles the tests of one package of the module copy at dir and gives
// the path of the program. What is up to date is not compiled again.
func buildTests(ctx context.Context, dir, pkg string) (string, error) {
	name := strings.ReplaceAll(filepath.ToSlash(filepath.Clean(pkg)), "/", "_")
	if name == "." {
		name = "root"
	}
	program := filepath.Join(dir+".tests", name)
	if out, err := goCommand(ctx, dir, "test", "-c", "-vet=off", "-o", program, "./"+pkg).CombinedOutput(); err != nil {
		return "", fmt.Errorf("the tests of %s in %s do not build: %w\n%s", pkg, filepath.Base(dir), err, out)
	}
	return program, nil
}
