// SPDX-License-Identifier: Apache-2.0

package pgsession

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"testing"
	"time"

	"github.com/rdsproxy/rdsproxy/test/sim/pgmsg"
)

// What holds after every event is checked by the world: a connection that is given
// back for others owes nothing, a session has a connection if and only if it is
// in a state to have one, the ledger is bounded, lists and maps agree.

// prefixes bring a session somewhere: what the client sends, and what has been
// answered of it.
var prefixes = []struct{ client, server string }{
	{"", ""},
	{`Query begin`, `Complete BEGIN | Ready T`},
	{`Query "select 1"`, ``},
	{`Parse s "select 1" | Bind "" s | Execute "" | Sync`, `ParseComplete | BindComplete`},
	{`Parse s "select 1" | Describe S s | Flush`, `ParseComplete`},
	{`Parse s "select 1" | Sync | Query "discard all" | Query "execute s"`, ``},
	{`Query "set x to 1"`, `Complete SET | Ready I`},
	{`Query "copy t from stdin"`, `CopyIn`},
	{`Parse "" "copy t from stdin" | Bind "" "" | Execute "" | Sync | CopyData x`, `ParseComplete | BindComplete`},
	{`Parse "" "select 1" | Parse "" "select 2" | Query "select 3"`, `Error 42601 "no"`},
	{`Query "reset all" | Query "select 1"`, ``},
}

// begin makes a world with one session that has got to the end of a prefix.
func begin(t *testing.T, which, cut uint8) (w *world, a *fakeClient, d *fakeConn) {
	w = newWorld(t)
	w.quiet = true
	d = w.connect("c1", map[string]string{"TimeZone": "UTC"}, true)
	o := Options{CleanupTimeout: time.Second}
	if which&0x80 != 0 {
		o.Settings = w.shared.Settings([]Setting{{"application_name", "fuzz"}})
	}
	a = w.login("a", o)
	if which&0x80 != 0 {
		d.feed(pgmsg.MustEncode(`Complete SET | Ready I`))
	}
	p := prefixes[int(which&0x7f)%len(prefixes)]
	a.feed(pgmsg.MustEncode(p.client))
	d.feed(pgmsg.MustEncode(p.server))
	w.chunk = func(n int) int { return min(n, 1+int(cut)) }
	return w, a, d
}

// finish lets everybody leave. Nothing may be left.
func finish(w *world) {
	w.tb.Helper()
	for _, c := range w.clients {
		if !c.gone && !c.closed {
			c.gone = true
			c.session.ClientGone()
		}
		for _, d := range c.cancelled {
			c.session.CancelDone(d.server)
		}
		c.cancelled = nil
		if d := c.conn; d != nil {
			c.conn, d.borrower, d.closed = nil, nil, true
			c.session.ServerGone()
		}
		if !c.session.Closed() || c.session.Borrowed() || c.session.Waiting() {
			w.fail("%s has not ended: %s", c.name, describe(&c.session))
		}
	}
}

func FuzzClientBytes(f *testing.F) {
	for i := range prefixes {
		f.Add(uint8(i), uint8(200), pgmsg.MustEncode(`Parse s "select 1" | Bind "" s | Execute "" | Sync | Query "deallocate all" | Terminate`))
		f.Add(uint8(i|0x80), uint8(2), pgmsg.MustEncode(`CopyData x | CopyDone | Sync | Close S s | Sync | Query "reset all" | Query commit`))
	}
	f.Fuzz(func(t *testing.T, which, cut uint8, p []byte) {
		w, a, d := begin(t, which, cut)
		d.answers = newAnswerer()
		given := 0
		a.heard = func(p []byte) { given += len(p) }
		for len(p) > 0 {
			n := min(len(p), 1+int(cut)*8)
			a.feed(p[:n])
			p = p[n:]
			for range 4 {
				d.answers.step()
			}
			out := d.answers.out
			d.answers.out = nil
			d.feed(out)
			w.events = nil
		}
		if a.session.kept > maxStatements || given > 1<<20 {
			w.fail("%d bytes are kept, %d were given", a.session.kept, given)
		}
		finish(w)
	})
}

