// SPDX-License-Identifier: Apache-2.0

//go:build linux

package myload

import (
	"context"
	"crypto/tls"
	"encoding/binary"
	"errors"
	"net"
	"strings"
	"time"

	"github.com/go-mysql-org/go-mysql/client"
	gomysql "github.com/go-mysql-org/go-mysql/mysql"

	"github.com/rdsproxy/rdsproxy/pkg/netloop"
	"github.com/rdsproxy/rdsproxy/pkg/wire/mysql"
)

// Target is where clients log in, and how.
type Target struct {
	Addr, User, Password, Database string
	TLS                            *tls.Config // nil for none
	Source                         net.IP      // local address to come from; nil leaves that to the kernel
}

// Conn is a client that has logged in and has no query under way.
type Conn struct {
	transport *netloop.Transport
	tls       *tls.Conn // nil without TLS
	statement uint32    // of Prepared
}

// Login logs in, with the database's own method, for queries by go-mysql.
func Login(ctx context.Context, t Target) (*client.Conn, error) {
	conn, c, err := login(ctx, t)
	if err != nil {
		return nil, err
	}
	return c, conn.transport.SetDeadline(time.Time{})
}

// login leaves the deadline of ctx set.
func login(ctx context.Context, t Target) (*Conn, *client.Conn, error) {
	conn := &Conn{}
	dial := func(ctx context.Context, network, address string) (net.Conn, error) {
		d := &net.Dialer{}
		if t.Source != nil {
			d.LocalAddr = &net.TCPAddr{IP: t.Source}
		}
		nc, err := d.DialContext(ctx, network, address)
		if err != nil {
			return nil, err
		}
		if deadline, ok := ctx.Deadline(); ok {
			if err := nc.SetDeadline(deadline); err != nil {
				return nil, errors.Join(err, nc.Close())
			}
		}
		conn.transport = netloop.NewTransport(nc)
		return conn.transport, nil
	}
	c, err := client.ConnectWithDialer(ctx, "tcp", t.Addr, t.User, t.Password, t.Database, dial, func(c *client.Conn) error {
		c.UnsetCapability(gomysql.CLIENT_QUERY_ATTRIBUTES) // queries are written without them
		c.SetTLSConfig(t.TLS)
		return nil
	})
	if err != nil {
		return nil, nil, err
	}
	conn.tls, _ = c.Conn.Conn.(*tls.Conn)
	return conn, c, nil
}

// Open logs a client in that is to do the work.
func Open(ctx context.Context, t Target, w Work, table Table) (*Conn, error) {
	c, m, err := login(ctx, t)
	if err != nil {
		return nil, err
	}
	if w == Prepared {
		err = c.prepare(m, table)
	}
	if err = errors.Join(err, c.transport.SetDeadline(time.Time{})); err != nil {
		return nil, errors.Join(err, c.Close())
	}
	return c, nil
}

// prepare prepares the statement of Prepared on a client that has just logged in.
func (c *Conn) prepare(m *client.Conn, t Table) error {
	m.ResetSequence()
	text := t.preparedText()
	packet := mysql.AppendHeader(nil, 1+len(text), 0)
	if err := m.WritePacket(append(append(packet, byte(mysql.ComStmtPrepare)), text...)); err != nil {
		return err
	}
	p, err := m.ReadPacket()
	if err != nil {
		return err
	}
	// One parameter and one column are announced, and follow, each with an EOF packet behind it where such are still in use.
	if len(p) < 12 || p[0] != mysql.HeadOK || p[5] != 1 || p[7] != 1 {
		return errors.New("the statement cannot be prepared")
	}
	c.statement = binary.LittleEndian.Uint32(p[1:])
	follow := 4
	if strings.Contains(m.CapabilityString(), gomysql.CapNames[gomysql.CLIENT_DEPRECATE_EOF]) {
		follow = 2
	}
	for range follow {
		if _, err := m.ReadPacket(); err != nil {
			return err
		}
	}
	return nil
}

// Close closes the socket without a word of goodbye.
func (c *Conn) Close() error { return c.transport.Close() }
