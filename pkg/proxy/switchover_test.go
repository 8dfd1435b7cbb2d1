// SPDX-License-Identifier: Apache-2.0

package proxy_test

import (
	"net"
	"strconv"
	"testing"
	"time"

	"github.com/rdsproxy/rdsproxy/pkg/netloop"
	"github.com/rdsproxy/rdsproxy/pkg/proxy"
	"github.com/rdsproxy/rdsproxy/pkg/target"
)

// dialerTo opens connections to another database than the scene's.
func dialerTo(db *fakeDB) proxy.Dialer {
	host, port, _ := net.SplitHostPort(db.l.Addr().String())
	n, _ := strconv.Atoi(port)
	return target.NewDialer(target.Options{
		Host: host, Port: n, TLSMode: target.TLSDisable, ConnectTimeout: patience,
		Wrap: func(nc net.Conn) net.Conn { return netloop.NewTransport(nc) },
	})
}

// asked counts the queries that were ever asked on connections that are there.
func (db *fakeDB) asked() (n int64) {
	db.mu.Lock()
	defer db.mu.Unlock()
	for _, b := range db.backends {
		n += b.queries.Load()
	}
	return n
}

// TestSwitchWriter: clients go on with the new writer, those that wait included, and
// the old one is rid of them, though it does not answer any more.
func TestSwitchWriter(t *testing.T) {
	s := newScene(t, plan{max: 2})
	idle, waiter := s.client(), s.client()
	s.must(idle, "first")
	hung := make(chan struct{})
	t.Cleanup(func() { close(hung) })
	s.db.on(func(b *backend, at stage, sql string) reaction {
		if at == atQuery && sql == "SELECT 'stuck'" {
			b.wait(hung)
		}
		return goOn
	})
	holders := s.spread(2)
	for _, c := range holders {
		background(func() error { _, err := ask(c, "stuck"); return err })
	}
	eventually(t, "both connections are taken", func() bool { return s.stats().Targets[0].Pool.Borrowed == 2 })
	asked := background(func() error {
		_, err := ask(waiter, "waiter")
		return err
	})
	eventually(t, "a client waits", func() bool { return s.stats().Endpoints[0].Waiting == 1 })

	next := newFakeDB(t, 2)
	o := s.target
	o.Dialer = dialerTo(next)
	s.group.SwitchWriter(o)
	if err := s.await("the waiter's answer", asked); err != nil {
		t.Fatal(err)
	}
	before := next.asked()
	s.must(idle, "again")
	if next.asked() == before {
		t.Error("the old writer has answered")
	}
	eventually(t, "nothing is left of the old writer", func() bool {
		p := s.stats().Targets[0].Pool
		return p.Borrowed+p.Closing == 0
	})
}

// TestPause: during a pause transactions end, nobody gets a connection, and nobody
// gets an error.
func TestPause(t *testing.T) {
	s := newScene(t, plan{max: 2})
	holder, other := s.client(), s.client()
	s.exec(holder, "BEGIN")
	s.must(other, "before")
	s.group.Pause()
	if !s.group.Paused() {
		t.Error("not paused")
	}
	asked := background(func() error {
		_, err := ask(other, "during")
		return err
	})
	eventually(t, "a client waits", func() bool { return s.stats().Endpoints[0].Waiting == 1 })
	s.exec(holder, "COMMIT")
	eventually(t, "the database is rid of all", func() bool { return s.db.open() == 0 })
	select {
	case err := <-asked:
		t.Fatalf("served during the pause: %v", err)
	case <-time.After(50 * time.Millisecond):
	}
	s.group.Resume()
	if err := s.await("the answer after the pause", asked); err != nil {
		t.Fatal(err)
	}
}
