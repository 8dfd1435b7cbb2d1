// SPDX-License-Identifier: Apache-2.0

package pgserver

import (
	"context"
	"errors"
	"os/exec"

	"github.com/rdsproxy/rdsproxy/test/machine"
)

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
	dir, err := machine.CacheDir()
	if err != nil {
		return err
	}
	unlock, err := machine.LockCache(dir, "apt")
	if err != nil {
		return err
	}
	defer unlock()

	script := `
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
	return machine.AsRoot(ctx, "pgserver: PostgreSQL is missing; installing the distribution's package with apt-get", script)
}

// aptInstallNode installs npm.
func aptInstallNode(ctx context.Context) error {
	return machine.AptInstall(ctx, "npm")
}
