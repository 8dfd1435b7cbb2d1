// SPDX-License-Identifier: Apache-2.0

package proxy_test

import (
	"errors"
	"sync"
	"testing"
	"time"

	"github.com/jackc/pgx/v5/pgconn"

	"github.com/rdsproxy/rdsproxy/pkg/proxy"
)

// replicas are readers behind the endpoint of a scene.
type replicas struct {
	s       *scene
	readers *proxy.Readers
	dbs     []*fakeDB
	groups  []*proxy.TargetGroup

	mu     sync.Mutex
	states []proxy.ReaderState
}

// withReaders puts n readers behind the scene's endpoint.
func withReaders(s *scene, n, max int) *replicas {
	s.tb.Helper()
	why := errors.New("there is no reader")
	r := &replicas{s: s, readers: s.proxy.NewReaders(s.target, why), states: make([]proxy.ReaderState, n)}
	for range n {
		db := newFakeDB(s.tb, max)
		o := s.target
		o.Dialer = dialerTo(db)
		g := s.proxy.AddReader(o, r.readers.Lobby(), why)
		g.SwitchWriter(o, time.Time{})
		r.dbs, r.groups = append(r.dbs, db), append(r.groups, g)
	}
	o := s.point
	o.Readers, o.Target = r.readers, r.readers.Lobby()
	s.endpoint.Update(o)
	return r
}

// set tells of all readers anew.
func (r *replicas) set(states ...proxy.ReaderState) {
	r.mu.Lock()
	copy(r.states, states)
	r.mu.Unlock()
	var list []proxy.Reader
	for i, g := range r.groups {
		list = append(list, proxy.Reader{Group: g, State: func() proxy.ReaderState {
			r.mu.Lock()
			defer r.mu.Unlock()
			return r.states[i]
		}})
	}
	r.readers.Set(list)
}

// at tells which reader has answered the client's last query.
func (r *replicas) at(c *pgconn.PgConn) int {
	r.s.tb.Helper()
	before := make([]int64, len(r.dbs))
	for i, db := range r.dbs {
		before[i] = db.asked()
	}
	r.s.must(c, "where")
	for i, db := range r.dbs {
		if db.asked() > before[i] {
			return i
		}
	}
	r.s.tb.Fatal("no reader was asked")
	return -1
}

var usable = proxy.ReaderState{Usable: true}

// TestReadersShare: clients are spread by what readers can take, and stay.
func TestReadersShare(t *testing.T) {
	s := newScene(t, plan{max: 6})
	r := withReaders(s, 2, 6)
	r.set(usable, usable)
	var clients []*pgconn.PgConn
	count := make([]int, 2)
	for range 6 {
		c := s.client()
		clients = append(clients, c)
		count[r.at(c)]++
	}
	if count[0] != 3 || count[1] != 3 {
		t.Errorf("%v clients", count)
	}
	if s.db.asked() != 0 {
		t.Error("the writer was asked")
	}
	first := r.at(clients[0])
	for range 5 {
		if at := r.at(clients[0]); at != first {
			t.Fatalf("a client of reader %d goes to %d", first, at)
		}
	}
}

// TestReaderLost: clients of a reader that is gone go to another, but never to one that
// may be older than what they have seen.
func TestReaderLost(t *testing.T) {
	s := newScene(t, plan{})
	r := withReaders(s, 2, 10)
	r.set(usable, proxy.ReaderState{})
	c := s.client()
	if at := r.at(c); at != 0 {
		t.Fatalf("reader %d", at)
	}
	r.set(proxy.ReaderState{}, proxy.ReaderState{Usable: true, AsOf: time.Now().Add(-time.Hour)})
	answer := background(func() error {
		_, err := ask(c, "later")
		return err
	})
	eventually(t, "the client waits", func() bool { return s.stats().Endpoints[0].Waiting == 1 })
	select {
	case err := <-answer:
		t.Fatalf("served by an older reader: %v", err)
	case <-time.After(250 * time.Millisecond): // two looks
	}
	r.mu.Lock()
	r.states[1].AsOf = time.Now()
	r.mu.Unlock()
	if err := s.await("the answer", answer); err != nil {
		t.Fatal(err)
	}
	r.mu.Lock()
	r.states[1].AsOf = time.Now().Add(-time.Hour)
	r.mu.Unlock()
	if at := r.at(c); at != 1 {
		t.Errorf("reader %d, though its own is there", at)
	}
}

// TestNoReader: without a reader clients wait, and get an error in the end; one that
// comes serves them. The writer serves nobody unless it is one of the list.
func TestNoReader(t *testing.T) {
	s := newScene(t, plan{target: func(o *proxy.TargetOptions) { o.BorrowTimeout = 300 * time.Millisecond }})
	r := withReaders(s, 2, 10)
	if _, err := s.tryClient("app"); err == nil {
		t.Error("logged in without a reader")
	}
	r.set(proxy.ReaderState{}, proxy.ReaderState{Usable: true, Last: true})
	c := s.client()
	if at := r.at(c); at != 1 {
		t.Errorf("reader %d", at)
	}
	r.set(usable, proxy.ReaderState{Usable: true, Last: true})
	if at := r.at(c); at != 0 {
		t.Error("the last resort is used though there is a reader")
	}
	r.set(proxy.ReaderState{}, proxy.ReaderState{})
	_, err := ask(c, "nobody")
	if err == nil {
		t.Error("served by nobody")
	}
	r.set(usable, proxy.ReaderState{})
	if at := r.at(c); at != 0 {
		t.Errorf("reader %d", at)
	}
	if s.db.asked() != 0 {
		t.Error("the writer was asked")
	}
}

// TestReaderSwitched: a reader whose server is given up lets go of its clients.
func TestReaderSwitched(t *testing.T) {
	s := newScene(t, plan{})
	r := withReaders(s, 2, 10)
	r.set(usable, proxy.ReaderState{})
	idle, waiting := s.client(), s.client()
	s.must(idle, "x")
	r.groups[0].LoseWriter(errors.New("it is the writer now"), false)
	answer := background(func() error {
		_, err := ask(waiting, "y")
		return err
	})
	eventually(t, "a client waits", func() bool { return s.stats().Endpoints[0].Waiting == 1 })
	r.set(proxy.ReaderState{}, usable)
	r.groups[0].GiveUpWriter()
	if err := s.await("the answer", answer); err != nil {
		t.Fatal(err)
	}
	if at := r.at(idle); at != 1 {
		t.Errorf("reader %d", at)
	}
	eventually(t, "nothing is left of the old reader", func() bool { return r.dbs[0].open() == 0 })
}
