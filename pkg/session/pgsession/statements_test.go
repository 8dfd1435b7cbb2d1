// SPDX-License-Identifier: Apache-2.0

package pgsession

import (
	"fmt"
	"strings"
	"testing"

	"github.com/rdsproxy/rdsproxy/pkg/session"
	"github.com/rdsproxy/rdsproxy/test/sim/pgmsg"
)

// prepareMany lets a client prepare n statements of the given size and checks
// what becomes of it.
func prepareMany(t *testing.T, n, size int) *fakeClient {
	t.Helper()
	w := newWorld(t)
	w.shared.MaxStatements = 100
	d := w.connect("c1", nil, true)
	a := w.login("a", Options{})
	text := strings.Repeat("x", size)
	for i := range n {
		if a.closed {
			break
		}
		a.feed(pgmsg.MustEncode(fmt.Sprintf(`Parse s%d "select %d /* %s */" | Sync`, i, i, text)))
		for !a.closed && !d.server.owed.empty() {
			reply := "Ready I"
			switch d.server.owed.front().kind {
			case entryParse:
				reply = "ParseComplete"
			case entryClose:
				reply = "CloseComplete"
			}
			d.feed(pgmsg.MustEncode(reply))
		}
		w.events = nil
	}
	return a
}

func TestManyStatements(t *testing.T) {
	a := prepareMany(t, 40_000, 10)
	s := &a.session
	if s.state != idle || s.pins != 0 || len(s.statements) != 40_000 {
		t.Fatal(describe(s))
	}
	if n := a.w.conns["c1"].server.prepared.len(); n != 100 {
		t.Errorf("%d statements prepared", n)
	}
}

// TestLargeStatements uses up what a session may keep.
func TestLargeStatements(t *testing.T) {
	a := prepareMany(t, 70, 250_000)
	s := &a.session
	if s.pins != session.PinLargeStatement || s.kept > keepStatements+70*1000 {
		t.Fatal(describe(s), s.kept)
	}
	if sum := 0; true {
		for name, st := range s.statements {
			sum += size(name, st)
		}
		if sum != s.kept {
			t.Errorf("%d bytes kept, counted %d", sum, s.kept)
		}
	}
}

// TestTooManyStatements goes on with names only.
func TestTooManyStatements(t *testing.T) {
	w := newWorld(t)
	w.connect("c1", nil, true)
	a := w.login("a", Options{})
	a.feed(pgmsg.MustEncode(`Query begin`))
	for i := 0; !a.closed; i++ {
		a.feed(pgmsg.MustEncode(fmt.Sprintf(`Parse "%d%s" "select 1"`, i, strings.Repeat("n", 100_000))))
		w.events = nil
		if i > 2*maxStatements/100_000 {
			t.Fatal("there is no end to it")
		}
	}
}
