// SPDX-License-Identifier: Apache-2.0

package pgserver

import (
	"fmt"
	"os"
	"os/user"
	"strconv"
)

// runUser is the account that servers run as, because PostgreSQL refuses root.
type runUser struct {
	name     string
	uid, gid uint32
}

// serverUser returns the account to switch to, or nil where the current user is
// unprivileged already.
func serverUser() (*runUser, error) {
	if os.Geteuid() != 0 {
		return nil, nil
	}
	for _, name := range []string{"postgres", "nobody"} {
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
		return &runUser{name: name, uid: uint32(uid), gid: uint32(gid)}, nil
	}
	return nil, fmt.Errorf("PostgreSQL does not run as root, and there is neither a user postgres nor nobody to run it as")
}
