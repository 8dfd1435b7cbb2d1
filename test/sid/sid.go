// SPDX-License-Identifier: Apache-2.0

// Package sid has programs of Debian unstable run on whatever Linux this is,
// without touching it: servers for tests that are newer than the distribution's.
//
// The cache folder holds one small Debian ("sid") that debootstrap made, and in
// its folder "opt" a tree for each set of packages, with all the libraries that
// these need and the small system lacks. A program is started by the dynamic
// loader of that system, with its libraries; it needs neither root nor chroot and
// sees the machine's files. Making a tree needs root.
package sid

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"

	"github.com/rdsproxy/rdsproxy/test/machine"
)

// Tree is a set of unpacked packages.
type Tree struct {
	// Dir is the folder in which the packages were unpacked: Dir/usr/bin and so on.
	Dir string

	loader    string
	libraries string
}

// unpackScript makes the small system $1 if it is missing, and the tree $2 in it,
// with the packages $3 and everything that they need, and the packages $4 alone.
// Each is put in its place when it is complete. No script of a package is run,
// except those of the small system.
const unpackScript = `
root=$1 tree=$2
if ! [ -d "$root" ]; then
    command -v debootstrap >/dev/null || {
        set -- -q -y -o DPkg::Lock::Timeout=300 --no-remove --no-install-recommends install debootstrap debian-archive-keyring
        apt-get "$@" || { apt-get -q update; apt-get "$@"; }
        set -- "$root" "$tree" "$3" "$4"
    }
    rm -rf "$root.part"
    debootstrap --variant=minbase sid "$root.part" >&2
    chroot "$root.part" apt-get clean
    mv "$root.part" "$root"
fi
# The lists that debootstrap left may have grown old: then newer ones, whatever the clock says.
lazy='-o Acquire::Check-Valid-Until=false -o Acquire::Check-Date=false'
get() { chroot "$root" apt-get -q -y --no-install-recommends "$@"; }
chroot "$root" apt-get clean
get --download-only install $3 || { get $lazy update; get --download-only install $3; }
archives=$root/var/cache/apt/archives
for p in $4; do
    chroot "$root" sh -c 'cd /var/cache/apt/archives && apt-get -q download "$1"' sh "$p"
done
new=opt/$tree.part
rm -rf "$root/$new"
mkdir -p "$root/$new"
for d in "$archives"/*.deb; do
    chroot "$root" dpkg-deb -x "/var/cache/apt/archives/${d##*/}" "/$new"
done
chroot "$root" apt-get clean
mv "$root/$new" "$root/opt/$tree"
`

// Unpack returns the tree of that name, and makes it on first use: of packages
// with all they depend on, and of the packages alone.
func Unpack(ctx context.Context, name string, packages, alone []string) (Tree, error) {
	if runtime.GOOS != "linux" {
		return Tree{}, errors.New("programs of Debian run on Linux only")
	}
	cache, err := machine.CacheDir()
	if err != nil {
		return Tree{}, err
	}
	unlock, err := machine.LockCache(cache, "sid")
	if err != nil {
		return Tree{}, err
	}
	defer unlock()
	root := filepath.Join(cache, "sid")
	t := Tree{Dir: filepath.Join(root, "opt", name)}
	if _, err := os.Stat(t.Dir); err != nil {
		what := fmt.Sprintf("fetching %s of Debian unstable into the cache, once", name)
		if err := machine.AsRoot(ctx, what, unpackScript, root, name, strings.Join(packages, " "), strings.Join(alone, " ")); err != nil {
			return Tree{}, fmt.Errorf("%s of Debian unstable: %w", name, err)
		}
	}
	loaders, err := filepath.Glob(filepath.Join(root, "usr/lib/*-linux-gnu*/ld-linux*.so.*"))
	if err != nil || len(loaders) == 0 {
		return Tree{}, fmt.Errorf("no dynamic loader in %s: remove the folder to have it made anew", root)
	}
	t.loader = loaders[0]
	libs := filepath.Dir(t.loader)
	own := filepath.Join(t.Dir, strings.TrimPrefix(libs, root))
	t.libraries = strings.Join([]string{own, filepath.Join(t.Dir, "usr/lib"), libs}, ":")
	return t, nil
}

// Command runs a program of the tree, such as "usr/bin/mysql".
func (t Tree) Command(ctx context.Context, program string, args ...string) *exec.Cmd {
	argv := append(t.Argv(program), args...)
	return exec.CommandContext(ctx, argv[0], argv[1:]...)
}

// Argv is what runs a program of the tree, to be followed by its arguments.
func (t Tree) Argv(program string, libraries ...string) []string {
	path := strings.Join(append(libraries, t.libraries), ":")
	return []string{t.loader, "--library-path", path, filepath.Join(t.Dir, program)}
}
