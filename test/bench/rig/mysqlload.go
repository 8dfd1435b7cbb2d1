// SPDX-License-Identifier: Apache-2.0

//go:build linux

package rig

import (
	"context"
	"fmt"
	"net"
	"os"
	"strconv"
	"time"

	"github.com/rdsproxy/rdsproxy/test/bench/measure"
	"github.com/rdsproxy/rdsproxy/test/bench/myload"
)

// MySQLLoad is one run of a load of MySQL.
type MySQLLoad struct {
	Work    myload.Work
	Clients int
	TLS     bool
	Warm    time.Duration // left out at the beginning
	For     time.Duration // measured
}

// Through runs the load against the instance and measures the instance's process meanwhile.
func (l MySQLLoad) Through(ctx context.Context, i *Instance) (measure.Throughput, error) {
	t, err := l.run(ctx, i.target(l.TLS, nil), i.PID(), i.Failed)
	if err != nil {
		return t, fmt.Errorf("load of %s: %w", i.name, err)
	}
	return t, nil
}

// Direct runs the load against the database, without anything between, and gives the queries per second. The server's certificate is that of id.
func (l MySQLLoad) Direct(ctx context.Context, m *MySQL, user string, id *Identity) (float64, error) {
	t := myload.Target{
		Addr: net.JoinHostPort("127.0.0.1", strconv.Itoa(m.Port)), User: user, Password: Password, Database: Database, TLS: id.clientTLS(l.TLS),
	}
	got, err := l.run(ctx, t, os.Getpid(), func() error { return nil })
	if err != nil {
		return 0, fmt.Errorf("load of the database itself: %w", err)
	}
	return got.PerSecond, nil
}

func (l MySQLLoad) run(ctx context.Context, t myload.Target, pid int, failed func() error) (measure.Throughput, error) {
	clients, err := l.login(ctx, t)
	if err != nil {
		return measure.Throughput{}, err
	}
	return watched(ctx, pid, failed, l.Warm, func() (measure.Trace, error) {
		return myload.Run(ctx, clients, l.Work, sbtest, l.Warm+l.For)
	})
}

// login logs the clients in. They are all closed when one fails.
func (l MySQLLoad) login(ctx context.Context, t myload.Target) ([]*myload.Conn, error) {
	ctx, cancel := context.WithTimeout(ctx, loginLimit)
	defer cancel()
	clients := make([]*myload.Conn, l.Clients)
	err := each(ctx, l.Clients, func(ctx context.Context, k int) error {
		c, err := myload.Open(ctx, t, l.Work, sbtest)
		clients[k] = c
		return err
	})
	if err == nil {
		return clients, nil
	}
	for _, c := range clients {
		if c != nil {
			_ = c.Close() // the run has failed already
		}
	}
	return nil, fmt.Errorf("login: %w", err)
}
