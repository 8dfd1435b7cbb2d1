// SPDX-License-Identifier: Apache-2.0

package proxy_test

import (
	"testing"
	"time"

	"github.com/rdsproxy/rdsproxy/pkg/proxy"
)

// TestStatsOfBusyLoop: loops that do not answer in time neither hold up the
// figures nor make a counter fall.
func TestStatsOfBusyLoop(t *testing.T) {
	s := newScene(t, plan{loops: 3})
	for _, c := range s.spread(6) {
		s.must(c, "x")
	}
	queries := func(st proxy.Stats) uint64 { return st.Endpoints[0].Simple[0] }
	if n := queries(s.stats()); n != 6 {
		t.Fatalf("%d queries", n)
	}
	gate := make(chan struct{})
	s.proxy.Block(0, gate)
	s.proxy.Block(2, gate)
	got := make(chan proxy.Stats, 1)
	go func() { got <- s.proxy.Stats(10 * time.Millisecond) }()
	select {
	case st := <-got:
		if n := queries(st); n != 6 {
			t.Errorf("%d queries while two loops are busy", n)
		}
	case <-time.After(patience):
		t.Error("no figures while two loops are busy")
	}
	close(gate)
}

// TestStatsHaveAllReasons: a rate can be taken of the first event of each kind.
func TestStatsHaveAllReasons(t *testing.T) {
	s := newScene(t, plan{})
	st := s.stats()
	for what, m := range map[string]map[string]uint64{
		"setup failures": st.Endpoints[0].Failed, "closed clients": st.Endpoints[0].Closed,
		"dial failures": st.Targets[0].Failed, "pins": st.Targets[0].Pins, "pinned": st.Targets[0].Pinned,
	} {
		if len(m) < 4 {
			t.Errorf("%s: %v", what, m)
		}
		for reason, n := range m {
			if reason == "" || n != 0 {
				t.Errorf("%s: %q is %d before anything has happened", what, reason, n)
			}
		}
	}
}

// TestStatsCount: who comes, waits and goes is counted where it belongs.
func TestStatsCount(t *testing.T) {
	s := newScene(t, plan{max: 1, settings: func(o *proxy.Settings) { o.MaxClients = 2 }})
	a, b := s.client(), s.client()
	if _, err := s.tryClient("app"); err == nil {
		t.Error("one client too many")
	}
	if _, err := s.tryClient("stranger"); err == nil {
		t.Error("a stranger got in")
	}
	s.exec(a, "BEGIN")
	s.exec(a, "SET x = 1")
	waiting := background(func() error { _, err := ask(b, "b"); return err })
	eventually(t, "one waits", func() bool { return s.stats().Endpoints[0].Waiting == 1 })
	// A failed login is counted when its connection is done with, which is after
	// the client was told.
	eventually(t, "the stranger is counted", func() bool { return s.stats().Endpoints[0].Failed["unknown_user"] == 1 })
	st := s.stats()
	if e := st.Endpoints[0]; e.Open[0] != 2 || e.Succeeded != 2 || e.Failed["too_many_clients"] != 1 || e.Failed["unknown_user"] != 1 {
		t.Errorf("%+v", e)
	}
	if g := st.Targets[0]; g.Pins["set"] != 1 || g.Pinned["set"] != 1 || g.InTransaction != 1 || g.MaxConnections != 1 || g.Opened != 1 {
		t.Errorf("%+v", g)
	}
	s.exec(a, "ROLLBACK")
	hangUpNow(a)
	if err := s.await("the other client", waiting); err != nil {
		t.Fatal(err)
	}
	hangUpNow(b)
	s.settled()
	if e := s.stats().Endpoints[0]; e.Closed["client"] != 2 {
		t.Errorf("%+v", e)
	}
}
