// SPDX-License-Identifier: Apache-2.0

package daemon

import (
	"fmt"
	"testing"
)

// members writes a target group with members, and what else is to be in it.
func members(name, more string, dbs ...*fakeDB) string {
	list := ""
	for _, db := range dbs {
		list += fmt.Sprintf("'%s', ", db.addr())
	}
	return fmt.Sprintf("target_groups: [{name: %s, members: [%s]%s}]\n", name, list, more)
}

// TestFollowsWriter: the client of a group with two members is served by the one that
// accepts writes, and goes on with the other when the roles are exchanged.
func TestFollowsWriter(t *testing.T) {
	s := newScene(t)
	first, second := newFakeDB(t, "first"), newFakeDB(t, "second")
	first.readOnly.Store(true)
	s.configure(members("first", "", first, second), first)
	s.start()
	c := s.client()
	if got := s.ask(c, "SELECT 1"); got != "second" {
		t.Errorf("answered by %q, which is no writer", got)
	}
	second.readOnly.Store(true)
	s.waitLog("Clients wait for database connections.", 1)
	answer := make(chan string, 1)
	go func() { answer <- s.ask(c, "SELECT 2") }()
	first.readOnly.Store(false)
	if got := <-answer; got != "first" {
		t.Errorf("answered by %q, which is no writer any more", got)
	}
	s.waitLog("Database connections lead to the writer.", 2)
}

// TestWriterWaitedFor: a client that comes before there is a writer waits for it.
func TestWriterWaitedFor(t *testing.T) {
	s := newScene(t)
	db := newFakeDB(t, "only")
	db.readOnly.Store(true)
	s.configure("", db)
	s.start()
	answer := make(chan string, 1)
	go func() {
		if c, err := s.connect("app", "sesame"); err == nil {
			answer <- s.ask(c, "SELECT 1")
		} else {
			answer <- err.Error()
		}
	}()
	eventually(t, "the member is asked", func() bool { return db.asked.Load() > 3 })
	select {
	case got := <-answer:
		t.Fatalf("answered by %q, which is no writer", got)
	default:
	}
	db.readOnly.Store(false)
	if got := <-answer; got != "only" {
		t.Errorf("answered by %q", got)
	}
}

// TestReloadWriter: another writer in the configuration is gone over to; a change that
// has nothing to do with the members leaves watcher and connections alone.
func TestReloadWriter(t *testing.T) {
	s := newScene(t)
	first, second := newFakeDB(t, "orders"), newFakeDB(t, "other")
	s.configure("", first)
	s.start()
	c := s.client()
	s.ask(c, "SELECT 1")
	sessions := first.sessions.Load()
	s.configure("idle_client_timeout: 10m", first)
	s.reload(taken)
	if got := s.ask(c, "SELECT 1"); got != "orders" || first.sessions.Load() != sessions {
		t.Errorf("answered by %q after %d new sessions", got, first.sessions.Load()-sessions)
	}
	s.configure(fmt.Sprintf("target_groups: [{name: orders, members: ['%s'], writer: '%s'}]", second.addr(), second.addr()), first)
	s.reload(taken)
	eventually(t, "clients are served by the new writer", func() bool { return s.ask(c, "SELECT 1") == "other" })
}

// TestReloadMembers: a member more changes nothing for those who are connected.
func TestReloadMembers(t *testing.T) {
	s := newScene(t)
	first, second := newFakeDB(t, "orders"), newFakeDB(t, "other")
	second.readOnly.Store(true)
	s.configure("", first)
	s.start()
	c := s.client()
	s.ask(c, "BEGIN")
	s.configure(members("orders", "", first, second), first)
	s.reload(taken)
	eventually(t, "the new member is asked", func() bool { return second.asked.Load() > 0 })
	asked := first.asked.Load()
	eventually(t, "the old one is asked on", func() bool { return first.asked.Load() > asked })
	if got := s.ask(c, "COMMIT"); got != "orders" {
		t.Errorf("answered by %q", got)
	}
}
