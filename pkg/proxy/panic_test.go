// SPDX-License-Identifier: Apache-2.0

package proxy_test

import (
	"context"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/jackc/pgx/v5/pgproto3"
	"go.uber.org/zap/zapcore"

	"github.com/rdsproxy/rdsproxy/pkg/proxy"
	"github.com/rdsproxy/rdsproxy/pkg/target"
)

// faulty is a log that panics where a line with a certain text is written: a
// defect in the middle of whatever was at work.
type faulty struct {
	zapcore.Core
	text atomic.Pointer[string]
}

func (f *faulty) With(fields []zapcore.Field) zapcore.Core {
	return &faultyChild{f.Core.With(fields), f}
}

func (f *faulty) Check(e zapcore.Entry, ce *zapcore.CheckedEntry) *zapcore.CheckedEntry {
	f.trip(e)
	return f.Core.Check(e, ce)
}

func (f *faulty) trip(e zapcore.Entry) {
	if text := f.text.Load(); text != nil && strings.Contains(e.Message, *text) {
		panic("injected: " + *text)
	}
}

type faultyChild struct {
	zapcore.Core
	of *faulty
}

func (f *faultyChild) Check(e zapcore.Entry, ce *zapcore.CheckedEntry) *zapcore.CheckedEntry {
	f.of.trip(e)
	return f.Core.Check(e, ce)
}

func (f *faulty) on(text string) { f.text.Store(&text) }

const pinnedLine = "The client session was pinned"

// newFaultyScene makes a scene whose log panics when told to.
func newFaultyScene(t *testing.T, p plan) (*scene, *faulty) {
	f := &faulty{}
	p.log = func(c zapcore.Core) zapcore.Core {
		f.Core = c
		return f
	}
	return newScene(t, p), f
}

// wantOneVictim checks that one session has panicked and that its loss is the only one.
func (s *scene) wantOneVictim() {
	s.tb.Helper()
	eventually(s.tb, "the session has gone", func() bool { return s.stats().Endpoints[0].Closed["panic"] == 1 })
	if n := s.stats().Panics; n != 1 {
		s.tb.Errorf("%d panics", n)
	}
}

func TestPanicOnClientData(t *testing.T) {
	s, fault := newFaultyScene(t, plan{max: 2, loops: 1})
	other, victim := s.client(), s.client()
	s.exec(other, "BEGIN")
	kept := s.must(other, "other")
	s.must(victim, "victim")
	fault.on(pinnedLine)
	if _, err := query(victim, "SET x = 1"); err == nil {
		t.Error("no error for the client whose session has panicked")
	}
	s.wantOneVictim()
	if r := s.must(other, "other"); r != kept {
		t.Errorf("the other client's transaction went from %v to %v", kept, r)
	}
	s.exec(other, "COMMIT")
	eventually(t, "the victim's connection is closed", func() bool { return s.db.open() == 1 })
	hangUpNow(other)
	s.settled()
	if n := s.stats().Targets[0].Pool.Closed; n[1] != 1 { // discarded
		t.Errorf("closed %v", n)
	}
}

// TestPanicOnServerData: the database says something that makes the session pin,
// while it handles the database's bytes.
func TestPanicOnServerData(t *testing.T) {
	s, fault := newFaultyScene(t, plan{max: 2, loops: 1})
	s.db.on(func(b *backend, at stage, sql string) reaction {
		if at == atQuery && strings.Contains(sql, "talk") {
			b.send(&pgproto3.ParameterStatus{Name: "TimeZone", Value: "Europe/Berlin"})
		}
		return goOn
	})
	other, victim := s.client(), s.client()
	s.must(other, "other")
	fault.on(pinnedLine)
	if _, err := query(victim, "SELECT 'talk'"); err == nil {
		// The answer may have been on its way before the session failed.
		if _, err = query(victim, "SELECT 'more'"); err == nil {
			t.Error("the session goes on")
		}
	}
	s.wantOneVictim()
	s.must(other, "other")
	hangUpNow(other)
	s.settled()
}

// TestPanicOnTimer: the session panics when its wait is over.
func TestPanicOnTimer(t *testing.T) {
	s, fault := newFaultyScene(t, plan{
		max: 1, loops: 2, target: func(o *proxy.TargetOptions) { o.BorrowTimeout = 50 * time.Millisecond },
	})
	holder, victim := s.client(), s.client()
	s.exec(holder, "BEGIN")
	fault.on("Timed-out waiting")
	if _, err := ask(victim, "victim"); err == nil {
		t.Error("no error")
	}
	s.wantOneVictim()
	s.must(holder, "holder")
	s.exec(holder, "COMMIT")
	s.must(holder, "again")
	hangUpNow(holder)
	s.settled()
}

// TestPanicAtTheStart: the session panics before it has told its client anything.
func TestPanicAtTheStart(t *testing.T) {
	s, fault := newFaultyScene(t, plan{max: 1})
	s.must(s.client(), "first")
	fault.on(pinnedLine)
	if _, err := s.tryClient("app", "replication=database"); err == nil {
		t.Error("no error")
	}
	s.wantOneVictim()
}

// TestPanicWhileLeaving: the client has gone, and the session that cleans up
// behind it panics.
func TestPanicWhileLeaving(t *testing.T) {
	s, fault := newFaultyScene(t, plan{
		max: 1, settings: func(o *proxy.Settings) { o.CleanupTimeout = 50 * time.Millisecond },
	})
	victim := s.client()
	s.exec(victim, "BEGIN")
	fault.on("could not be cleaned")
	s.db.on(func(b *backend, at stage, sql string) reaction {
		if at == atQuery && sql == "ROLLBACK" {
			<-b.dead
			return hangUp
		}
		return goOn
	})
	hangUpNow(victim)
	eventually(t, "the panic", func() bool { return s.stats().Panics == 1 })
	s.db.on(nil)
	s.db.kill()
	next := s.client()
	s.must(next, "next")
	hangUpNow(next)
	s.settled()
}

// TestPanicOfDialer: a defect while a database connection is opened.
func TestPanicOfDialer(t *testing.T) {
	var faults atomic.Int64
	faults.Store(2)
	s := newScene(t, plan{dialer: func(d proxy.Dialer) proxy.Dialer { return &panicking{d, &faults} }})
	s.must(s.client(), "patient")
	if n := s.stats().Panics; n != 2 {
		t.Errorf("%d panics", n)
	}
}

type panicking struct {
	proxy.Dialer
	left *atomic.Int64
}

func (d *panicking) Dial(ctx context.Context, r target.Request) (*target.Established, error) {
	if d.left.Add(-1) >= 0 {
		panic("injected")
	}
	return d.Dialer.Dial(ctx, r)
}
