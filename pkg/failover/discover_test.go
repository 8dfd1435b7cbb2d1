// SPDX-License-Identifier: Apache-2.0

package failover

import (
	"errors"
	"fmt"
	"slices"
	"testing"
	"time"
)

const named = "db.internal:5432"

// TestDNSMoves: the writer's name moves to another server, as in a blue/green
// deployment: first the old one stops to accept writes.
func TestDNSMoves(t *testing.T) {
	at := addresses("10.0.0.1")
	m := map[string]*actor{one: {answer: Answer{Server: "a"}}, two: {answer: Answer{Server: "b"}}}
	s := newNamedStage(t, Options{Writer: named, Discovery: DNS}, m, func() (Resolved, error) { return at, nil })
	s.until(one, time.Second)
	if got := s.member(one).Name; got != "db.internal" {
		t.Errorf("its certificate is to be for %q", got)
	}
	s.stays(20 * time.Second)
	m[one].answer.ReadOnly = true
	s.until("", 2*time.Second)
	s.run(3 * time.Second)
	at = addresses("10.0.0.2")
	if took := s.until(two, 5*time.Second); took > 1300*time.Millisecond {
		t.Errorf("it took %v; in doubt the name is looked up each second", took)
	}
	s.stays(30 * time.Second)
	s.run(2 * time.Minute)
	if len(s.topo.Members) != 1 {
		t.Errorf("what the name does not lead to any more is still there: %+v", s.topo.Members)
	}
}

// TestDNSMovesFromHealthy: both accept writes; the name decides, once it has said the
// same for a while.
func TestDNSMovesFromHealthy(t *testing.T) {
	at := addresses("10.0.0.1")
	m := map[string]*actor{one: {answer: Answer{Server: "a"}}, two: {answer: Answer{Server: "b"}}}
	s := newNamedStage(t, Options{Writer: named, Discovery: DNS}, m, func() (Resolved, error) { return at, nil })
	s.run(20 * time.Second)
	at = addresses("10.0.0.2")
	if took := s.until(two, time.Minute); took < 3*time.Second || took > 20*time.Second {
		t.Errorf("it took %v", took)
	}
}

// TestBadDNS: whatever becomes of the name, the last good writer is kept, the cause is
// logged once, and nothing spins.
func TestBadDNS(t *testing.T) {
	n := 0
	tests := []struct {
		name   string
		found  func() (Resolved, error)
		logged string
	}{
		{"fails", func() (Resolved, error) { return Resolved{}, errors.New("SERVFAIL") }, "cannot be resolved"},
		{"empty", func() (Resolved, error) { return Resolved{}, nil }, "cannot be resolved"},
		{"garbage", func() (Resolved, error) { return Resolved{}, errGarbledDNS }, "cannot be resolved"},
		{"nobody there", func() (Resolved, error) { return addresses("192.0.2.1", "2001:db8::1"), nil }, "does not answer"},
		{"flaps", func() (Resolved, error) {
			n++
			r := addresses(fmt.Sprintf("10.0.0.%d", 1+n%2))
			r.TTL = time.Second
			return r, nil
		}, ""},
		{"hundreds of addresses", func() (Resolved, error) {
			var r Resolved
			for i := range 250 {
				r.Addresses = append(r.Addresses, addresses(fmt.Sprintf("192.0.2.%d", i)).Addresses...)
			}
			return r, nil
		}, ""},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			good := func() (Resolved, error) { return addresses("10.0.0.1"), nil }
			m := map[string]*actor{one: {answer: Answer{Server: "a"}}, two: {answer: Answer{Server: "b"}}}
			s := newNamedStage(t, Options{Writer: named, Discovery: DNS}, m, good)
			s.run(10 * time.Second)
			if s.topo.Writer != one {
				t.Fatalf("%+v", s.topo)
			}
			s.name, s.lookups = tt.found, 0
			clear(s.probes)
			s.stays(2 * time.Minute)
			if s.lookups > 125 {
				t.Errorf("%d look-ups in two minutes", s.lookups)
			}
			if len(s.topo.Members) > maxMembers {
				t.Errorf("%d members", len(s.topo.Members))
			}
			for a, n := range s.probes {
				if n > 1400 { // ten a second, and some at once
					t.Errorf("%s was asked %d times in two minutes", a, n)
				}
			}
			if tt.logged != "" && s.logged(tt.logged) == 0 {
				t.Error("not logged")
			}
			if len(s.notes) > 100 {
				t.Errorf("%d lines of log", len(s.notes))
			}
			s.name = good
			s.stays(2 * time.Minute)
			if len(s.topo.Members) != 1 {
				t.Errorf("%d members are left", len(s.topo.Members))
			}
		})
	}
}

// TestDNSFirst: nothing is known before the name can be resolved; then it is quick.
func TestDNSFirst(t *testing.T) {
	m := map[string]*actor{one: {answer: writer(1)}}
	s := newStage(t, Options{Writer: named, Discovery: DNS}, m)
	s.stays(30 * time.Second)
	if n := s.logged("cannot be resolved"); n != 1 || s.lookups > 31 {
		t.Errorf("logged %d times, %d look-ups", n, s.lookups)
	}
	s.name = func() (Resolved, error) { return addresses("10.0.0.1"), nil }
	s.until(one, 1100*time.Millisecond)
	if n := s.logged("can be resolved again"); n != 1 {
		t.Errorf("the end was logged %d times", n)
	}
}

