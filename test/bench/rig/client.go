// SPDX-License-Identifier: Apache-2.0

//go:build linux

package rig

import (
	"context"
	"crypto/tls"
	"fmt"
	"net"
	"strconv"

	"github.com/go-mysql-org/go-mysql/client"
	"github.com/jackc/pgx/v5/pgconn"

	"github.com/rdsproxy/rdsproxy/test/bench/myload"
)

// Client has logged in.
type Client interface {
	// Query runs a query that costs the database next to nothing.
	Query(ctx context.Context) error
	// Close logs out.
	Close(ctx context.Context) error
	// Socket is what remains when the client is forgotten and stays connected.
	Socket() net.Conn
}

// Login logs in to the instance, with TLS or without. source is the local address to come from; nil leaves that to the kernel.
func (i *Instance) Login(ctx context.Context, withTLS bool, source net.IP) (Client, error) {
	if i.mysql {
		c, err := myload.Login(ctx, i.target(withTLS, source))
		return mysqlClient{c}, err
	}
	c, err := i.loginPostgres(ctx, withTLS, source)
	return postgresClient{c}, err
}

// clientTLS is what a client verifies a certificate with, nil without TLS.
func (id *Identity) clientTLS(withTLS bool) *tls.Config {
	if !withTLS {
		return nil
	}
	return &tls.Config{RootCAs: id.Authority.Pool(), ServerName: "localhost", MinVersion: tls.VersionTLS12}
}

func (i *Instance) loginPostgres(ctx context.Context, withTLS bool, source net.IP) (*pgconn.PgConn, error) {
	// sslmode and the rest are set so that no variable of the environment and no file in the home folder has a say.
	cfg, err := pgconn.ParseConfig(fmt.Sprintf("host=127.0.0.1 port=%d user=%s password=%s dbname=%s sslmode=disable connect_timeout=30",
		i.Port, i.User, Password, Database))
	if err != nil {
		return nil, err
	}
	cfg.RuntimeParams = map[string]string{}
	cfg.TLSConfig = i.tls.clientTLS(withTLS)
	d := &net.Dialer{}
	if source != nil {
		d.LocalAddr = &net.TCPAddr{IP: source}
	}
	cfg.DialFunc = d.DialContext
	return pgconn.ConnectConfig(ctx, cfg)
}

// target is where MySQL's clients find the instance.
func (i *Instance) target(withTLS bool, source net.IP) myload.Target {
	return myload.Target{
		Addr: net.JoinHostPort("127.0.0.1", strconv.Itoa(i.Port)), User: i.User, Password: Password, Database: Database,
		TLS: i.tls.clientTLS(withTLS), Source: source,
	}
}

type postgresClient struct{ c *pgconn.PgConn }

func (p postgresClient) Query(ctx context.Context) error { return p.c.Exec(ctx, "SELECT 1").Close() }
func (p postgresClient) Close(ctx context.Context) error { return p.c.Close(ctx) }
func (p postgresClient) Socket() net.Conn                { return p.c.Conn() }

type mysqlClient struct{ c *client.Conn }

func (m mysqlClient) Query(context.Context) error {
	r, err := m.c.Execute("SELECT 1")
	if err != nil {
		return err
	}
	r.Close()
	return nil
}

func (m mysqlClient) Close(context.Context) error { return m.c.Quit() }
func (m mysqlClient) Socket() net.Conn            { return m.c.Conn.Conn }
