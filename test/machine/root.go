// SPDX-License-Identifier: Apache-2.0

package machine

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"time"
)

// rootLimit bounds one script that runs as root.
const rootLimit = 10 * time.Minute

// AsRoot runs a shell script as root: directly, or by sudo where it needs no
// password or can ask for it on the terminal. what says for the user's eyes what
// will be done. The script sees args as $1, $2 and so on.
func AsRoot(ctx context.Context, what, script string, args ...string) error {
	shell, err := rootShell()
	if err != nil {
		return err
	}
	fmt.Fprintf(os.Stderr, "%s (needs root)\n", what)
	ctx, cancel := context.WithTimeout(ctx, rootLimit)
	defer cancel()
	argv := append(append(shell, "-c", "set -eu\nexport DEBIAN_FRONTEND=noninteractive\n"+script, "sh"), args...)
	cmd := exec.CommandContext(ctx, argv[0], argv[1:]...)
	cmd.Stdin = os.Stdin
	out := &tail{}
	cmd.Stdout, cmd.Stderr = out, out
	if err := cmd.Run(); err != nil {
		return &exitError{err, out.lines(15)}
	}
	return nil
}

func rootShell() ([]string, error) {
	if os.Geteuid() == 0 {
		return []string{"sh"}, nil
	}
	if _, err := exec.LookPath("sudo"); err != nil {
		return nil, errors.New("it is not installed, and installing it needs root")
	}
	if info, err := os.Stdin.Stat(); err == nil && info.Mode()&os.ModeCharDevice != 0 {
		return []string{"sudo", "sh"}, nil // may ask for the password
	}
	if err := exec.Command("sudo", "-n", "true").Run(); err != nil {
		return nil, errors.New("it is not installed, and installing it needs root (sudo asks for a password here)")
	}
	return []string{"sudo", "-n", "sh"}, nil
}

// AptInstall installs packages of the distribution and what they need, unless
// that would remove others.
func AptInstall(ctx context.Context, packages ...string) error {
	if _, err := exec.LookPath("apt-get"); err != nil {
		return errors.New("it is not installed, and this is not a system with apt-get")
	}
	cache, err := CacheDir()
	if err != nil {
		return err
	}
	unlock, err := LockCache(cache, "apt")
	if err != nil {
		return err
	}
	defer unlock()
	return AsRoot(ctx, fmt.Sprintf("installing %v with apt-get", packages), `
set -- -q -y -o DPkg::Lock::Timeout=300 --no-remove --no-install-recommends install "$@"
apt-get "$@" || { apt-get -q update; apt-get "$@"; }`, packages...)
}
