// SPDX-License-Identifier: Apache-2.0

//go:build linux

package main

import (
	"context"
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/rdsproxy/rdsproxy/test/bench/report"
	"github.com/rdsproxy/rdsproxy/test/bench/rig"
)

// named is a Pooler that has a name and nothing else.
type named string

func (n named) Name() string { return string(n) }

func (n named) Start(context.Context, rig.Setup) (*rig.Instance, error) {
	return nil, errors.New("not to be started")
}

func testBench(t *testing.T) (*bench, *contest) {
	b := &bench{calm: (&clockwork{}).patience(t, 0), say: func(format string, args ...any) { t.Logf(format, args...) }}
	return b, &contest{ours: &side{label: "ours", pooler: named("Ours")}, peer: &side{label: "peer", pooler: named("Peer 1")}}
}

func TestRunPairsAndAlternates(t *testing.T) {
	var calls []string
	scripted := func(name string, rounds int) experiment {
		return experiment{
			name: name, rounds: rounds, metrics: []metric{{"cpu", report.UnitMicros}},
			measure: func(_ context.Context, s *side) ([]float64, error) {
				calls = append(calls, name+" "+s.label)
				if s.label == "ours" {
					return []float64{1}, nil
				}
				return []float64{2}, nil
			},
		}
	}
	b, c := testBench(t)
	if err := b.run(context.Background(), c, []experiment{scripted("a", 2), scripted("b", 1), scripted("c", 2)}); err != nil {
		t.Fatal(err)
	}
	want := []string{
		"a ours", "a peer", "b peer", "b ours", "c ours", "c peer", // first round
		"a peer", "a ours", "c peer", "c ours", // second: b has had its one
	}
	if d := cmp.Diff(want, calls); d != "" {
		t.Errorf("order (-want +got):\n%s", d)
	}
	got, err := b.found.Figures()
	if err != nil {
		t.Fatal(err)
	}
	if len(got) != 3 || got[0].Name != "a.cpu" || got[0].Ratio != 0.5 || got[0].Rounds != 2 || got[1].Rounds != 1 || got[2].PeerName != "Peer 1" {
		t.Errorf("figures: %+v", got)
	}
}

func TestRunGoesOnAfterAFailure(t *testing.T) {
	boom := errors.New("boom")
	tries := 0
	b, c := testBench(t)
	err := b.run(context.Background(), c, []experiment{
		{name: "bad", rounds: 3, metrics: []metric{{"x", ""}}, measure: func(context.Context, *side) ([]float64, error) {
			tries++
			return nil, boom
		}},
		{name: "good", rounds: 3, metrics: []metric{{"x", ""}}, measure: func(context.Context, *side) ([]float64, error) {
			return []float64{1}, nil
		}},
	})
	if !errors.Is(err, boom) || !strings.Contains(err.Error(), "bad: Ours: boom") {
		t.Errorf("error = %v", err)
	}
	if tries != 1 {
		t.Errorf("the failed experiment was tried %d times", tries)
	}
	if got, _ := b.found.Figures(); len(got) != 1 || got[0].Name != "good.x" || got[0].Rounds != 3 {
		t.Errorf("figures: %+v", got)
	}
}

func TestRunEndsWithItsContext(t *testing.T) {
	ctx, cancel := context.WithCancel(context.Background())
	b, c := testBench(t)
	err := b.run(ctx, c, []experiment{{name: "a", rounds: 100, metrics: []metric{{"x", ""}}, measure: func(context.Context, *side) ([]float64, error) {
		cancel()
		return nil, ctx.Err()
	}}})
	if !errors.Is(err, context.Canceled) {
		t.Errorf("error = %v", err)
	}
}

// TestFigureNamesStay holds names that results over time are compared by.
func TestFigureNamesStay(t *testing.T) {
	var names []string
	for _, e := range (plan{rounds: 5}).experiments() {
		for _, m := range e.metrics {
			names = append(names, e.figure(m))
		}
	}
	for _, want := range []string{
		"pg.simple.c1.p50", "pg.simple.c32.p99", "pg.simple.c100.cpu_per_query", "pg.simple.c100.throughput", "pg.simple.c500.switches_per_query",
		"pg.extended.c100.cpu_per_query", "pg.prepared.c500.p99", "pg.simple_tls.c100.cpu_per_query", "pg.simple_pool10.c500.throughput",
		"pg.idle.plain.memory", "pg.idle.tls.memory", "pg.login.scram.cpu", "pg.login.scram_tls.cpu",
		"mysql.point_select.c1.p50", "mysql.point_select.c32.p99", "mysql.point_select.c100.cpu_per_query", "mysql.point_select.c300.of_direct",
		"mysql.point_select_prepared.c300.throughput", "mysql.point_select_tls.c100.cpu_per_query", "mysql.point_select_tls.c32.of_direct",
		"mysql.point_select_unbound.c100.cpu_per_query", "mysql.read_write.c100.switches_per_query",
		"mysql.idle.plain.memory", "mysql.idle.tls.memory", "mysql.login.caching_sha2.cpu", "mysql.login.caching_sha2_tls.cpu",
	} {
		if !slices.Contains(names, want) {
			t.Errorf("there is no figure %s", want)
		}
	}
	slices.Sort(names)
	if len(slices.Compact(names)) != len(names) {
		t.Errorf("a name stands for two figures")
	}
}

