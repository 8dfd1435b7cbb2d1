// SPDX-License-Identifier: Apache-2.0

package mysession

import (
	"bytes"
	"testing"
	"time"

	"github.com/rdsproxy/rdsproxy/pkg/session"
	wire "github.com/rdsproxy/rdsproxy/pkg/wire/mysql"
)

// silent is a Host that does nothing but lend one connection.
type silent struct {
	fakeClient
	srv *Server
	out int
}

func (h *silent) ToClient(p []byte)          { h.out += len(p) }
func (h *silent) ToServer(p []byte)          { h.out += len(p) }
func (h *silent) Borrow(*Settings) *Server   { return h.srv }
func (h *silent) Scarce() bool               { return false }
func (h *silent) Release(bool)               {}
func (h *silent) Now() time.Duration         { return 0 }
func (h *silent) Served(session.Work)        {}
func (h *silent) PauseClient()               {}
func (h *silent) ResumeClient()              {}
func (h *silent) SetTimer(time.Duration)     {}
func (h *silent) Note(session.Event, string) {}
func (h *silent) Pinned(session.Pins)        {}
func (h *silent) Unpinned()                  {}

// exchanger plays one query and its reply over and over.
type exchanger struct {
	s              Session
	query, reply   []byte
	clean, cleanup []byte
}

func newExchanger(tb testing.TB, caps wire.Capabilities, track []byte) *exchanger {
	tb.Helper()
	sh := NewShared(10)
	h := &silent{srv: NewServer(sh, &ServerFacts{Capabilities: wire.Always, Base: map[string]string{"autocommit": "ON"}})}
	e := &exchanger{query: wire.AppendQuery(nil, caps, "select id, name from t where id = 17")}
	e.s.Init(Options{Host: h, Shared: sh, Capabilities: caps, LoginSeq: 2})
	e.s.Start()
	r := wire.AppendColumnCount(nil, 1, wire.Always, 2, true)
	r = wire.AppendColumn(r, 2, wire.Always, &wire.Column{Name: []byte("id")})
	r = wire.AppendColumn(r, 3, wire.Always, &wire.Column{Name: []byte("name")})
	r = wire.AppendTextRow(r, 4, []byte("17"), []byte("seventeen"))
	e.reply = wire.AppendResultEnd(r, 5, wire.Always, wire.OK{Status: wire.StatusAutocommit, Track: track})
	e.clean, e.cleanup = bytes.Clone(e.query), bytes.Clone(e.reply)
	return e
}

func (e *exchanger) once(tb testing.TB) {
	copy(e.query, e.clean) // the session may have edited them in place
	copy(e.reply, e.cleanup)
	if n := e.s.ClientData(e.query); n != len(e.query) {
		tb.Fatalf("%d of %d bytes of the query", n, len(e.query))
	}
	if n := e.s.ServerData(e.reply); n != len(e.reply) || !e.s.Idle() {
		tb.Fatalf("%d of %d bytes of the reply, idle: %v", n, len(e.reply), e.s.Idle())
	}
}

// kinds of clients and servers that the hot path is measured with.
var hotKinds = map[string]struct {
	caps  wire.Capabilities
	track []byte
}{
	"modern":                    {wire.Always, nil},
	"EOF packets":               {wire.Always &^ (wire.ClientDeprecateEOF | wire.ClientSessionTrack), nil},
	"MySQL 9":                   {wire.Always, wire.AppendTrackVariable(nil, "statement_id", "12345")},
	"MariaDB with a binary log": {wire.Always, wire.AppendTrackVariable(nil, "last_gtid", "0-1-2")},
	"MySQL 9 plain":             {wire.Always &^ wire.ClientSessionTrack, wire.AppendTrackVariable(nil, "statement_id", "12345")},
}

func TestQueriesDoNotAllocate(t *testing.T) {
	for name, k := range hotKinds {
		e := newExchanger(t, k.caps, k.track)
		e.once(t)
		if n := testing.AllocsPerRun(100, func() { e.once(t) }); n != 0 {
			t.Errorf("%s: %v allocations per query", name, n)
		}
	}
}

func BenchmarkQuery(b *testing.B) {
	for name, k := range hotKinds {
		b.Run(name, func(b *testing.B) {
			e := newExchanger(b, k.caps, k.track)
			b.ReportAllocs()
			for b.Loop() {
				e.once(b)
			}
		})
	}
}
