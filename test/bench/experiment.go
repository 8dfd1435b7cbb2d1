// SPDX-License-Identifier: Apache-2.0

//go:build linux

package main

import (
	"context"
	"errors"
	"fmt"
	"path"
	"slices"
	"strings"
	"time"

	"github.com/rdsproxy/rdsproxy/test/bench/measure"
	"github.com/rdsproxy/rdsproxy/test/bench/report"
	"github.com/rdsproxy/rdsproxy/test/bench/rig"
)

// experiment is one way to load a pooler. It gives one value for each of its metrics.
type experiment struct {
	name     string // what its figures' names begin with
	metrics  []metric
	pool     int // database connections
	rounds   int
	measure  func(ctx context.Context, b *bench, s *side) ([]float64, error)
	load     *rig.Load // set if it is a pgbench run, which can be profiled
	estimate time.Duration
}

// metric is the rest of a figure's name, and its unit.
type metric struct{ suffix, unit string }

func (e experiment) figure(m metric) string { return e.name + "." + m.suffix }

// plan is what a run consists of.
type plan struct {
	rounds      int           // paired rounds of each load; memory takes fewer, it varies less
	warm        time.Duration // left out at the beginning of each load run
	load        time.Duration // the measured part of it
	idleClients int
	settle      time.Duration // between the last idle client's query and the reading of the memory
	logins      int
}

// experiments lists all there is, in the order of the results.
func (p plan) experiments() []experiment {
	var out []experiment
	for _, mode := range []string{"simple", "extended", "prepared"} {
		for _, clients := range []int{1, 32, 100, 500} {
			out = append(out, p.throughput(fmt.Sprintf("pg.%s.c%d", mode, clients), 20, rig.Load{Mode: mode, Clients: clients}))
		}
	}
	out = append(out,
		p.throughput("pg.simple_pool10.c500", 10, rig.Load{Mode: "simple", Clients: 500}),
		p.throughput("pg.simple_tls.c1", 20, rig.Load{Mode: "simple", Clients: 1, TLS: true}),
		p.throughput("pg.simple_tls.c32", 20, rig.Load{Mode: "simple", Clients: 32, TLS: true}),
		p.throughput("pg.simple_tls.c100", 20, rig.Load{Mode: "simple", Clients: 100, TLS: true}),
		p.login("pg.login.scram", false),
		p.login("pg.login.scram_tls", true),
		p.idle("pg.idle.plain", false),
		p.idle("pg.idle.tls", true),
	)
	return out
}

func (p plan) throughput(name string, pool int, l rig.Load) experiment {
	l.Warm, l.For = p.warm, p.load
	return experiment{
		name: name, pool: pool, rounds: p.rounds, load: &l,
		estimate: 2 * (p.warm + p.load + 400*time.Millisecond + time.Duration(l.Clients)*2*time.Millisecond),
		metrics: []metric{
			{"throughput", report.UnitPerSecond},
			{"p50", report.UnitMicros},
			{"p99", report.UnitMicros},
			{"cpu_per_query", report.UnitMicros},
			{"switches_per_query", report.UnitPerQuery},
		},
		measure: func(ctx context.Context, b *bench, s *side) ([]float64, error) {
			i, err := s.shared(ctx, b, pool)
			if err != nil {
				return nil, err
			}
			t, err := rig.Pgbench(ctx, b.pg, i, l)
			if err != nil {
				return nil, err
			}
			if err := withinPool(ctx, b.pg, i.User, pool); err != nil {
				return nil, err
			}
			return []float64{t.PerSecond, micros(t.P50), micros(t.P99), micros(t.CPUPerQuery), t.SwitchesPerQuery}, nil
		},
	}
}

// withinPool checks that a pooler kept to its share of database connections: with more of them it would compare well, and wrongly.
func withinPool(ctx context.Context, pg *rig.Postgres, user string, pool int) error {
	n, err := pg.Connections(ctx, user)
	if err == nil && n > pool {
		return fmt.Errorf("%d database connections instead of %d at most", n, pool)
	}
	return err
}

func micros(d time.Duration) float64 { return float64(d) / float64(time.Microsecond) }

func (p plan) login(name string, withTLS bool) experiment {
	return experiment{
		name: name, pool: 20, rounds: p.rounds, metrics: []metric{{"cpu", report.UnitMicros}},
		estimate: time.Duration(p.logins) * 5 * time.Millisecond,
		measure: func(ctx context.Context, b *bench, s *side) ([]float64, error) {
			i, err := s.shared(ctx, b, 20)
			if err != nil {
				return nil, err
			}
			d, err := rig.Logins(ctx, i, p.logins, withTLS)
			return []float64{micros(d)}, errors.Join(err, i.Failed())
		},
	}
}

// idle measures memory in a process of its own: what other experiments left behind would hide what idle clients take.
func (p plan) idle(name string, withTLS bool) experiment {
	const pool = 20
	return experiment{
		name: name, pool: pool, rounds: min(p.rounds, 2), metrics: []metric{{"memory", report.UnitKiB}},
		estimate: 2 * (time.Duration(p.idleClients)*2*time.Millisecond + 2*p.settle),
		measure: func(ctx context.Context, b *bench, s *side) (v []float64, err error) {
			i, err := s.fresh(ctx, b, pool)
			if err != nil {
				return nil, err
			}
			defer func() { err = errors.Join(err, i.Stop()) }()
			// Both the code and the pool are in memory before the first reading.
			if _, err := rig.Pgbench(ctx, b.pg, i, rig.Load{Mode: "simple", Clients: pool, TLS: withTLS, For: time.Second}); err != nil {
				return nil, err
			}
			bytes, err := idleBytes(ctx, i, p, withTLS)
			return []float64{bytes / 1024}, errors.Join(err, i.Failed())
		},
	}
}

func idleBytes(ctx context.Context, i *rig.Instance, p plan, withTLS bool) (float64, error) {
	if err := pause(ctx, p.settle); err != nil {
		return 0, err
	}
	before, err := measure.RSS(i.PID())
	if err != nil {
		return 0, err
	}
	conns, err := rig.Park(ctx, i, p.idleClients, withTLS)
	if err != nil {
		return 0, err
	}
	defer rig.HangUp(conns)
	if err := pause(ctx, p.settle); err != nil {
		return 0, err
	}
	after, err := measure.RSS(i.PID())
	return (float64(after) - float64(before)) / float64(p.idleClients), err
}

func pause(ctx context.Context, d time.Duration) error {
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-time.After(d):
		return nil
	}
}

// choose keeps the experiments and metrics whose figures fit one of the patterns (path.Match, separated by commas). No patterns keep all.
func choose(all []experiment, patterns string) ([]experiment, error) {
	if patterns == "" {
		return all, nil
	}
	list := strings.Split(patterns, ",")
	for _, p := range list {
		if _, err := path.Match(p, ""); err != nil {
			return nil, fmt.Errorf("pattern %q: %w", p, err)
		}
	}
	var out []experiment
	for _, e := range all {
		fits := func(m metric) bool {
			return slices.ContainsFunc(list, func(p string) bool {
				ok, _ := path.Match(p, e.figure(m)) // checked above
				return ok
			})
		}
		if slices.ContainsFunc(e.metrics, fits) {
			out = append(out, e)
		}
	}
	if len(out) == 0 {
		return nil, fmt.Errorf("no figure fits %q", patterns)
	}
	return out, nil
}
