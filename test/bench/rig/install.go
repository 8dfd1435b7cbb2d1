// SPDX-License-Identifier: Apache-2.0

//go:build linux

package rig

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
)

// newestPgBouncer gives the PgBouncer of Debian unstable from a folder in the cache that holds a small system, and makes that folder if it is
// missing and install is set. It needs root: to make the folder and to run a program with it as its root.
func newestPgBouncer(ctx context.Context, cache string, install bool, say func(string, ...any)) (*PgBouncer, error) {
	if os.Geteuid() != 0 {
		return nil, errors.New("only root can make and enter the folder with Debian unstable")
	}
	root := filepath.Join(cache, "pgbouncer-sid")
	p := &PgBouncer{Root: root, Path: "/usr/sbin/pgbouncer"}
	if _, err := os.Stat(root); err != nil {
		if !install {
			return nil, errors.New("it is not in the cache, and installing is switched off")
		}
		say("fetching the newest PgBouncer from Debian unstable into the cache; once, about a minute")
		if err := unpackSid(ctx, cache, root); err != nil {
			return nil, err
		}
	}
	cmd := exec.CommandContext(ctx, p.Path, "--version")
	cmd.Dir = "/"
	cmd.SysProcAttr = &syscall.SysProcAttr{Chroot: root}
	out, err := cmd.Output()
	if err != nil {
		return nil, fmt.Errorf("PgBouncer in the cache does not run (remove %s to fetch it anew): %w", root, err)
	}
	p.Version = firstNumber(string(out))
	return p, nil
}

// unpackSid makes a small Debian unstable in a folder beside root, unpacks PgBouncer and its libraries into it, and gives it its name when it is
// complete. The packages' own installation scripts do not run: nothing needs them, and they would look for services to start.
func unpackSid(ctx context.Context, cache, root string) (err error) {
	if err := os.MkdirAll(cache, 0o755); err != nil {
		return err
	}
	if _, err := exec.LookPath("debootstrap"); err != nil {
		if err := command(ctx, "apt-get", "install", "-y", "--no-install-recommends", "debootstrap", "debian-archive-keyring"); err != nil {
			return err
		}
	}
	next, err := os.MkdirTemp(cache, "sid-")
	if err != nil {
		return err
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, os.RemoveAll(next))
		}
	}()
	if err := os.Chmod(next, 0o755); err != nil {
		return err
	}
	if err := command(ctx, "debootstrap", "--variant=minbase", "sid", next); err != nil {
		return err
	}
	if err := command(ctx, "chroot", next, "apt-get", "install", "-y", "--no-install-recommends", "--download-only", "pgbouncer"); err != nil {
		return err
	}
	debs, err := filepath.Glob(filepath.Join(next, "var/cache/apt/archives/*.deb"))
	if err != nil {
		return err
	}
	for _, d := range debs {
		if err := command(ctx, "chroot", next, "dpkg-deb", "-x", strings.TrimPrefix(d, next), "/"); err != nil {
			return err
		}
	}
	if err := errors.Join(command(ctx, "chroot", next, "ldconfig"), command(ctx, "chroot", next, "apt-get", "clean")); err != nil {
		return err
	}
	return os.Rename(next, root)
}

// command runs a program to its end; its output is part of the error.
func command(ctx context.Context, name string, arg ...string) error {
	cmd := exec.CommandContext(ctx, name, arg...)
	cmd.Env = append(os.Environ(), "DEBIAN_FRONTEND=noninteractive")
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("%s: %w\n%s", name, err, lastBytes(out, 2000))
	}
	return nil
}

func lastBytes(b []byte, n int) []byte { return b[max(0, len(b)-n):] }
