// SPDX-License-Identifier: Apache-2.0

package pgserver

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"time"
)

// aptLimit bounds one run of apt-get.
const aptLimit = 10 * time.Minute

// clusterConf is read by Debian's packages when they are installed.
const clusterConf = "/etc/postgresql-common/createcluster.conf"

// aptInstall installs the distribution's PostgreSQL where apt-get exists and the
// caller is root or may become it by sudo. The package would set up and start a
// server of its own; that is switched off for the installation, because only the
// programs are wanted.
func aptInstall(ctx context.Context) error {
	if _, err := exec.LookPath("apt-get"); err != nil {
		return errors.New("it is not installed, and this is not a system with apt-get")
	}
	root, err := becomeRoot()
	if err != nil {
		return err
	}
	dir, err := CacheDir()
	if err != nil {
		return err
	}
	unlock, err := lockCache(dir, "apt")
	if err != nil {
		return err
	}
	defer unlock()

	fmt.Fprintln(os.Stderr, "pgserver: PostgreSQL is missing; installing the distribution's package with apt-get (needs root)")
	script := `set -e
export DEBIAN_FRONTEND=noninteractive
get() {
    set -- -q -y -o DPkg::Lock::Timeout=300 install --no-install-recommends "$@"
    apt-get "$@" || { apt-get -q update; apt-get "$@"; }
}
get postgresql-common
conf=` + clusterConf + `
if [ -f "$conf" ]; then
    cp -p "$conf" "$conf.rdsproxy"
    trap 'mv "$conf.rdsproxy" "$conf"' EXIT
    printf '\ncreate_main_cluster = false\n' >>"$conf"
fi
get postgresql postgresql-client
`
	return root.run(ctx, script)
}

// aptInstallNode installs npm.
func aptInstallNode(ctx context.Context) error {
	root, err := becomeRoot()
	if err != nil {
		return err
	}
	fmt.Fprintln(os.Stderr, "pgserver: npm is missing; installing the distribution's package with apt-get (needs root)")
	return root.run(ctx, `set -e
export DEBIAN_FRONTEND=noninteractive
set -- -q -y -o DPkg::Lock::Timeout=300 install --no-install-recommends npm
apt-get "$@" || { apt-get -q update; apt-get "$@"; }
`)
}

// rootShell is a command that runs a script as root.
type rootShell []string

func becomeRoot() (rootShell, error) {
	if os.Geteuid() == 0 {
		return rootShell{"sh", "-c"}, nil
	}
	if _, err := exec.LookPath("sudo"); err != nil {
		return nil, errors.New("it is not installed, and installing it needs root")
	}
	if info, err := os.Stdin.Stat(); err == nil && info.Mode()&os.ModeCharDevice != 0 {
		return rootShell{"sudo", "sh", "-c"}, nil // may ask for the password
	}
	if err := exec.Command("sudo", "-n", "true").Run(); err != nil {
		return nil, errors.New("it is not installed, and installing it needs root (sudo asks for a password here)")
	}
	return rootShell{"sudo", "-n", "sh", "-c"}, nil
}

func (r rootShell) run(ctx context.Context, script string) error {
	ctx, cancel := context.WithTimeout(ctx, aptLimit)
	defer cancel()
	cmd := exec.CommandContext(ctx, r[0], append(r[1:len(r):len(r)], script)...)
	cmd.Stdin = os.Stdin
	out, err := cmd.CombinedOutput()
	if err != nil {
		return fmt.Errorf("apt-get failed: %w\n%s", err, lastLines(string(out), 15))
	}
	return nil
}

// lastLines returns the end of a program's output, which is where it says why it failed.
func lastLines(s string, n int) string {
	lines := strings.Split(strings.TrimRight(s, "\n"), "\n")
	return strings.Join(lines[max(len(lines)-n, 0):], "\n")
}