func FuzzServerBytes(f *testing.F) {
	for i := range prefixes {
		f.Add(uint8(i), uint8(200), pgmsg.MustEncode(`Complete "SELECT 1" | Ready I`))
		f.Add(uint8(i|0x80), uint8(0), pgmsg.MustEncode(`ParseComplete | BindComplete | Row 1 | Error 42601 "no" | Ready E`))
		f.Add(uint8(i), uint8(6), pgmsg.MustEncode(`CopyIn | Complete "DISCARD ALL" | Ready I | Ready I`))
	}
	f.Fuzz(func(t *testing.T, which, cut uint8, p []byte) {
		w, a, d := begin(t, which, cut)
		d.feed(p)
		if !a.closed && a.session.AwaitsClient() {
			a.feed(pgmsg.MustEncode(`Parse s "select 1" | Sync | Query "select 2"`))
			d.feed(p)
		}
		finish(w)
	})
}

// requests are what the clients of FuzzSchedule send; %s is a mark.
var requests = []string{
	`Query "select '%s'"`,
	`Parse "" "select '%s'" | Bind "" "" | Execute "" | Sync`,
	`Parse s "select '%s'" | Bind "" s | Execute "" | Sync`,
	`Bind "" s | Execute "" | Sync`,
	`Close S s | Sync`,
	`Query begin`,
	`Query commit`,
	`Query "set x to '%s'"`,
	`Query "discard all"`,
	`Query "select 1/0, '%s'"`,
	`Parse "" "select 1/0" | Bind "" "" | Execute "" | Parse s "select '%s'" | Sync`,
	`Query "copy t from stdin" | CopyData x | CopyDone`,
	`Parse "" "select '%s'" | Flush`,
	`Sync`,
	`Query "execute s"`,
	`Bind "" "" | Execute "" | Sync`,
}

// schedule is two sessions that share a database, in an order of events that a
// string of bytes says.
type schedule struct {
	*world
	both  [2]*fakeClient
	now   *fakeConn // the connection that is there
	marks int
}

// heardBy checks what a client is sent: only rows that it has asked for itself.
func (s *schedule) heardBy(c *fakeClient) func([]byte) {
	var kept []byte
	return func(p []byte) {
		kept = append(kept, p...)
		for len(kept) >= headerSize {
			total := int(binary.BigEndian.Uint32(kept[1:])) + 1
			if len(kept) < total {
				return
			}
			if kept[0] == 'D' && !bytes.Contains(kept[:total], []byte("'"+c.name+".")) {
				s.fail("%s is given %q", c.name, kept[:total])
			}
			kept = kept[total:]
		}
	}
}

// supply has a connection there, for whoever waits.
func (s *schedule) supply() (granted bool) {
	if s.now.closed {
		s.now = s.connect(fmt.Sprintf("c%d", len(s.conns)+1), map[string]string{"TimeZone": "UTC"}, true)
		s.now.answers = newAnswerer()
	}
	for _, c := range s.both {
		if c.waiting && s.now.borrower == nil && !s.now.closed {
			c.grant(s.now)
			granted = true
		}
	}
	return granted
}

// answer lets the server read up to n messages and passes on up to m bytes.
func (s *schedule) answer(n, m int) bool {
	d := s.now
	did := false
	for range n {
		did = d.answers.step() || did
	}
	m = min(m, len(d.answers.out))
	if d.closed || m == 0 {
		return did
	}
	out := d.answers.out[:m]
	d.answers.out = d.answers.out[m:]
	d.feed(out)
	return true
}

