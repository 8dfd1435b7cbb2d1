// SPDX-License-Identifier: Apache-2.0

//go:build linux

package outage

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/rdsproxy/rdsproxy/test/history"
	"github.com/rdsproxy/rdsproxy/test/writers"
)

// Seen is what a crowd has seen of one failover.
type Seen struct {
	// Gap is the time from the promotion to the first acknowledged write, of whichever
	// client; Outage that of the client in the middle.
	Gap, Outage time.Duration
	Lost        int    // connections
	Why         error  // of those that were not opened again
	Failed      int    // operations that were not acknowledged
	Told        string // what clients were told, in short
	// Throughput are the operations acknowledged in each Interval since Failover.Start.
	Throughput []int
}

// Interval is that of the throughput.
const Interval = 100 * time.Millisecond

// Failover is one that all crowds have seen.
type Failover struct {
	Start, Killed, Promoted, End time.Time
	Seen                         map[Way]Seen
}

const (
	steady    = time.Second      // of writing before the writer is killed, and after all is well
	giveUp    = 30 * time.Second // for all clients to write again
	patience  = 2 * time.Second  // for what is under way at the end
	pollEvery = 10 * time.Millisecond
)

// Fail kills the writer, and promotes a reader after a while.
func (s *Stage) Fail(ctx context.Context, undecided time.Duration) (f Failover, err error) {
	runs := make([]*writers.Run, len(s.crowds))
	stop := func() {
		for i, c := range s.crowds {
			if runs[i] == nil {
				continue
			}
			f.Seen[c.way] = f.see(c, runs[i].Stop(patience))
		}
	}
	f.Seen = make(map[Way]Seen)
	for i, c := range s.crowds {
		c.load.First = s.clients
		s.clients += c.load.Clients
		if runs[i], err = writers.Start(ctx, c.load); err != nil {
			stop()
			return f, fmt.Errorf("%s: %w", c.way, err)
		}
	}
	f.Start = time.Now()
	err = s.change(ctx, &f, undecided, func() bool {
		for _, r := range runs {
			if r.Silent(f.Promoted) > 0 {
				return false
			}
		}
		return true
	})
	f.End = time.Now()
	stop()
	return f, err
}

// change has the writer change, and returns when recovered says so and the former
// writer is a reader.
func (s *Stage) change(ctx context.Context, f *Failover, undecided time.Duration, recovered func() bool) error {
	if err := pause(ctx, steady); err != nil {
		return err
	}
	former, to := s.cluster.Writer(), s.cluster.Readers()[0]
	f.Killed = time.Now()
	former.Kill()
	if err := pause(ctx, undecided); err != nil {
		return err
	}
	if err := s.cluster.Promote(ctx, to); err != nil {
		return err
	}
	f.Promoted = s.cluster.Promoted
	if err := s.pointName(); err != nil {
		return err
	}
	deadline := time.Now().Add(giveUp)
	for !recovered() && time.Now().Before(deadline) {
		if err := pause(ctx, pollEvery); err != nil {
			return err
		}
	}
	if err := pause(ctx, steady); err != nil {
		return err
	}
	return s.cluster.Rejoin(ctx, former)
}

// see sums up what a crowd has noted.
func (f *Failover) see(c crowd, r writers.Result) Seen {
	recoveries := r.Recoveries(f.Promoted)
	for len(recoveries) < c.load.Clients { // those that never wrote again
		recoveries = append(recoveries, giveUp)
	}
	gap := r.FirstAfter(f.Promoted)
	if gap < 0 {
		gap = giveUp
	}
	return Seen{
		Gap: gap, Outage: writers.Median(recoveries), Lost: r.Reopened + len(r.Closed), Failed: len(r.Operations) - len(r.Acks),
		Why: errors.Join(r.Closed...), Told: history.Count(r.Operations).String(),
		Throughput: r.Throughput(f.Start, f.End, Interval),
	}
}

func pause(ctx context.Context, d time.Duration) error {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-t.C:
		return nil
	}
}
