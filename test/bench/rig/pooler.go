// SPDX-License-Identifier: Apache-2.0

//go:build linux

package rig

import (
	"context"
	"errors"
	"time"

	"github.com/rdsproxy/rdsproxy/test/certs"
)

// Pooler is a program under test.
type Pooler interface {
	// Name is the program's name with its version, as it stands in the results.
	Name() string
	// Start runs one process of it in front of the database and returns when it takes logins.
	Start(ctx context.Context, s Setup) (*Instance, error)
}

// Setup is what both programs are told: the same for both, but for the user, which tells their database connections apart. One of Postgres and
// MySQL is set.
type Setup struct {
	Postgres *Postgres
	MySQL    *MySQL
	TLS      *Identity
	As       *Account
	User     string // that clients log in with, and that the pooler uses towards the database
	Pool     int    // database connections at most
	// Secure has it that MySQL's connections are encrypted on both sides. Without, those to the database are plain, as PostgreSQL's always are, and
	// clients may do as they like.
	Secure bool
}

// Backend is what a pooler stands in front of.
type Backend interface {
	// Connections counts the connections that a user has open now.
	Connections(ctx context.Context, user string) (int, error)
	// Stop ends the server and removes its data.
	Stop() error
}

// Backend is the one that is set, nil if none is.
func (s Setup) Backend() Backend {
	switch {
	case s.MySQL != nil:
		return s.MySQL
	case s.Postgres != nil:
		return s.Postgres
	}
	return nil
}

// Identity is the certificate that a pooler shows to its clients, and MySQL to the pooler, with the authority that signed it.
type Identity struct {
	Authority *certs.Authority
	Server    certs.Pair
}

// NewIdentity makes an authority and a certificate for localhost, both with P-256 keys and valid for a day.
func NewIdentity() (*Identity, error) {
	a, err := certs.NewAuthority("rdsproxy benchmark")
	if err != nil {
		return nil, err
	}
	pair, err := a.Issue(certs.Request{})
	return &Identity{Authority: a, Server: pair}, err
}

// Instance is a running pooler.
type Instance struct {
	*Child
	Port int
	User string
	Pool int // database connections at most

	mysql bool
	tls   *Identity
	dir   *Space
}

// Stop ends the process and removes its folder.
func (i *Instance) Stop() error {
	if i.Child != nil {
		i.Child.Stop()
	}
	return i.dir.Remove()
}

// run starts the program, waits until it lets the user in, and wraps both into an instance that owns dir.
func run(ctx context.Context, s Setup, dir *Space, port int, p Program) (*Instance, error) {
	i := &Instance{Port: port, User: s.User, Pool: s.Pool, mysql: s.MySQL != nil, tls: s.TLS, dir: dir}
	var err error
	if i.Child, err = Start(p); err != nil {
		return nil, errors.Join(err, dir.Remove())
	}
	err = i.Await(ctx, 15*time.Second, func(ctx context.Context) error {
		c, err := i.Login(ctx, s.Secure, nil)
		if err != nil {
			return err
		}
		return c.Close(ctx)
	})
	if err != nil {
		return nil, errors.Join(err, i.Stop())
	}
	return i, nil
}
