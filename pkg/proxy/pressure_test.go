// SPDX-License-Identifier: Apache-2.0

package proxy_test

import (
	"bytes"
	"io"
	"runtime"
	"sync/atomic"
	"testing"
	"time"

	"github.com/jackc/pgx/v5/pgproto3"

	"github.com/rdsproxy/rdsproxy/pkg/proxy"
)

// bigResult is more than all buffers between the database and a client take.
const bigResult = "SELECT 'do:rows 4000 16000'"

// heap is what is in use after a collection.
func heap() uint64 {
	var m runtime.MemStats
	runtime.GC()
	runtime.GC()
	runtime.ReadMemStats(&m)
	return m.HeapAlloc
}

// slowRows counts the rows that the database could send.
func (s *scene) slowRows(n *atomic.Int64) {
	s.db.on(func(b *backend, at stage, sql string) reaction {
		if at != atQuery || sql != bigResult {
			return goOn
		}
		b.send(rowDescription())
		text := bytes.Repeat([]byte{'x'}, 16000)
		for range 4000 {
			b.send(&pgproto3.DataRow{Values: [][]byte{text, nil}})
			if !b.flush() {
				return hangUp
			}
			n.Add(1)
		}
		b.send(&pgproto3.CommandComplete{CommandTag: []byte("SELECT 4000")})
		return handled
	})
}

// TestAnswersNotRead: a client that does not read what the proxy answers by itself
// is not read either, and gets all of it when it does.
func TestAnswersNotRead(t *testing.T) {
	for _, driver := range []string{"", "portable"} {
		t.Run("driver "+driver, func(t *testing.T) {
			s := newScene(t, plan{max: 1, loops: 1, driver: driver})
			pg := s.client()
			nc := pg.Conn()
			message, err := (&pgproto3.Close{ObjectType: 'S', Name: "s"}).Encode(nil)
			if err != nil {
				t.Fatal(err)
			}
			const total = 4 << 20 // messages
			batch := bytes.Repeat(message, 4096)
			var sent atomic.Int64
			before := heap()
			written := background(func() error {
				for range total / 4096 {
					if _, err := nc.Write(batch); err != nil {
						return err
					}
					sent.Add(4096)
				}
				return nil
			})
			stalls(t, &sent)
			if n := sent.Load(); n == total {
				t.Fatal("everything was taken from a client that does not read")
			}
			if after := heap(); after > before+4<<20 {
				t.Errorf("the heap grew from %d to %d bytes", before, after)
			}
			if _, err := io.CopyN(io.Discard, nc, 5*total); err != nil {
				t.Fatal(err)
			}
			if err := s.await("all is sent", written); err != nil {
				t.Fatal(err)
			}
		})
	}
}

// TestSlowReader: a result that its client does not read is not read from the
// database either, and comes in full when the client reads on.
func TestSlowReader(t *testing.T) {
	s := newScene(t, plan{max: 1, loops: 1})
	var rows atomic.Int64
	s.slowRows(&rows)
	c := s.raw(s.client())
	before := heap()
	c.send(&pgproto3.Query{String: bigResult})
	stalls(t, &rows)
	if n := rows.Load(); n >= 4000 {
		t.Fatal("everything was sent to a client that does not read")
	}
	if after := heap(); after > before+4<<20 {
		t.Errorf("the heap grew from %d to %d bytes", before, after)
	}
	got := 0
	for {
		m := c.next()
		if _, ok := m.(*pgproto3.DataRow); ok {
			got++
		}
		if _, ok := m.(*pgproto3.ReadyForQuery); ok {
			break
		}
	}
	if got != 4000 {
		t.Errorf("%d rows", got)
	}
	c.nc.Close()
	s.settled()
}

// TestSlowReaderLeaves: the client goes while the database waits for it to read.
// Nobody waits for it any more, so the connection becomes free.
func TestSlowReaderLeaves(t *testing.T) {
	for name, leave := range map[string]func(c *rawClient){
		"closes":              func(c *rawClient) { c.nc.Close() },
		"says goodbye":        func(c *rawClient) { c.send(&pgproto3.Terminate{}) },
		"breaks the protocol": func(c *rawClient) { c.send(&pgproto3.Query{String: "?"}); _, _ = c.nc.Write([]byte("~~~~~~")) },
	} {
		t.Run(name, func(t *testing.T) {
			s := newScene(t, plan{max: 1, loops: 1})
			var rows atomic.Int64
			s.slowRows(&rows)
			c := s.raw(s.client())
			c.send(&pgproto3.Query{String: bigResult})
			stalls(t, &rows)
			leave(c)
			next := s.client()
			s.must(next, "next")
			hangUpNow(next)
			c.nc.Close()
			eventually(t, "everything was read", func() bool { return rows.Load() == 4000 || s.db.open() < 2 })
			s.settled()
		})
	}
}

