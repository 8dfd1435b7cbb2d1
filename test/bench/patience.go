// SPDX-License-Identifier: Apache-2.0

//go:build linux

package main

import (
	"context"
	"time"

	"github.com/rdsproxy/rdsproxy/test/bench/measure"
)

// patience deals with a machine on which others work too: it waits for calm before a measurement, and tells after it whether it was
// disturbed and should be repeated. It has a certain time for both, over the whole run.
type patience struct {
	left  time.Duration
	cores int
	usage func() (measure.Usage, error)
	now   func() time.Time
	pause func(context.Context, time.Duration) error
	say   func(string, ...any)
}

const (
	calmPercent = 8                      // of the machine in the hands of others is calm enough
	calmLook    = 400 * time.Millisecond // how long to look whether it is calm
	calmPause   = 2 * time.Second        // between two looks
	maxAttempts = 3                      // of one measurement
)

// reading is the usage at a moment.
type reading struct {
	at    time.Time
	usage measure.Usage
}

func (p *patience) read() (reading, error) {
	u, err := p.usage()
	return reading{p.now(), u}, err
}

// othersSince gives the share of the machine, in percent, that others took since r, and the time since.
func (p *patience) othersSince(r reading) (percent float64, elapsed time.Duration, err error) {
	n, err := p.read()
	if err != nil {
		return 0, 0, err
	}
	elapsed = n.at.Sub(r.at)
	return measure.OthersPercent(r.usage, n.usage, elapsed, p.cores), elapsed, nil
}

// await returns when the machine is calm or the patience is used up.
func (p *patience) await(ctx context.Context) error {
	for said := false; p.left > 0; {
		begin, err := p.read()
		if err != nil {
			return err
		}
		if err := p.pause(ctx, calmLook); err != nil {
			return err
		}
		percent, elapsed, err := p.othersSince(begin)
		if err != nil || percent <= calmPercent {
			return err
		}
		if !said {
			p.say("others take %.0f %% of the machine; waiting (at most %v more in this run)", percent, p.left.Round(time.Second))
			said = true
		}
		if err := p.pause(ctx, calmPause); err != nil {
			return err
		}
		p.left = max(0, p.left-elapsed-calmPause)
	}
	return nil
}

// try makes a measurement, again if others disturbed it and there is patience left, and keeps the attempt that was disturbed least.
func (p *patience) try(ctx context.Context, measurement func() ([2][]float64, error)) (best [2][]float64, err error) {
	least := 0.0
	for attempt := 1; ; attempt++ {
		if err := p.await(ctx); err != nil {
			return best, err
		}
		begin, err := p.read()
		if err != nil {
			return best, err
		}
		values, err := measurement()
		if err != nil {
			return best, err
		}
		percent, elapsed, err := p.othersSince(begin)
		if err != nil {
			return best, err
		}
		if attempt == 1 || percent < least {
			best, least = values, percent
		}
		if percent <= calmPercent || attempt == maxAttempts || p.left < elapsed {
			return best, nil
		}
		p.left -= elapsed
		p.say("others took %.0f %% of the machine meanwhile; once more", percent)
	}
}
