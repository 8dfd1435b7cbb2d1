// SPDX-License-Identifier: Apache-2.0

package machine

import (
	"fmt"
	"os"
	"os/user"
	"strconv"
	"strings"
	"syscall"
)

// Account is a user that servers run as. A nil *Account is the current user.
type Account struct {
	Name     string
	UID, GID uint32
}

// Unprivileged returns the first of the named accounts that exists, for servers
// that refuse to run as root; or nil where the current user is unprivileged already.
func Unprivileged(names ...string) (*Account, error) {
	if os.Geteuid() != 0 {
		return nil, nil
	}
	for _, name := range names {
		u, err := user.Lookup(name)
		if err != nil {
			continue
		}
		uid, err := strconv.ParseUint(u.Uid, 10, 32)
		if err != nil {
			continue
		}
		gid, err := strconv.ParseUint(u.Gid, 10, 32)
		if err != nil {
			continue
		}
		return &Account{Name: name, UID: uint32(uid), GID: uint32(gid)}, nil
	}
	return nil, fmt.Errorf("the tests run as root, servers should not, and there is none of the users %s", strings.Join(names, ", "))
}

// Own makes the account the owner of a file.
func (a *Account) Own(file string) error {
	if a == nil {
		return nil
	}
	if err := os.Lchown(file, int(a.UID), int(a.GID)); err != nil {
		return fmt.Errorf("server's file: %w", err)
	}
	return nil
}

// WriteFile writes a file that only the account may read.
func (a *Account) WriteFile(file string, data []byte) error {
	if err := os.WriteFile(file, data, 0o600); err != nil {
		return fmt.Errorf("server's file: %w", err)
	}
	return a.Own(file)
}

func (a *Account) credential() *syscall.Credential {
	if a == nil {
		return nil
	}
	return &syscall.Credential{Uid: a.UID, Gid: a.GID}
}
