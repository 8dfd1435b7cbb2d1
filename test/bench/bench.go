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

// bench is one run: the database, the two programs side by side, and what was measured.
type bench struct {
	pg    *rig.Postgres
	tls   *rig.Identity
	as    *rig.Account
	ours  *side
	peer  *side
	calm  *patience
	say   func(string, ...any)
	found report.Collector
}

// side is one of the two programs, with its running processes.
type side struct {
	label  string // ours or peer; its database roles' names begin with it
	pooler rig.Pooler
	pools  map[int]*rig.Instance // by number of database connections
}

// roles are the database roles that the experiments need: one for each process that runs at a time, so that the database can tell whose
// connection is whose.
func roles(experiments []experiment) []string {
	seen := map[string]bool{}
	var out []string
	for _, label := range []string{"ours", "peer"} {
		for _, name := range append([]string{freshRole(label)}, poolRoles(label, experiments)...) {
			if !seen[name] {
				seen[name] = true
				out = append(out, name)
			}
		}
	}
	return out
}

func poolRoles(label string, experiments []experiment) []string {
	var out []string
	for _, e := range experiments {
		out = append(out, poolRole(label, e.pool))
	}
	return out
}

func freshRole(label string) string          { return label + "_fresh" }
func poolRole(label string, pool int) string { return fmt.Sprintf("%s_pool%d", label, pool) }

// shared gives the side's process with that many database connections. It is started at the first call and lives until stop; one that has
// died is replaced (the measurement in which it died has failed, the others need not).
func (s *side) shared(ctx context.Context, b *bench, pool int) (*rig.Instance, error) {
	if i := s.pools[pool]; i != nil {
		if i.Failed() == nil {
			return i, nil
		}
		delete(s.pools, pool)
		if err := i.Stop(); err != nil {
			return nil, err
		}
	}
	i, err := s.start(ctx, b, poolRole(s.label, pool), pool)
	if err != nil {
		return nil, err
	}
	if s.pools == nil {
		s.pools = make(map[int]*rig.Instance)
	}
	s.pools[pool] = i
	return i, nil
}

// fresh starts a process for one measurement; the caller stops it.
func (s *side) fresh(ctx context.Context, b *bench, pool int) (*rig.Instance, error) {
	return s.start(ctx, b, freshRole(s.label), pool)
}

func (s *side) start(ctx context.Context, b *bench, role string, pool int) (*rig.Instance, error) {
	return s.pooler.Start(ctx, rig.Setup{Postgres: b.pg, TLS: b.tls, As: b.as, User: role, Pool: pool})
}

// stop ends the side's processes.
func (s *side) stop() error {
	var errs []error
	for _, i := range s.pools {
		errs = append(errs, i.Stop())
	}
	s.pools = nil
	return errors.Join(errs...)
}

// run measures round by round: in each round every experiment runs once on either side, one right after the other, so that whatever else
// the machine does at that time meets both. Which goes first changes from one to the next. An experiment that fails is left out from
// then on, and the run goes on; its error is in the result.
func (b *bench) run(ctx context.Context, experiments []experiment) error {
	failed := make(map[string]error)
	var errs []error
	for round := 0; ; round++ {
		ran := false
		for k, e := range experiments {
			if round >= e.rounds || failed[e.name] != nil {
				continue
			}
			ran = true
			if err := b.pair(ctx, e, round, (round+k)%2 == 1); err != nil {
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
func (b *bench) pair(ctx context.Context, e experiment, round int, peerFirst bool) error {
	values, err := b.calm.try(ctx, func() ([2][]float64, error) { return b.both(ctx, e, peerFirst) })
	if err != nil {
		return err
	}
	var line strings.Builder
	fmt.Fprintf(&line, "round %d/%d  %-24s", round+1, e.rounds, e.name)
	for m, metric := range e.metrics {
		ours, peer := values[0][m], values[1][m]
		b.found.Add(e.figure(metric), metric.unit, b.peer.pooler.Name(), ours, peer)
		fmt.Fprintf(&line, "  %s %.4g | %.4g", metric.suffix, ours, peer)
	}
	b.say("%s", line.String())
	return nil
}

// both measures one experiment on either side, and gives our values and the peer's.
func (b *bench) both(ctx context.Context, e experiment, peerFirst bool) (values [2][]float64, err error) {
	sides, order := [2]*side{b.ours, b.peer}, []int{0, 1}
	if peerFirst {
		order = []int{1, 0}
	}
	for _, k := range order {
		if values[k], err = e.measure(ctx, b, sides[k]); err != nil {
			return values, fmt.Errorf("%s: %w", sides[k].pooler.Name(), err)
		}
	}
	return values, nil
}

// estimate is how long the experiments will take, roughly.
func estimate(experiments []experiment) time.Duration {
	var sum time.Duration
	for _, e := range experiments {
		sum += time.Duration(e.rounds) * e.estimate
	}
	return sum.Round(10 * time.Second)
}