// TestSlowDatabase: COPY data that the database does not read is not read from
// the client either.
func TestSlowDatabase(t *testing.T) {
	s := newScene(t, plan{max: 1, loops: 1})
	read := make(chan struct{})
	var taken atomic.Int64
	s.db.on(func(b *backend, at stage, sql string) reaction {
		switch {
		case at == atCopyData:
			b.wait(read)
			taken.Add(1)
		case at == atQuery && sql == "COPY t FROM STDIN":
			b.copying = true
			b.send(&pgproto3.CopyInResponse{ColumnFormatCodes: []uint16{0}})
			return handled
		}
		return goOn
	})
	c := s.raw(s.client())
	c.send(&pgproto3.Query{String: "COPY t FROM STDIN"})
	c.until('G')
	before := heap()
	var written atomic.Int64
	const messages = 4000
	sent := background(func() error {
		buf, _ := (&pgproto3.CopyData{Data: make([]byte, 16000)}).Encode(nil)
		for range messages {
			if _, err := c.nc.Write(buf); err != nil {
				return err
			}
			written.Add(1)
		}
		return nil
	})
	stalls(t, &written)
	if written.Load() == messages {
		t.Fatal("everything was taken for a database that does not read")
	}
	if after := heap(); after > before+4<<20 {
		t.Errorf("the heap grew from %d to %d bytes", before, after)
	}
	close(read)
	if err := s.await("the data is taken", sent); err != nil {
		t.Fatal(err)
	}
	c.send(&pgproto3.CopyDone{})
	c.until('Z')
	if n := taken.Load(); n != messages {
		t.Errorf("%d messages arrived", n)
	}
	c.nc.Close()
	s.settled()
}

// TestIdleClient: a silent client is told to go; one that waits for the database
// is not silent, and its time begins anew with the answer.
func TestIdleClient(t *testing.T) {
	const limit = 400 * time.Millisecond
	s := newScene(t, plan{max: 3, settings: func(o *proxy.Settings) { o.IdleClientTimeout = limit }})
	begun, answer := make(chan struct{}), make(chan struct{})
	s.db.on(func(b *backend, at stage, sql string) reaction {
		if at == atQuery && sql == "SELECT 'long'" {
			close(begun)
			b.wait(answer)
		}
		return goOn
	})
	busy := s.client()
	silent := s.raw(s.client())
	inside := s.raw(s.client())
	inside.send(&pgproto3.Query{String: "BEGIN"})
	inside.until('Z')
	long := background(func() error { _, err := ask(busy, "long"); return err })
	<-begun
	for _, c := range []*rawClient{silent, inside} {
		if e := c.ends(); e == nil || e.Code != "57P05" {
			t.Errorf("last words: %+v", e)
		}
	}
	eventually(t, "both are gone for that reason", func() bool { return s.stats().Endpoints[0].Closed["idle_timeout"] == 2 })
	close(answer)
	if err := s.await("the long query", long); err != nil {
		t.Fatal(err)
	}
	if _, err := ask(busy, "more"); err != nil {
		t.Errorf("at once after the long query: %v", err)
	}
	hangUpNow(busy)
	s.settled()
}

// TestWaiterHangsUp: a client that goes while it waits leaves the queue.
func TestWaiterHangsUp(t *testing.T) {
	s := newScene(t, plan{max: 1})
	holder := s.client()
	waiter := s.raw(s.client())
	s.exec(holder, "BEGIN")
	waiter.send(&pgproto3.Query{String: "SELECT 'x'"})
	eventually(t, "it waits", func() bool { return s.stats().Targets[0].Pool.Waiting == 1 })
	waiter.nc.Close()
	eventually(t, "it does not wait", func() bool { return s.stats().Targets[0].Pool.Waiting == 0 && s.clients() == 1 })
	s.exec(holder, "COMMIT")
	hangUpNow(holder)
	s.settled()
}
