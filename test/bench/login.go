// SPDX-License-Identifier: Apache-2.0

//go:build linux

package main

import (
	"context"
	"errors"
	"time"

	"github.com/rdsproxy/rdsproxy/test/bench/measure"
	"github.com/rdsproxy/rdsproxy/test/bench/report"
	"github.com/rdsproxy/rdsproxy/test/bench/rig"
)

// login measures logins. A peer that knows no tokens is given the password, with TLS as well.
func (p plan) login(name string, size pool, l rig.Logins) experiment {
	loadOf := func(s *side) rig.Logins {
		own := l
		own.Token = l.Token && s.label == "ours"
		return own
	}
	return experiment{
		name: name, pool: size, rounds: p.rounds,
		metrics:  []metric{{"throughput", report.UnitPerSecond}, {"cpu", report.UnitMicros}, {"user_cpu", report.UnitMicros}},
		estimate: 2 * (p.warm + p.load),
		load: &load{clients: rig.LoginsTogether, through: func(
			ctx context.Context, s *side, i *rig.Instance, warm, measured time.Duration,
		) (measure.Throughput, error) {
			l := loadOf(s)
			l.Warm, l.For = warm, measured
			c, err := l.Through(ctx, i)
			return measure.Throughput{PerSecond: c.PerSecond}, err
		}},
		measure: func(ctx context.Context, s *side) ([]float64, error) {
			i, err := s.shared(ctx, size)
			if err != nil {
				return nil, err
			}
			l := loadOf(s)
			l.Warm, l.For = p.warm, p.load
			c, err := l.Through(ctx, i)
			return []float64{c.PerSecond, micros(c.CPU), micros(c.User)}, errors.Join(err, i.Failed())
		},
	}
}
