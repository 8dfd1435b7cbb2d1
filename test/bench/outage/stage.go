// SPDX-License-Identifier: Apache-2.0

//go:build linux

package outage

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"time"

	"github.com/rdsproxy/rdsproxy/test/bench/rig"
	"github.com/rdsproxy/rdsproxy/test/dnsserver"
	"github.com/rdsproxy/rdsproxy/test/replicas"
	"github.com/rdsproxy/rdsproxy/test/writers"
)

// Programs are what clients may go through.
type Programs struct {
	RDSProxy  string         // path
	PgBouncer *rig.PgBouncer // nil: is not compared with
	As        *rig.Account
}

// Way is how a crowd comes to the writer.
type Way string

// The ways.
const (
	Proxy     Way = "rdsproxy"
	Driver    Way = "driver"
	PgBouncer Way = "PgBouncer"
)

// Stage is a cluster and the ways to it.
type Stage struct {
	cluster *replicas.Cluster
	dns     *dnsserver.Server
	proxies []*proxy
	crowds  []crowd
	clients int // so far
}

// crowd are clients that go one way.
type crowd struct {
	way  Way
	load writers.Load
}

// Clients of a crowd, the time between two writes of each, and how often one that has
// lost its connection tries to get another.
const (
	crowdSize = 20
	think     = 100 * time.Millisecond
	reconnect = 50 * time.Millisecond
)

// Open starts a cluster and what stands in front of it. The caller must Close it.
func Open(ctx context.Context, e replicas.Engine, p Programs) (_ *Stage, err error) {
	s := &Stage{}
	defer func() {
		if err != nil {
			err = errors.Join(err, s.Close())
		}
	}()
	if s.cluster, err = replicas.Launch(ctx, replicas.Options{Engine: e, Synchronous: true}); err != nil {
		return nil, err
	}
	if err := s.serveName(); err != nil {
		return nil, err
	}
	if err := s.openWays(ctx, p); err != nil {
		return nil, err
	}
	conn, err := s.crowds[0].load.Dial(ctx)
	if err != nil {
		return nil, err
	}
	defer conn.Close()
	return s, conn.Run(ctx, writers.CreateTable)
}

// serveName starts the DNS server, on the port that resolvers ask if that is allowed.
func (s *Stage) serveName() (err error) {
	port := 0
	if os.Geteuid() == 0 {
		port = 53
	}
	host := fmt.Sprintf("127.%d.%d.53", 20+rand.IntN(200), rand.IntN(256))
	if s.dns, err = dnsserver.Launch(host, port); err != nil {
		return err
	}
	return s.pointName()
}

// pointName has the name lead to the writer.
func (s *Stage) pointName() error { return s.dns.Set(writerName, ttl, s.cluster.Writer().Host) }

func (s *Stage) openWays(ctx context.Context, p Programs) error {
	ours, err := launchRDSProxy(p.As, p.RDSProxy, s.cluster)
	if err != nil {
		return err
	}
	s.proxies = append(s.proxies, ours)
	if err := s.add(ctx, Proxy, ours, nil); err != nil {
		return err
	}
	if p.PgBouncer != nil && s.cluster.Engine == replicas.PostgreSQL && os.Geteuid() == 0 { // for port 53
		theirs, err := launchPgBouncer(p.As, p.PgBouncer, s.cluster, s.dns)
		if err != nil {
			return err
		}
		s.proxies = append(s.proxies, theirs)
		if err := s.add(ctx, PgBouncer, theirs, nil); err != nil {
			return err
		}
	}
	return s.add(ctx, Driver, nil, &lookUps{dns: s.dns})
}

// add makes a crowd. Clients of rdsproxy never reconnect.
func (s *Stage) add(ctx context.Context, w Way, p *proxy, l *lookUps) error {
	c := crowd{w, writers.Load{Clients: crowdSize, Think: think, Judge: writers.JudgePostgres, Reconnect: reconnect}}
	if s.cluster.Engine != replicas.PostgreSQL {
		c.load.Judge = writers.JudgeMySQL
	}
	if w == Proxy {
		c.load.Reconnect = 0
	}
	if p == nil {
		c.load.Dial = connect(s.cluster, s.cluster.Writer().Addr(), l.dial)
		s.crowds = append(s.crowds, c)
		return nil
	}
	c.load.Dial = connect(s.cluster, p.addr, nil)
	s.crowds = append(s.crowds, c)
	return p.Await(ctx, startLimit, func(ctx context.Context) error {
		conn, err := c.load.Dial(ctx)
		if err != nil {
			return err
		}
		defer conn.Close()
		return conn.Run(ctx, "SELECT 1")
	})
}

// Close stops all of it.
func (s *Stage) Close() error {
	var errs []error
	for _, p := range s.proxies {
		errs = append(errs, p.close())
	}
	if s.dns != nil {
		errs = append(errs, s.dns.Close())
	}
	if s.cluster != nil {
		errs = append(errs, s.cluster.Close())
	}
	return errors.Join(errs...)
}
