// SPDX-License-Identifier: Apache-2.0

//go:build linux

package main

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/rdsproxy/rdsproxy/test/bench/report"
	"github.com/rdsproxy/rdsproxy/test/bench/rig"
)

// bench is one run: what all of it shares, and what was measured.
type bench struct {
	tls   *rig.Identity
	as    *rig.Account
	calm  *patience
	say   func(string, ...any)
	found report.Collector
}

// contest is the two programs side by side in front of one kind of database.
type contest struct {
	engine engine
	ours   *side
	peer   *side
}

// stop ends both programs and their databases.
func (c *contest) stop() error {
	errs := []error{c.ours.stop(), c.peer.stop()}
	if db := c.ours.backend.Backend(); db != nil {
		errs = append(errs, db.Stop())
	}
	if db := c.peer.backend.Backend(); db != nil && db != c.ours.backend.Backend() {
		errs = append(errs, db.Stop())
	}
	return errors.Join(errs...)
}

// engine is a kind of database. The names of its figures begin with it.
type engine string

const (
	postgres engine = "pg"
	mysql    engine = "mysql"
)

// side is one of the two programs, with its running processes.
type side struct {
	label   string // ours or peer; its database users' names begin with it
	pooler  rig.Pooler
	backend rig.Setup // what it stands in front of; the user and the pool are those of a process
	alone   bool      // one process at a time: the database's limit is for all of them together
	running map[pool]*rig.Instance
}

// pool is what a process has towards the database.
type pool struct {
	size   int  // connections at most
	secure bool // see rig.Setup
	peer   int  // size of the peer's, if not 0
}

// own is the pool for this side.
func (s *side) own(p pool) pool {
	if s.label == "peer" && p.peer > 0 {
		p.size = p.peer
	}
	p.peer = 0
	return p
}

// users are the database users that the experiments need: one for each process that runs at a time, so that the database can tell whose
// connection is whose.
func users(experiments []experiment) []string {
	seen := map[string]bool{}
	var out []string
	for _, label := range []string{"ours", "peer"} {
		s := &side{label: label}
		names := []string{s.freshUser()}
		for _, e := range experiments {
			names = append(names, s.user(e.pool))
		}
		for _, name := range names {
			if !seen[name] {
				seen[name] = true
				out = append(out, name)
			}
		}
	}
	return out
}

func (s *side) freshUser() string { return s.label + "_fresh" }

func (s *side) user(p pool) string {
	p = s.own(p)
	name := fmt.Sprintf("%s_pool%d", s.label, p.size)
	if p.secure {
		name += "_tls"
	}
	return name
}

// shared gives the side's process with such a pool. It is started at the first call and lives until stop, or, where only one may run, until
// another one is asked for; one that has died is replaced (the measurement in which it died has failed, the others need not).
func (s *side) shared(ctx context.Context, p pool) (*rig.Instance, error) {
	p = s.own(p)
	if i := s.running[p]; i != nil {
		if i.Failed() == nil {
			return i, nil
		}
		delete(s.running, p)
		if err := i.Stop(); err != nil {
			return nil, err
		}
	}
	if s.alone {
		if err := s.stop(); err != nil {
			return nil, err
		}
	}
	i, err := s.start(ctx, s.user(p), p)
	if err != nil {
		return nil, err
	}
	if s.running == nil {
		s.running = make(map[pool]*rig.Instance)
	}
	s.running[p] = i
	return i, nil
}

// fresh starts a process for one measurement; the caller stops it.
func (s *side) fresh(ctx context.Context, p pool) (*rig.Instance, error) {
	if s.alone {
		if err := s.stop(); err != nil {
			return nil, err
		}
	}
	return s.start(ctx, s.freshUser(), s.own(p))
}

func (s *side) start(ctx context.Context, user string, p pool) (*rig.Instance, error) {
	setup := s.backend
	setup.User, setup.Pool, setup.Secure = user, p.size, p.secure
	return s.pooler.Start(ctx, setup)
}

// within checks that a process kept to its share of database connections: with more of them it would compare well, and wrongly.
func (s *side) within(ctx context.Context, i *rig.Instance) error {
	n, err := s.backend.Backend().Connections(ctx, i.User)
	if err == nil && n > i.Pool {
		return fmt.Errorf("%d database connections instead of %d at most", n, i.Pool)
	}
	return err
}

// stop ends the side's processes.
func (s *side) stop() error {
	var errs []error
	for _, i := range s.running {
		errs = append(errs, i.Stop())
	}
	s.running = nil
	return errors.Join(errs...)
}

// run measures round by round: in each round every experiment runs once on either side, one right after the other, so that whatever else
// the machine does at that time meets both. Which goes first changes from one to the next. An experiment that fails is left out from
// then on, and the run goes on; its error is in the result.
func (b *bench) run(ctx context.Context, c *contest, experiments []experiment) error {
	failed := make(map[string]error)
	var errs []error
	for round := 0; ; round++ {
		ran := false
		for k, e := range experiments {
			if round >= e.rounds || failed[e.name] != nil {
				continue
			}
			ran = true
			if err := b.pair(ctx, c, e, round, (round+k)%2 == 1); err != nil {
				if ctx.Err() != nil {
					return ctx.Err()
				}
				failed[e.name] = err
				errs = append(errs, fmt.Errorf("%s: %w", e.name, err))
				b.say("%s FAILED: %v", e.name, err)
			}
		}
		if !ran {
			return errors.Join(errs...)
		}
	}
}

// pair measures one experiment on both sides, again if it was disturbed, and notes the values.
func (b *bench) pair(ctx context.Context, c *contest, e experiment, round int, peerFirst bool) error {
	values, err := b.calm.try(ctx, func() ([2][]float64, error) { return c.both(ctx, e, peerFirst) })
	if err != nil {
		return err
	}
	var line strings.Builder
	fmt.Fprintf(&line, "round %d/%d  %-24s", round+1, e.rounds, e.name)
	for m, metric := range e.metrics {
		ours, peer := values[0][m], values[1][m]
		b.found.Add(e.figure(metric), metric.unit, c.peer.pooler.Name(), ours, peer)
		fmt.Fprintf(&line, "  %s %.4g | %.4g", metric.suffix, ours, peer)
	}
	b.say("%s", line.String())
	return nil
}

// both measures one experiment on either side, and gives our values and the peer's. What the database does by itself is measured behind them.
func (c *contest) both(ctx context.Context, e experiment, peerFirst bool) (values [2][]float64, err error) {
	sides, order := [2]*side{c.ours, c.peer}, []int{0, 1}
	if peerFirst {
		order = []int{1, 0}
	}
	for _, k := range order {
		if values[k], err = e.measure(ctx, sides[k]); err != nil {
			return values, fmt.Errorf("%s: %w", sides[k].pooler.Name(), err)
		}
	}
	if e.direct == nil {
		return values, nil
	}
	direct, err := e.direct(ctx, c.ours)
	for k := range values {
		values[k] = append(values[k], values[k][0]/direct)
	}
	return values, err
}

// estimate is how long the experiments will take, roughly.
func estimate(experiments []experiment) time.Duration {
	var sum time.Duration
	for _, e := range experiments {
		sum += time.Duration(e.rounds) * e.estimate
	}
	return sum.Round(10 * time.Second)
}