func TestWholeRunIsShort(t *testing.T) {
	o := options{plan: plan{rounds: 5, warm: 500 * time.Millisecond, load: 2500 * time.Millisecond, idleClients: 5000, settle: 4 * time.Second}}
	if d := estimate(o.experiments()); d > 25*time.Minute {
		t.Errorf("a whole run takes about %v", d)
	}
	o.quick = true
	o.complete(nil)
	quick, err := choose(o.experiments(), o.figures)
	if err != nil {
		t.Fatal(err)
	}
	if d := estimate(quick); d > 4*time.Minute {
		t.Errorf("a quick run takes about %v", d)
	}
}

func TestChoose(t *testing.T) {
	all := (plan{rounds: 1}).experiments()
	for _, tc := range []struct {
		patterns string
		want     []string
		fails    bool
	}{
		{patterns: "pg.simple.c100.p50", want: []string{"pg.simple.c100"}},
		{patterns: "pg.idle.*,pg.login.scram.cpu", want: []string{"pg.login.scram", "pg.idle.plain", "pg.idle.tls"}},
		{patterns: "*.c1.*", want: []string{"pg.simple.c1", "pg.extended.c1", "pg.prepared.c1", "pg.simple_tls.c1", "mysql.point_select.c1"}},
		{patterns: "oracle.*", fails: true},
		{patterns: "pg.[", fails: true},
	} {
		got, err := choose(all, tc.patterns)
		var names []string
		for _, e := range got {
			names = append(names, e.name)
		}
		if d := cmp.Diff(tc.want, names); d != "" || (err != nil) != tc.fails {
			t.Errorf("choose(%q): %v\n%s", tc.patterns, err, d)
		}
	}
	if got, err := choose(all, ""); err != nil || len(got) != len(all) {
		t.Errorf("no patterns: %d of %d, %v", len(got), len(all), err)
	}
}

// TestOnlyWholeRunsReplaceTheResults: a partial result under the name of the whole one would lose figures.
func TestOnlyWholeRunsReplaceTheResults(t *testing.T) {
	for name, tc := range map[string]struct {
		o    options
		want string
	}{
		"whole":      {options{}, "bench/latest.json"},
		"some":       {options{figures: "pg.idle.*"}, ""},
		"quick":      {options{quick: true}, ""},
		"self-check": {options{selfCheck: true}, ""},
		"from":       {options{from: "x.json"}, ""},
		"asked for":  {options{quick: true, out: "mine.json"}, "mine.json"},
	} {
		tc.o.complete(map[string]bool{})
		if tc.o.out != tc.want {
			t.Errorf("%s: writes %q, want %q", name, tc.o.out, tc.want)
		}
	}
}

func TestQuickKeepsWhatWasGiven(t *testing.T) {
	o := options{quick: true, figures: "pg.idle.*", plan: plan{rounds: 4, load: time.Hour}}
	o.complete(map[string]bool{"rounds": true, "figures": true})
	if o.rounds != 4 || o.load != 1500*time.Millisecond || o.figures != "pg.idle.*" {
		t.Errorf("rounds %d, load %v, figures %q", o.rounds, o.load, o.figures)
	}
}

func TestUsers(t *testing.T) {
	got := users([]experiment{{pool: pool{size: 20}}, {pool: pool{size: 10, peer: 400}}, {pool: pool{size: 20, secure: true}}, {pool: pool{size: 20}}})
	want := []string{
		"ours_fresh", "ours_pool20", "ours_pool10", "ours_pool20_tls",
		"peer_fresh", "peer_pool20", "peer_pool400", "peer_pool20_tls",
	}
	if d := cmp.Diff(want, got); d != "" {
		t.Errorf("(-want +got):\n%s", d)
	}
}

func TestEveryExperimentHasItsDatabase(t *testing.T) {
	all := (plan{rounds: 1}).experiments()
	for _, e := range all {
		if !strings.HasPrefix(e.name, string(e.engine)+".") {
			t.Errorf("%s is measured with %q", e.name, e.engine)
		}
	}
	if n := len(of(postgres, all)) + len(of(mysql, all)); n != len(all) {
		t.Errorf("%d of %d experiments would run", n, len(all))
	}
}

func TestShareOfDirect(t *testing.T) {
	values := map[string][]float64{"ours": {50, 1}, "peer": {20, 2}}
	_, c := testBench(t)
	got, err := c.both(context.Background(), experiment{
		measure: func(_ context.Context, s *side) ([]float64, error) { return values[s.label], nil },
		direct: func(_ context.Context, s *side) (float64, error) {
			if s != c.ours {
				t.Errorf("direct by the side of %s", s.label)
			}
			return 100, nil
		},
	}, false)
	if d := cmp.Diff([2][]float64{{50, 1, 0.5}, {20, 2, 0.2}}, got); d != "" || err != nil {
		t.Errorf("%v (-want +got):\n%s", err, d)
	}
}

func TestMachine(t *testing.T) {
	if got := cpuModel("processor\t: 0\nmodel name\t: AMD   EPYC 9R14\nflags\t: x\n"); got != "AMD EPYC 9R14" {
		t.Errorf("cpuModel = %q", got)
	}
	if got := cpuModel("CPU implementer\t: 0x41\n"); got != "unknown processor" {
		t.Errorf("cpuModel without a name = %q", got)
	}
	if got := memoryGiB("MemTotal:       24612000 kB\nMemFree: 1 kB\n"); got != 23 {
		t.Errorf("memoryGiB = %d", got)
	}
	if got := memoryGiB(""); got != 0 {
		t.Errorf("memoryGiB of nothing = %d", got)
	}
	for in, want := range map[string]string{"6.18.44-cloud-amd64": "6.18.44", "6.1": "6.1", "": "unknown", "x6": "unknown"} {
		if got := kernelVersion(in); got != want {
			t.Errorf("kernelVersion(%q) = %q, want %q", in, got, want)
		}
	}
}
