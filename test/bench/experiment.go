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
	name    string // what its figures' names begin with
	engine  engine
	metrics []metric
	pool    pool
	rounds  int
	measure func(ctx context.Context, s *side) ([]float64, error)
	// direct, if set, gives the first of the values without a pooler; what either side has of it is the last metric.
	direct   func(ctx context.Context, s *side) (float64, error)
	load     *load // set if it is a load, which can be profiled
	estimate time.Duration
}

// load is what can be run against a process for any time: warm, left out of the result, and then measured.
type load struct {
	clients int
	through func(ctx context.Context, s *side, i *rig.Instance, warm, measured time.Duration) (measure.Throughput, error)
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
}

// experiments lists all there is, in the order of the results.
func (p plan) experiments() []experiment { return append(p.postgres(), p.mysql()...) }

// postgres lists the experiments with PostgreSQL.
func (p plan) postgres() []experiment {
	var out []experiment
	for _, mode := range []string{"simple", "extended", "prepared"} {
		for _, clients := range []int{1, 32, 100, 500} {
			out = append(out, p.pgbench(fmt.Sprintf("pg.%s.c%d", mode, clients), 20, rig.Load{Mode: mode, Clients: clients}))
		}
	}
	out = append(out,
		p.pgbench("pg.simple_pool10.c500", 10, rig.Load{Mode: "simple", Clients: 500}),
		p.pgbench("pg.simple_tls.c1", 20, rig.Load{Mode: "simple", Clients: 1, TLS: true}),
		p.pgbench("pg.simple_tls.c32", 20, rig.Load{Mode: "simple", Clients: 32, TLS: true}),
		p.pgbench("pg.simple_tls.c100", 20, rig.Load{Mode: "simple", Clients: 100, TLS: true}),
		p.login("pg.login.scram", pool{size: 20}, rig.Logins{}),
		p.login("pg.login.scram_tls", pool{size: 20}, rig.Logins{TLS: true}),
		p.login("pg.login.token_tls", pool{size: 20}, rig.Logins{TLS: true, Token: true}),
		p.idle("pg.idle.plain", p.pgbench("", 20, rig.Load{Mode: "simple", Clients: 20}), false),
		p.idle("pg.idle.tls", p.pgbench("", 20, rig.Load{Mode: "simple", Clients: 20, TLS: true}), true),
	)
	for i := range out {
		out[i].engine = postgres
	}
	return out
}

func (p plan) pgbench(name string, size int, l rig.Load) experiment {
	return p.throughput(name, pool{size: size}, load{l.Clients, func(
		ctx context.Context, s *side, i *rig.Instance, warm, measured time.Duration,
	) (measure.Throughput, error) {
		l := l
		l.Warm, l.For = warm, measured
		return rig.Pgbench(ctx, s.backend.Postgres, i, l)
	}})
}

func (p plan) throughput(name string, size pool, l load) experiment {
	return experiment{
		name: name, pool: size, rounds: p.rounds, load: &l,
		estimate: 2 * (p.warm + p.load + 400*time.Millisecond + time.Duration(l.clients)*2*time.Millisecond),
		metrics: []metric{
			{"throughput", report.UnitPerSecond},
			{"p50", report.UnitMicros},
			{"p99", report.UnitMicros},
			{"cpu_per_query", report.UnitMicros},
			{"switches_per_query", report.UnitPerQuery},
		},
		measure: func(ctx context.Context, s *side) ([]float64, error) {
			i, err := s.shared(ctx, size)
			if err != nil {
				return nil, err
			}
			t, err := l.through(ctx, s, i, p.warm, p.load)
			if err != nil {
				return nil, err
			}
			return []float64{t.PerSecond, micros(t.P50), micros(t.P99), micros(t.CPUPerQuery), t.SwitchesPerQuery}, s.within(ctx, i)
		},
	}
}

func micros(d time.Duration) float64 { return float64(d) / float64(time.Microsecond) }

// idle measures memory in a process of its own: what other experiments left behind would hide what idle clients take. before is a load that has
// both the code and the pool in memory before the first reading.
func (p plan) idle(name string, before experiment, withTLS bool) experiment {
	return experiment{
		name: name, pool: before.pool, rounds: min(p.rounds, 2), metrics: []metric{{"memory", report.UnitKiB}},
		estimate: 2 * (time.Duration(p.idleClients)*2*time.Millisecond + 2*p.settle),
		measure: func(ctx context.Context, s *side) (v []float64, err error) {
			i, err := s.fresh(ctx, before.pool)
			if err != nil {
				return nil, err
			}
			defer func() { err = errors.Join(err, i.Stop()) }()
			if _, err := before.load.through(ctx, s, i, 0, time.Second); err != nil {
				return nil, err
			}
			bytes, err := idleBytes(ctx, i, p, withTLS)
			return []float64{bytes / 1024}, errors.Join(err, s.within(ctx, i), i.Failed())
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
