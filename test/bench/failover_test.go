// SPDX-License-Identifier: Apache-2.0

//go:build linux

package main

import (
	"testing"
	"time"

	"github.com/rdsproxy/rdsproxy/test/bench/outage"
	"github.com/rdsproxy/rdsproxy/test/bench/report"
)

func TestUndecided(t *testing.T) {
	var sum time.Duration
	for round := range 20 {
		d := undecided(round, 20)
		if d <= undecidedMin || d >= undecidedMax {
			t.Errorf("round %d: %v", round, d)
		}
		sum += d
	}
	if mean := sum / 20; mean.Round(time.Millisecond) != 3500*time.Millisecond {
		t.Errorf("mean %v", mean)
	}
}

func TestNoteFailover(t *testing.T) {
	seen := func(ms int, lost int) outage.Seen {
		return outage.Seen{Gap: time.Duration(ms) * time.Millisecond, Outage: time.Duration(ms+10) * time.Millisecond, Lost: lost}
	}
	var found report.Collector
	noteFailover(&found, "pg", 0, 1, outage.Failover{Seen: map[outage.Way]outage.Seen{
		outage.Proxy: seen(90, 0), outage.Driver: seen(2490, 20), outage.PgBouncer: seen(1990, 40),
	}})
	figures, err := found.Figures()
	if err != nil {
		t.Fatal(err)
	}
	want := map[string][2]float64{
		"failover.pg.kill.gap": {90, 2490}, "failover.pg.kill.outage": {100, 2500}, "failover.pg.kill.lost_connections": {0, 20},
		"failover.pg.kill.outage_pgbouncer": {100, 2000}, "failover.pg.kill.lost_connections_pgbouncer": {0, 40},
	}
	if len(figures) != len(want) {
		t.Errorf("figures: %v", figures)
	}
	for _, f := range figures {
		if got := [2]float64{f.Ours, f.Peer}; got != want[f.Name] {
			t.Errorf("%s: %v, want %v", f.Name, got, want[f.Name])
		}
	}
}

func TestWants(t *testing.T) {
	for figures, want := range map[string]bool{"": true, "failover.pg.*": true, "pg.*,failover.*.gap": true, "failover.mysql.*": false, "[": false} {
		if got := (options{figures: figures}).wants("failover.pg.kill.gap"); got != want {
			t.Errorf("%q: %v", figures, got)
		}
	}
}
