// SPDX-License-Identifier: Apache-2.0

//go:build linux

package main

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/rdsproxy/rdsproxy/test/bench/measure"
)

// clockwork is a clock and a machine of one core that stand still but for pauses and spend. Others take its whole time until calmAt.
type clockwork struct {
	now    time.Duration
	calmAt time.Duration
}

func (c *clockwork) patience(t *testing.T, left time.Duration) *patience {
	return &patience{
		left: left, cores: 1,
		usage: func() (measure.Usage, error) { return measure.Usage{Machine: min(c.now, c.calmAt)}, nil },
		now:   func() time.Time { return time.Unix(1_800_000_000, 0).Add(c.now) },
		pause: func(ctx context.Context, d time.Duration) error {
			c.now += d
			return ctx.Err()
		},
		say: func(format string, args ...any) { t.Logf(format, args...) },
	}
}

// measurement takes d and gives the number of the attempt.
func (c *clockwork) measurement(d time.Duration, attempts *int) func() ([2][]float64, error) {
	return func() ([2][]float64, error) {
		*attempts++
		c.now += d
		return [2][]float64{{float64(*attempts)}, {0}}, nil
	}
}

func TestPatience(t *testing.T) {
	for _, tc := range []struct {
		name     string
		calmAt   time.Duration
		patience time.Duration
		attempts int
		kept     float64
		left     time.Duration // at least
	}{
		{name: "calm from the start", patience: time.Minute, attempts: 1, kept: 1, left: time.Minute},
		{name: "calm after a while", calmAt: 20 * time.Second, patience: time.Minute, attempts: 1, kept: 1, left: 30 * time.Second},
		{name: "never calm", calmAt: time.Hour, patience: 10 * time.Second, attempts: 1, kept: 1},
		{name: "no patience", calmAt: time.Hour, patience: 0, attempts: 1, kept: 1},
	} {
		t.Run(tc.name, func(t *testing.T) {
			c, attempts := &clockwork{calmAt: tc.calmAt}, 0
			p := c.patience(t, tc.patience)
			got, err := p.try(context.Background(), c.measurement(5*time.Second, &attempts))
			if err != nil || attempts != tc.attempts || got[0][0] != tc.kept || p.left < tc.left {
				t.Errorf("%d attempts, kept %v, %v left, %v", attempts, got[0], p.left, err)
			}
			if c.now > tc.patience+20*time.Second {
				t.Errorf("it took %v with a patience of %v", c.now, tc.patience)
			}
		})
	}
}

func TestPatienceRepeatsWhatWasDisturbed(t *testing.T) {
	// Others come when the first attempt begins, and go in the middle of the second: it is the better one, and still not calm.
	c, attempts := &clockwork{}, 0
	p := c.patience(t, time.Minute)
	used, rate := time.Duration(0), 0.0
	last := time.Duration(0)
	p.usage = func() (measure.Usage, error) {
		used += time.Duration(rate * float64(c.now-last))
		last = c.now
		return measure.Usage{Machine: used}, nil
	}
	rates := []float64{0.9, 0.3, 0.5}
	got, err := p.try(context.Background(), func() ([2][]float64, error) {
		rate = rates[attempts]
		defer func() { _, _ = p.usage(); rate = 0 }()
		return c.measurement(5*time.Second, &attempts)()
	})
	if err != nil || attempts != 3 || got[0][0] != 2 {
		t.Errorf("%d attempts, kept %v, %v; want the second of three", attempts, got[0], err)
	}
}

func TestPatiencePassesErrorsOn(t *testing.T) {
	boom := errors.New("boom")
	p := (&clockwork{}).patience(t, time.Minute)
	if _, err := p.try(context.Background(), func() ([2][]float64, error) { return [2][]float64{}, boom }); !errors.Is(err, boom) {
		t.Errorf("error of the measurement: %v", err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	if err := p.await(ctx); !errors.Is(err, context.Canceled) {
		t.Errorf("await after the end of its context: %v", err)
	}
	p.usage = func() (measure.Usage, error) { return measure.Usage{}, boom }
	if err := p.await(context.Background()); !errors.Is(err, boom) {
		t.Errorf("error of the reading: %v", err)
	}
}
