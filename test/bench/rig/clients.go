// SPDX-License-Identifier: Apache-2.0

//go:build linux

package rig

import (
	"context"
	"fmt"
	"net"
	"sync/atomic"

	"golang.org/x/sync/errgroup"
)

// source gives the n-th client's address: some thousands to each address of 127.0.0.0/8, because an address has 28,000 ports at most, and
// those of closed connections rest for a minute.
func source(n int) net.IP {
	const perAddress = 2000
	return net.IPv4(127, 0, 1, byte(1+n/perAddress%250))
}

// LoginsTogether is how many clients log in at the same time.
const LoginsTogether = 16

// Park logs n clients in, lets each run one query, and gives their sockets back, connected and idle. It closes them all when it fails.
func Park(ctx context.Context, i *Instance, n int, withTLS bool) ([]net.Conn, error) {
	conns := make([]net.Conn, n)
	err := each(ctx, n, func(ctx context.Context, k int) error {
		c, err := i.Login(ctx, withTLS, source(k))
		if err != nil {
			return err
		}
		conns[k] = c.Socket()
		return c.Query(ctx)
	})
	if err != nil {
		HangUp(conns)
		return nil, fmt.Errorf("idle clients of %s: %w", i.name, err)
	}
	return conns, nil
}

// HangUp closes the sockets of clients without a word of goodbye. Nil entries are passed over.
func HangUp(conns []net.Conn) {
	for _, c := range conns {
		if c != nil {
			_ = c.Close() // the proxy may have closed it already
		}
	}
}

// each calls f for 0 to n-1, without end if n is negative, from a few goroutines, until the first error.
func each(ctx context.Context, n int, f func(ctx context.Context, k int) error) error {
	g, ctx := errgroup.WithContext(ctx)
	var next atomic.Int64
	for range LoginsTogether {
		g.Go(func() error {
			for {
				k := int(next.Add(1)) - 1
				if n >= 0 && k >= n {
					return nil
				}
				if err := f(ctx, k); err != nil {
					return err
				}
			}
		})
	}
	return g.Wait()
}
