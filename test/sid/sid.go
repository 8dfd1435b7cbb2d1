// SPDX-License-Identifier: Apache-2.0

// Package sid has programs of Debian unstable, and of releases of Ubuntu, run on
// whatever Linux this is, without touching it: servers for tests that are newer, or
// older, than the distribution's.
//
// The cache folder holds one small system of each ("sid") that debootstrap made, and in
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

// Suite is a release of a distribution.
type Suite struct {
	name string
	// mirror and components are where its packages are, script what debootstrap
	// treats it as. keyring is the package of Debian unstable that has its keys.
	// With updates, its packages are those of the point releases.
	mirror, components, script, keyring string
	updates                             bool
}

// The suites that can be had.
var (
	Sid      = Suite{name: "sid", components: "main"}
	Jammy    = ubuntu("jammy")    // Ubuntu 22.04
	Resolute = ubuntu("resolute") // Ubuntu 26.04
)

func ubuntu(name string) Suite {
	return Suite{
		name: name, mirror: "http://archive.ubuntu.com/ubuntu", components: "main,universe", script: "jammy",
		keyring: "ubuntu-keyring", updates: true,
	}
}

// String is the name of the release.
func (s Suite) String() string {
	if s.name == Sid.name {
		return "Debian unstable"
	}
	return "Ubuntu " + s.name
}

// unpackScript makes the small system $1 if it is missing, and the tree $2 in it,
// with the packages $3 and everything that they need, and the packages $4 alone.
// Each is put in its place when it is complete. No script of a package is run,
// except those of the small system, which is of the suite $5 with the components $6;
// $7, $8 and $9 are mirror, script and keyring, or empty, and ${10} is "updates" if
// the suite has updates.
const unpackScript = `
root=$1 tree=$2 packages=$3 alone=$4 suite=$5 components=$6 mirror=$7 script=$8 keyring=$9 updates=${10}
# The lists that debootstrap left may have grown old: then newer ones, whatever the clock says.
lazy='-o Acquire::Check-Valid-Until=false -o Acquire::Check-Date=false'
if ! [ -d "$root" ]; then
    command -v debootstrap >/dev/null || {
        set -- -q -y -o DPkg::Lock::Timeout=300 --no-remove --no-install-recommends install debootstrap debian-archive-keyring
        apt-get "$@" || { apt-get -q update; apt-get "$@"; }
    }
    rm -rf "$root.part"
    debootstrap --variant=minbase --components="$components" ${keyring:+"--keyring=$keyring"} "$suite" "$root.part" $mirror $script >&2
    chroot "$root.part" apt-get clean
    if [ "$updates" ]; then
        echo "deb $mirror $suite-updates" $(echo "$components" | tr , ' ') >>"$root.part/etc/apt/sources.list"
        chroot "$root.part" apt-get -q $lazy update
    fi
    mv "$root.part" "$root"
fi
get() { chroot "$root" apt-get -q -y --no-install-recommends "$@"; }
chroot "$root" apt-get clean
get --download-only install $packages || { get $lazy update; get --download-only install $packages; }
archives=$root/var/cache/apt/archives
for p in $alone; do
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

// Unpack returns the tree of that name of Debian unstable, and makes it on first
// use: of packages with all they depend on, and of the packages alone.
func Unpack(ctx context.Context, name string, packages, alone []string) (Tree, error) {
	return Sid.Unpack(ctx, name, packages, alone)
}

// Unpack is the same for a suite.
func (s Suite) Unpack(ctx context.Context, name string, packages, alone []string) (Tree, error) {
	if runtime.GOOS != "linux" {
		return Tree{}, errors.New("programs of Debian run on Linux only")
	}
	cache, err := machine.CacheDir()
	if err != nil {
		return Tree{}, err
	}
	unlock, err := machine.LockCache(cache, s.name)
	if err != nil {
		return Tree{}, err
	}
	defer unlock()
	root := filepath.Join(cache, s.name)
	t := Tree{Dir: filepath.Join(root, "opt", name)}
	if _, err := os.Stat(t.Dir); err != nil {
		if err := s.make(ctx, root, name, packages, alone); err != nil {
			return Tree{}, fmt.Errorf("%s of %s: %w", name, s, err)
		}
	}
	return t.withLoader(root)
}

// make makes a tree.
func (s Suite) make(ctx context.Context, root, name string, packages, alone []string) error {
	keys, err := s.keys(ctx)
	if err != nil {
		return err
	}
	updates := ""
	if s.updates {
		updates = "updates"
	}
	return machine.AsRoot(ctx, fmt.Sprintf("fetching %s of %s into the cache, once", name, s), unpackScript, root, name,
		strings.Join(packages, " "), strings.Join(alone, " "), s.name, s.components, s.mirror, s.script, keys, updates)
}

// keys gives the file with the keys of the suite's archive, "" for the machine's own.
func (s Suite) keys(ctx context.Context) (string, error) {
	if s.keyring == "" {
		return "", nil
	}
	t, err := Unpack(ctx, s.keyring, []string{s.keyring}, nil)
	return filepath.Join(t.Dir, "usr/share/keyrings", strings.TrimSuffix(s.keyring, "-keyring")+"-archive-keyring.gpg"), err
}

// withLoader finds what starts the programs.
func (t Tree) withLoader(root string) (Tree, error) {
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
