// SPDX-License-Identifier: Apache-2.0

//go:build linux

package rig

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"time"

	"github.com/jackc/pgx/v5/pgconn"

	"github.com/rdsproxy/rdsproxy/test/certs"
)

// Pooler is a program under test.
type Pooler interface {
	// Name is the program's name with its version, as it stands in the results.
	Name() string
	// Start runs one process of it in front of the cluster and returns when it takes logins.
	Start(ctx context.Context, s Setup) (*Instance, error)
}

// Setup is what both programs are told: the same for both, but for the user, which tells their database connections apart.
type Setup struct {
	Postgres *Postgres
	TLS      *Identity
	As       *Account
	User     string // role that clients log in with, and that the pooler uses towards the database
	Pool     int    // database connections at most
}

// Identity is the certificate that a pooler shows to its clients, with the authority that signed it.
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
	tls  *Identity
	dir  *Space
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
	i := &Instance{Port: port, User: s.User, tls: s.TLS, dir: dir}
	var err error
	if i.Child, err = Start(p); err != nil {
		return nil, errors.Join(err, dir.Remove())
	}
	err = i.Await(ctx, 15*time.Second, func(ctx context.Context) error {
		c, err := i.Dialer(false, nil)(ctx)
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

// Dialer gives a function that logs in to the instance, with TLS or without. source is the local address to come from; nil leaves that to the kernel.
func (i *Instance) Dialer(withTLS bool, source net.IP) func(context.Context) (*pgconn.PgConn, error) {
	return func(ctx context.Context) (*pgconn.PgConn, error) {
		// sslmode and the rest are set so that no variable of the environment and no file in the home folder has a say.
		cfg, err := pgconn.ParseConfig(fmt.Sprintf("host=127.0.0.1 port=%d user=%s password=%s dbname=%s sslmode=disable connect_timeout=30",
			i.Port, i.User, Password, Database))
		if err != nil {
			return nil, err
		}
		cfg.RuntimeParams = map[string]string{}
		if withTLS {
			cfg.TLSConfig = &tls.Config{RootCAs: i.tls.Authority.Pool(), ServerName: "localhost", MinVersion: tls.VersionTLS12}
		}
		d := &net.Dialer{}
		if source != nil {
			d.LocalAddr = &net.TCPAddr{IP: source}
		}
		cfg.DialFunc = d.DialContext
		return pgconn.ConnectConfig(ctx, cfg)
	}
}