func (s *schedule) deliverCancel(c *fakeClient) bool {
	if len(c.cancelled) == 0 {
		return false
	}
	d := c.cancelled[0]
	c.cancelled = c.cancelled[1:]
	d.answers.cancelled = len(d.answers.in) > 0
	c.session.CancelDone(d.server)
	s.run()
	return true
}

func (s *schedule) event(b byte) {
	c := s.both[b&1]
	arg := int(b >> 4)
	switch b >> 1 & 7 {
	case 0, 1:
		if c.gone || c.closed || len(c.inbox) > 1000 {
			return
		}
		s.marks++
		text := requests[arg]
		if bytes.Contains([]byte(text), []byte("%s")) {
			text = fmt.Sprintf(text, fmt.Sprintf("%s.%d", c.name, s.marks))
		}
		c.feed(pgmsg.MustEncode(text))
	case 2:
		s.answer(1+arg, 0)
	case 3:
		s.answer(0, 1+arg*arg)
	case 4:
		s.answer(16, 1<<20)
	case 5:
		if arg < 8 {
			if !c.gone && !c.closed && len(c.cancelled) < 3 {
				c.session.Cancel()
				s.run()
			}
		} else {
			s.deliverCancel(c)
		}
	case 6:
		s.supply()
	case 7:
		switch {
		case arg == 0 && !c.gone && !c.closed:
			c.gone = true
			c.session.ClientGone()
		case arg == 1 && !c.gone && !c.closed:
			c.session.Drain()
		case arg == 2 && c.timer > 0:
			c.timer = 0
			c.session.TimeUp()
		case arg == 3 && !s.now.closed:
			_ = s.performConn(s.now, []string{"gone"})
		}
		s.run()
	}
}

// settled lets go on what can, and checks that nobody is left waiting.
func (s *schedule) settled() {
	for again := true; again; {
		again = s.answer(16, 1<<20)
		for _, c := range s.both {
			again = s.deliverCancel(c) || again
		}
		again = s.supply() || again
		s.events = nil
	}
	for _, c := range s.both {
		v := &c.session
		switch {
		case v.Closed():
		case v.Waiting() && s.now.borrower != nil: // which another client keeps
		case v.AwaitsClient() && len(c.inbox) == 0:
		case v.srv != nil && v.srv.unsynced:
		default:
			s.fail("%s is left behind: %s, %d bytes unread", c.name, describe(v), len(c.inbox))
		}
	}
}

func FuzzSchedule(f *testing.F) {
	f.Add([]byte{0x00, 0x01, 0x0c, 0xf8, 0x0c, 0xf8})
	f.Add([]byte{0x20, 0x21, 0x0c, 0x18, 0x30, 0x08, 0x0c, 0x31, 0x08, 0x0a, 0x8a, 0x0e, 0x08})
	f.Add([]byte{0x50, 0x08, 0x90, 0x08, 0x80, 0x08, 0x60, 0x08, 0x41, 0x0c, 0x08, 0x3e, 0x0c})
	f.Add([]byte{0xb0, 0x44, 0x16, 0x71, 0x0a, 0x8a, 0x26, 0x08, 0x0c, 0xa1, 0xe1, 0xf1, 0x08})
	f.Fuzz(func(t *testing.T, order []byte) {
		s := &schedule{world: newWorld(t)}
		s.quiet = true
		s.now = s.connect("c1", map[string]string{"TimeZone": "UTC"}, true)
		s.now.answers = newAnswerer()
		s.both[0] = s.login("a", Options{CleanupTimeout: time.Second, BorrowTimeout: time.Second})
		s.both[1] = s.login("b", Options{
			CleanupTimeout: time.Second, BorrowTimeout: time.Second,
			Settings: s.shared.Settings([]Setting{{"application_name", "b"}}),
		})
		for _, c := range s.both {
			c.heard = s.heardBy(c)
		}
		for _, b := range order {
			s.event(b)
			s.events = nil
		}
		s.settled()
		finish(s.world)
	})
}
