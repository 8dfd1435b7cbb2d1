// SPDX-License-Identifier: Apache-2.0

package proxy_test

import (
	"errors"
	"net"
	"strconv"
	"testing"
	"time"

	"github.com/jackc/pgx/v5/pgconn"

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

// TestSurvivors: when a server was restarted, connections of before are broken off, and
// those that were opened since go on, until they become free.
func TestSurvivors(t *testing.T) {
	s := newScene(t, plan{max: 2})
	before, after := s.client(), s.client()
	s.exec(before, "BEGIN")
	restarted := time.Now()
	s.exec(after, "BEGIN")
	s.group.SwitchWriter(s.target, restarted)
	if _, err := ask(before, "lost"); err == nil {
		t.Error("a connection to the old run goes on")
	}
	first := s.must(after, "kept")
	s.exec(after, "COMMIT")
	if again := s.must(after, "again"); again.pid == first.pid {
		t.Error("a connection of before the restart was noticed is lent again")
	}
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
	s.group.SwitchWriter(o, time.Time{})
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

// TestLoseWriter: while there is no writer nothing is dialled and nobody gets an error;
// those who have a connection keep it, those who wait get one at once, each by one dial.
func TestLoseWriter(t *testing.T) {
	s := newScene(t, plan{max: 3})
	holder, first, second := s.client(), s.client(), s.client()
	s.exec(holder, "BEGIN")
	s.must(first, "before")
	s.group.LoseWriter(errors.New("it does not answer"), true)
	eventually(t, "only the borrowed connection is left", func() bool { return s.db.open() == 1 })
	opened := s.stats().Targets[0].Opened
	var answers []<-chan error
	for _, c := range []*pgconn.PgConn{first, second} {
		answers = append(answers, background(func() error {
			_, err := ask(c, "during")
			return err
		}))
	}
	eventually(t, "two clients wait", func() bool { return s.stats().Endpoints[0].Waiting == 2 })
	s.group.LoseWriter(errors.New("it is down"), false)
	s.group.Pause()
	s.group.ExplainNoWriter(errors.New("it is gone"))
	if st := s.stats().Targets[0]; !st.NoWriter || st.Available || st.LastError.Error() != "it is gone" {
		t.Errorf("%v, available %v, %v", st.NoWriter, st.Available, st.LastError)
	}
	s.exec(holder, "COMMIT")
	s.group.RegainWriter()
	select {
	case err := <-answers[0]:
		t.Fatalf("served during a pause: %v", err)
	case <-time.After(50 * time.Millisecond):
	}
	s.group.Resume()
	for _, a := range answers {
		if err := s.await("the answer", a); err != nil {
			t.Fatal(err)
		}
	}
	if st := s.stats().Targets[0]; st.NoWriter || !st.Available || st.Opened-opened > 2 {
		t.Errorf("%v, available %v, %d connections were opened for two clients", st.NoWriter, st.Available, st.Opened-opened)
	}
}

// TestGiveUpWriter: what runs on a writer that does not come back is broken off.
func TestGiveUpWriter(t *testing.T) {
	s := newScene(t, plan{})
	hung := make(chan struct{})
	t.Cleanup(func() { close(hung) })
	s.db.on(func(b *backend, at stage, sql string) reaction {
		if at == atQuery && sql == "INSERT" {
			b.wait(hung)
		}
		return goOn
	})
	c := s.client()
	begun := background(func() error { return c.Exec(t.Context(), "INSERT").Close() })
	eventually(t, "it runs", func() bool { return s.stats().Targets[0].Pool.Borrowed == 1 })
	s.group.LoseWriter(errors.New("it does not answer"), true)
	s.group.GiveUpWriter()
	if err := s.await("the end", begun); err == nil {
		t.Error("no error")
	}
	eventually(t, "nothing is left of the writer", func() bool { return s.stats().Targets[0].Pool.Borrowed == 0 })
}

// TestSuspect: whoever watches the database hears of what is odd with it.
func TestSuspect(t *testing.T) {
	heard := make(chan string, 100)
	s := newScene(t, plan{target: func(o *proxy.TargetOptions) {
		o.Suspect = func(why string) {
			select {
			case heard <- why:
			default:
			}
		}
	}})
	s.db.on(func(b *backend, at stage, sql string) reaction {
		if at == atQuery && sql == "INSERT" {
			b.fail("25006", "cannot execute INSERT in a read-only transaction")
			return handled
		}
		return goOn
	})
	c := s.client()
	s.must(c, "x")
	if len(heard) > 0 {
		t.Errorf("heard %q, though all is well", <-heard)
	}
	if err := c.Exec(t.Context(), "INSERT").Close(); err == nil {
		t.Error("no error")
	}
	if len(heard) == 0 {
		t.Error("heard nothing of a database that refuses to write")
	}
	for len(heard) > 0 {
		<-heard
	}
	s.db.stop()
	select {
	case <-heard:
	case <-time.After(patience):
		t.Error("heard nothing of a broken connection")
	}
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