// TestTwoAddresses: a name with two addresses of one server makes one writer; the
// other takes over when the first is out of reach, in the same generation.
func TestTwoAddresses(t *testing.T) {
	m := map[string]*actor{one: {answer: writer(1)}, "[2001:db8::1]:5432": {answer: writer(1), delay: 5 * time.Millisecond}}
	found := addresses("10.0.0.1", "2001:db8::1")
	s := newNamedStage(t, Options{Writer: named, Discovery: DNS}, m, func() (Resolved, error) { return found, nil })
	s.run(10 * time.Second)
	if s.topo.Writer != one || s.logged("not only the writer") != 0 {
		t.Errorf("%+v", s.topo)
	}
	s.stays(10 * time.Second)
	m[one].err = errRefused
	s.until("[2001:db8::1]:5432", 2*time.Second)
	if s.topo.Generation != 1 {
		t.Errorf("generation %d", s.topo.Generation)
	}
}

const cluster = "c.cluster-abc.eu-west-1.rds.amazonaws.com:5432"

func instance(id string) string { return id + ".abc.eu-west-1.rds.amazonaws.com:5432" }

// TestAurora: the members are the cluster's own; the writer is an instance, not the
// cluster's name.
func TestAurora(t *testing.T) {
	peers := func(writer string, ids ...string) (list []Peer) {
		for _, id := range ids {
			list = append(list, Peer{ID: id, Writer: id == writer, Lag: 20 * time.Millisecond})
		}
		return list
	}
	a, b := Answer{Server: "i-a", Peers: peers("a", "a", "b")}, Answer{Server: "i-b", ReadOnly: true, Lag: UnknownLag, Peers: peers("a", "a", "b")}
	m := map[string]*actor{cluster: {answer: a}, instance("a"): {answer: a}, instance("b"): {answer: b}}
	found := addresses("10.0.0.1")
	s := newNamedStage(t, Options{Writer: cluster, Discovery: Aurora}, m, func() (Resolved, error) { return found, nil })
	s.run(10 * time.Second)
	if s.topo.Generation != 1 || len(s.topo.Members) != 3 {
		t.Errorf("%+v", s.topo)
	}
	s.wantHealth(instance("b"), RoleReader, StateAvailable, ReasonNone)
	if lag := s.member(instance("b")).Lag; lag != 20*time.Millisecond {
		t.Errorf("lag %v", lag)
	}
	// The writer dies, the reader is promoted, DNS follows later.
	m[instance("a")].err, m[cluster].err = errRefused, errRefused
	s.until("", 3*time.Second)
	m[instance("b")].answer = Answer{Server: "i-b", Peers: peers("b", "a", "b")}
	if took := s.until(instance("b"), 5*time.Second); took > 150*time.Millisecond {
		t.Errorf("it took %v", took)
	}
	s.run(20 * time.Second)
	if s.topo.Generation != 2 {
		t.Errorf("generation %d: %s", s.topo.Generation, s.topo.Cause)
	}
	// An instance that the cluster lists no longer is forgotten; strange ones are not asked.
	bad := append(peers("b", "b"), Peer{ID: "evil.example.com/"}, Peer{ID: ""}, Peer{ID: "x:1"})
	m[instance("b")].answer.Peers = bad
	m[cluster].err, m[cluster].answer = nil, m[instance("b")].answer
	s.run(3 * time.Minute)
	var names []string
	for _, m := range s.topo.Members {
		names = append(names, m.Address)
	}
	if !slices.Equal(names, []string{cluster, instance("b")}) {
		t.Errorf("members %q", names)
	}
}

func TestInstancePattern(t *testing.T) {
	tests := []struct{ pattern, cluster, want string }{
		{"", "c.cluster-abc.eu-west-1.rds.amazonaws.com", "?.abc.eu-west-1.rds.amazonaws.com"},
		{"", "c.cluster-ro-abc.eu-west-1.rds.amazonaws.com", "?.abc.eu-west-1.rds.amazonaws.com"},
		{"", "c.cluster-custom-abc.rds.cn-north-1.amazonaws.com.cn", "?.abc.rds.cn-north-1.amazonaws.com.cn"},
		{"?.x", "c", "?.x"},
		{"", "db.internal", ""},
		{"??.x", "c", ""},
		{"x", "c", ""},
		{"a@?.x", "c", ""},
	}
	for _, tt := range tests {
		got, err := instancePattern(tt.pattern, tt.cluster)
		if got != tt.want || (err == nil) != (tt.want != "") {
			t.Errorf("%q, %q: %q, %v", tt.pattern, tt.cluster, got, err)
		}
	}
}

func TestOptions(t *testing.T) {
	tests := []struct {
		o  Options
		ok bool
	}{
		{Options{}, false},
		{Options{Writer: "a"}, false},
		{Options{Writer: "a:0"}, false},
		{Options{Writer: "a:70000"}, false},
		{Options{Members: []string{":1"}}, false},
		{Options{Writer: one}, true},
		{Options{Members: []string{one, one}}, true},
		{Options{Writer: one, Discovery: DNS}, false},
		{Options{Discovery: DNS}, false},
		{Options{Writer: named, Discovery: DNS}, true},
		{Options{Writer: named, Discovery: Aurora}, false},
		{Options{Writer: one, Discovery: Aurora, InstancePattern: "?.x"}, false},
		{Options{Writer: named, Discovery: Aurora, InstancePattern: "?.x"}, true},
		{Options{Writer: named, Discovery: "magic"}, false},
	}
	for _, tt := range tests {
		tt.o.NewProber = func(Member) Prober { return nil }
		if err := tt.o.Check(); (err == nil) != tt.ok {
			t.Errorf("%+v: %v", tt.o, err)
		}
	}
}
