// SPDX-License-Identifier: Apache-2.0

package failover

import (
	"errors"
	"net/netip"
	"testing"
	"time"
)

// FuzzCore lets members, DNS and relays do anything, in virtual time. The stage holds
// what is always true against each state: nobody is asked twice at once, the writer is a
// member, the generation does not fall, and nothing spins. After the storm the one
// member that accepts writes is found.
func FuzzCore(f *testing.F) {
	f.Add(byte(0), []byte{0, 1, 10, 1, 1, 20, 2, 0, 30, 9, 0, 200})
	f.Add(byte(1), []byte{3, 0, 100, 4, 1, 50, 5, 2, 255, 6, 0, 1, 7, 1, 90})
	f.Add(byte(2), []byte{8, 0, 255, 8, 1, 255, 8, 2, 255, 2, 2, 9, 10, 0, 200, 11, 1, 3})
	f.Fuzz(func(t *testing.T, how byte, script []byte) {
		if len(script) > 600 {
			return
		}
		a, b, c := one, two, three
		o := Options{Members: []string{a, b, c}}
		switch how % 3 {
		case 1:
			o = Options{Writer: named, Discovery: DNS}
		case 2:
			o = Options{Writer: cluster, Discovery: Aurora}
			a, b, c = cluster, instance("a"), instance("b")
		}
		m := map[string]*actor{a: {answer: writer(1)}, b: {answer: reader(2)}, c: {answer: reader(3)}}
		found, dnsError := addresses("10.0.0.1", "10.0.0.2", "10.0.0.3"), error(nil)
		s := newNamedStage(t, o, m, func() (Resolved, error) { return found, dnsError })
		all := []string{a, b, c}
		for ; len(script) >= 3; script = script[3:] {
			at := m[all[int(script[1])%3]]
			storm(s, at, script[0], script[1], &found, &dnsError)
			before := total(s.probes)
			d := time.Duration(script[2]) * 10 * time.Millisecond
			s.run(d)
			if n := total(s.probes) - before; n > len(s.c.members)*(int(d/(100*time.Millisecond))+3) {
				t.Fatalf("%d probes in %v", n, d)
			}
		}
		settle(t, s, m, all, &found, &dnsError)
	})
}

// storm is one thing that happens.
func storm(s *stage, at *actor, what, which byte, found *Resolved, dnsError *error) {
	a := &at.answer
	switch what % 16 {
	case 0:
		at.err, at.hangs, at.stuck, at.delay = nil, false, false, 0
	case 1:
		at.err = errRefused
	case 2:
		at.hangs = true
	case 3:
		at.stuck = true
	case 4:
		at.delay = time.Duration(which) * 5 * time.Millisecond
	case 5:
		at.err = &ProbeError{Kind(which % 5), errors.New("storm")}
	case 6:
		a.ReadOnly, a.Replicates = false, false
	case 7:
		a.ReadOnly, a.Replicates = true, true
	case 8:
		a.Timeline += uint32(which % 3)
	case 9:
		a.Server += "'"
	case 10:
		*a = Answer{ReadOnly: which%2 == 0}
	case 11:
		a.Position += uint64(which) * 1000
	case 12:
		*dnsError = errors.New("storm")
	case 13:
		*dnsError = nil
		*found = Resolved{TTL: time.Duration(which) * time.Second}
		for i := range which % 5 {
			found.Addresses = append(found.Addresses, netip.AddrFrom4([4]byte{10, 0, 0, i}))
		}
	case 14:
		s.suspect([]string{one, two, cluster}[which%3])
	case 15:
		a.Peers = []Peer{{ID: "a", Writer: which%2 == 0}, {ID: "b", Writer: which%3 == 0}, {ID: string(rune('a' + which%30))}}
	}
}

// settle: the storm is over, and a new writer is promoted in order.
func settle(t *testing.T, s *stage, m map[string]*actor, all []string, found *Resolved, dnsError *error) {
	*dnsError = nil
	*found = addresses("10.0.0.2")
	if s.c.s.discovery == DNS {
		*found = addresses("10.0.0.1", "10.0.0.2", "10.0.0.3")
	}
	top := uint32(0)
	for _, at := range m {
		top = max(top, at.answer.Timeline)
	}
	for i, a := range all {
		*m[a] = actor{answer: reader(i)}
		m[a].answer.Timeline = top
		if s.c.s.discovery == Aurora {
			m[a].answer.Peers = []Peer{{ID: "a", Writer: true}, {ID: "b"}}
		}
	}
	// What the name or the table has named is found again first.
	s.run(time.Minute + 5*time.Second)
	if s.topo.Writer != "" {
		t.Fatalf("a writer, though all are readers: %+v", s.topo)
	}
	m[all[1]].answer = writer(1)
	m[all[1]].answer.Timeline = top + 1
	s.run(10 * time.Second)
	if s.topo.Writer != all[1] {
		t.Fatalf("the writer is %q: %+v", s.topo.Writer, s.topo)
	}
	s.stays(5 * time.Second)
}

func total(probes map[string]int) (n int) {
	for _, k := range probes {
		n += k
	}
	return n
}

// FuzzDNSAnswer: whatever a DNS server sends, there is an error or a list.
func FuzzDNSAnswer(f *testing.F) {
	for _, seed := range dnsSeeds(f) {
		f.Add(seed)
		for i := range seed {
			f.Add(seed[:i])
		}
	}
	q := question("db.internal.")
	f.Fuzz(func(t *testing.T, msg []byte) {
		found, _, err := parseAnswer(msg, q, 7)
		if err != nil && (len(found.Addresses) > 0 || len(found.Names) > 0) {
			t.Error("an error and an answer")
		}
		if len(found.Names) > maxAliases {
			t.Errorf("%d aliases", len(found.Names))
		}
		if len(found.Addresses) > 0 && found.TTL <= 0 {
			t.Error("no TTL")
		}
	})
}
