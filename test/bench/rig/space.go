// SPDX-License-Identifier: Apache-2.0

//go:build linux

package rig

import (
	"errors"
	"os"
	"os/user"
	"path/filepath"
	"strconv"
	"syscall"
)

// Account is the unprivileged user that servers run as. A nil Account is the present user.
type Account struct{ UID, GID uint32 }

// Unprivileged finds the user to run servers as: the present one, or, for root (PostgreSQL and PgBouncer refuse to run as root), the first
// of postgres and nobody that exists.
func Unprivileged() (*Account, error) {
	if os.Geteuid() != 0 {
		return nil, nil
	}
	for _, name := range []string{"postgres", "nobody"} {
		u, err := user.Lookup(name)
		if err != nil {
			continue
		}
		uid, err1 := strconv.ParseUint(u.Uid, 10, 32)
		gid, err2 := strconv.ParseUint(u.Gid, 10, 32)
		if err := errors.Join(err1, err2); err != nil {
			return nil, err
		}
		return &Account{UID: uint32(uid), GID: uint32(gid)}, nil
	}
	return nil, errors.New("running as root, and there is no user postgres or nobody to run servers as")
}

func (a *Account) credential() *syscall.Credential {
	if a == nil {
		return nil
	}
	return &syscall.Credential{Uid: a.UID, Gid: a.GID}
}

// Space is a temporary folder that belongs to the account servers run as.
type Space struct {
	Dir string
	as  *Account
}

// NewSpace makes a folder below parent ("" for the system's place for temporary files).
func NewSpace(parent string, as *Account) (*Space, error) {
	dir, err := os.MkdirTemp(parent, "rdsproxy-bench-")
	if err != nil {
		return nil, err
	}
	s := &Space{Dir: dir, as: as}
	if err := s.give(dir); err != nil {
		return nil, errors.Join(err, s.Remove())
	}
	return s, nil
}

// Remove deletes the folder and all that is in it.
func (s *Space) Remove() error { return os.RemoveAll(s.Dir) }

// Path is the path of a name inside the folder.
func (s *Space) Path(name string) string { return filepath.Join(s.Dir, name) }

// Write creates a file that only the account can read, and returns its path.
func (s *Space) Write(name string, content []byte) (string, error) {
	path := s.Path(name)
	if err := os.WriteFile(path, content, 0o600); err != nil {
		return "", err
	}
	return path, s.give(path)
}

func (s *Space) give(path string) error {
	if s.as == nil {
		return nil
	}
	return os.Chown(path, int(s.as.UID), int(s.as.GID))
}

// RaiseOpenFiles lifts the limit of open files to what is allowed, for this program and for the children it starts from now on (the
// language's runtime otherwise gives children back the limit it found), and returns the limit.
func RaiseOpenFiles() (uint64, error) {
	var l syscall.Rlimit
	if err := syscall.Getrlimit(syscall.RLIMIT_NOFILE, &l); err != nil {
		return 0, err
	}
	l.Cur = l.Max
	return l.Cur, syscall.Setrlimit(syscall.RLIMIT_NOFILE, &l)
}
