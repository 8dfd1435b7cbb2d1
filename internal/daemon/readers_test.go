// SPDX-License-Identifier: Apache-2.0

package daemon

import (
	"fmt"
	"testing"
	"time"
)

// readOnlyEndpoint writes the endpoint "main" in front of readers.
func readOnlyEndpoint(group, more string) string {
	return fmt.Sprintf("endpoints: [{name: main, listen: '127.0.0.1:0', role: read_only, target_group: %s%s}]\n", group, more)
}

// TestReadOnlyEndpoint: clients of a read-only endpoint are served by readers, never by
// the writer; when the reader becomes the writer they go to the one that is a reader
// now.
func TestReadOnlyEndpoint(t *testing.T) {
	s := newScene(t)
	first, second := newFakeDB(t, "first"), newFakeDB(t, "second")
	second.readOnly.Store(true)
	s.configure(readOnlyEndpoint("first", "")+members("first", "", first, second), first)
	s.start()
	c := s.client()
	for range 3 {
		if got := s.ask(c, "SELECT 1"); got != "second" {
			t.Errorf("answered by %q, which is no reader", got)
		}
	}
	first.readOnly.Store(true)
	second.readOnly.Store(false)
	s.waitLog("A reader is not read from any more.", 1)
	if got := s.ask(c, "SELECT 2"); got != "first" {
		t.Errorf("answered by %q, which is no reader any more", got)
	}
}

// TestReaderFallback: without a reader, clients wait, or are served by the writer where
// that is allowed, until there is a reader.
func TestReaderFallback(t *testing.T) {
	s := newScene(t)
	first, second := newFakeDB(t, "first"), newFakeDB(t, "second")
	second.readOnly.Store(true)
	s.configure(readOnlyEndpoint("first", "")+members("first", "", first), first)
	s.start()
	answer := make(chan string, 1)
	go func() {
		c, err := s.connect("app", "sesame")
		if err != nil {
			answer <- err.Error()
			return
		}
		answer <- s.ask(c, "SELECT 1")
	}()
	s.waitLog("A new client connected.", 1)
	select {
	case got := <-answer:
		t.Fatalf("answered by %q though there is no reader", got)
	case <-time.After(300 * time.Millisecond): // some looks for a reader
	}
	s.configure(readOnlyEndpoint("first", ", reader_fallback: writer")+members("first", "", first), first)
	s.reload(taken)
	if got := <-answer; got != "first" {
		t.Errorf("answered by %q", got)
	}
	c := s.client()
	s.configure(readOnlyEndpoint("first", ", reader_fallback: writer")+members("first", "", first, second), first)
	s.reload(taken)
	eventually(t, "the reader is read from", func() bool { return s.ask(c, "SELECT 2") == "second" })
	s.configure(readOnlyEndpoint("first", ", reader_fallback: writer, max_replica_lag: 1s")+members("first", "", first, second), first)
	s.reload(taken)
	if got := s.ask(c, "SELECT 3"); got != "second" {
		t.Errorf("answered by %q", got)
	}
}

// TestCustomEndpoint: an endpoint over some of the members is served by these alone.
func TestCustomEndpoint(t *testing.T) {
	s := newScene(t)
	first, second, third := newFakeDB(t, "first"), newFakeDB(t, "second"), newFakeDB(t, "third")
	second.readOnly.Store(true)
	third.readOnly.Store(true)
	s.configure(readOnlyEndpoint("first", fmt.Sprintf(", members: ['%s']", third.addr()))+members("first", "", first, second, third), first)
	s.start()
	for range 4 {
		if got := s.ask(s.client(), "SELECT 1"); got != "third" {
			t.Errorf("answered by %q", got)
		}
	}
	if n := second.sessions.Load(); n > 1 {
		t.Errorf("%d sessions on the reader of others, one of them to ask what it is", n)
	}
}
