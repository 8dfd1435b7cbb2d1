// SPDX-License-Identifier: Apache-2.0

package proxy_test

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"math/rand/v2"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgproto3"
)

var chaosSeed = flag.Uint64("chaos-seed", 0, "repeat the chaos of this seed, as far as it is the same")

// TestChaos: clients on several loops do what clients do, in any order, while the
// database drops connections now and then. Each row carries the mark of the one
// who asked for it.
func TestChaos(t *testing.T) {
	for _, c := range []struct {
		name, driver string
		loops, ops   int
	}{{"2 loops", "", 2, 150}, {"4 loops", "", 4, 150}, {"3 portable loops", "portable", 3, 50}} {
		t.Run(c.name, func(t *testing.T) {
			seed := *chaosSeed
			if seed == 0 {
				seed = rand.Uint64()
			}
			t.Logf("-chaos-seed %d", seed)
			s := newScene(t, plan{max: 4, loops: c.loops, driver: c.driver})
			var dice atomic.Uint64
			s.db.on(func(b *backend, at stage, sql string) reaction {
				if at == atQuery && sql != "ROLLBACK" && rand.New(rand.NewPCG(seed, dice.Add(1))).IntN(300) == 0 {
					return hangUp
				}
				return goOn
			})
			const clients = 24
			done := make(chan error, clients)
			for i := range clients {
				go func() {
					x := &chaotic{s: s, id: i, rand: rand.New(rand.NewPCG(seed, uint64(i)))}
					done <- x.live(c.ops)
				}()
			}
			for range clients {
				select {
				case err := <-done:
					if err != nil {
						t.Error(err)
					}
				case <-time.After(3 * patience):
					t.Fatal("a client hangs")
				}
			}
			s.db.on(nil)
			s.settled()
			st := s.stats()
			t.Logf("%+v", st.Targets[0].Pool.Counters)
			if st.Panics != 0 {
				t.Error("a panic")
			}
			if s.db.peak() > 4 {
				t.Errorf("%d database connections, the budget is 4", s.db.peak())
			}
			if p := st.Targets[0].Pool; p.Moves == 0 || p.Replays == 0 {
				t.Errorf("%d moves, %d replays", p.Moves, p.Replays)
			}
		})
	}
}

// chaotic is a client that does anything.
type chaotic struct {
	s    *scene
	id   int
	rand *rand.Rand
	c    *pgconn.PgConn
	n    int
}

// errForeign is what must not happen.
var errForeign = errors.New("somebody else's row")

// live does a number of things. Errors that come from lost connections and from
// cancelling are part of life.
func (x *chaotic) live(ops int) error {
	defer func() {
		if x.c != nil {
			hangUpNow(x.c)
		}
	}()
	for range ops {
		if x.c == nil || x.c.IsClosed() {
			var err error
			if x.c, err = x.s.tryClient("app", fmt.Sprintf("application_name=%d", x.id%3)); err != nil {
				if sqlstate(err) == "08006" || sqlstate(err) == "57P01" {
					continue // its first connection died
				}
				return fmt.Errorf("client %d: login: %w", x.id, err)
			}
		}
		err := x.act()
		switch {
		case errors.Is(err, errForeign), errors.Is(err, context.DeadlineExceeded) && !x.c.IsClosed():
			return fmt.Errorf("client %d: %w", x.id, err)
		case err != nil && sqlstate(err) == "53300":
			return fmt.Errorf("client %d: %w", x.id, err)
		}
	}
	return nil
}

func (x *chaotic) mark() string {
	x.n++
	return fmt.Sprintf("%d.%d", x.id, x.n)
}

func (x *chaotic) act() error {
	ctx, stop := context.WithTimeout(context.Background(), patience)
	defer stop()
	switch x.rand.IntN(14) {
	default:
		return x.simple(ctx)
	case 1, 2:
		return x.extended(ctx)
	case 3:
		return x.prepared(ctx)
	case 4, 5:
		return x.transaction(ctx)
	case 6:
		return x.pipeline(ctx)
	case 7:
		return x.copy(ctx)
	case 8:
		return x.cancelled(ctx)
	case 9:
		return x.pinned(ctx)
	case 10:
		_, err := x.c.Exec(ctx, "SELECT 'do:error'").ReadAll()
		return err
	case 11:
		return x.leave()
	}
}

// check holds rows against the mark.
func check(mark string, results ...*pgconn.Result) error {
	for _, r := range results {
		if r.Err != nil {
			return r.Err
		}
		for _, row := range r.Rows {
			if string(row[0]) != mark {
				return fmt.Errorf("%w: %q instead of %q", errForeign, row[0], mark)
			}
		}
		if len(r.FieldDescriptions) > 0 && len(r.Rows) != 1 {
			return fmt.Errorf("%w: %d rows", errForeign, len(r.Rows))
		}
	}
	return nil
}

func (x *chaotic) simple(ctx context.Context) error {
	mark := x.mark()
	results, err := x.c.Exec(ctx, "SELECT '"+mark+"'").ReadAll()
	if err != nil {
		return err
	}
	return check(mark, results...)
}

func (x *chaotic) extended(ctx context.Context) error {
	mark := x.mark()
	return check(mark, x.c.ExecParams(ctx, "SELECT $1", [][]byte{[]byte(mark)}, nil, nil, nil).Read())
}

func (x *chaotic) prepared(ctx context.Context) error {
	name := fmt.Sprintf("s%d", x.rand.IntN(3))
	text := fmt.Sprintf("SELECT $1 /* %d */", x.rand.IntN(40))
	if _, err := x.c.Prepare(ctx, name, text, nil); err != nil {
		return err
	}
	for range 1 + x.rand.IntN(3) {
		mark := x.mark()
		if err := check(mark, x.c.ExecPrepared(ctx, name, [][]byte{[]byte(mark)}, nil, nil).Read()); err != nil {
			return err
		}
	}
	return x.c.Deallocate(ctx, name)
}

func (x *chaotic) transaction(ctx context.Context) error {
	if _, err := x.c.Exec(ctx, "BEGIN").ReadAll(); err != nil {
		return err
	}
	for range x.rand.IntN(4) {
		if err := x.simple(ctx); err != nil {
			return err
		}
	}
	_, err := x.c.Exec(ctx, "COMMIT").ReadAll()
	return err
}

func (x *chaotic) pipeline(ctx context.Context) error {
	p := x.c.StartPipeline(ctx)
	defer func() { _ = p.Close() }() // also behind an error, which leaves answers to be read
	var marks []string
	for range 1 + x.rand.IntN(5) {
		mark := x.mark()
		marks = append(marks, mark)
		p.SendQueryParams("SELECT $1", [][]byte{[]byte(mark)}, nil, nil, nil)
		if x.rand.IntN(2) == 0 {
			p.SendPipelineSync()
		}
	}
	if err := p.Sync(); err != nil {
		return err
	}
	for len(marks) > 0 {
		r, err := p.GetResults()
		if err != nil {
			return err
		}
		if reader, ok := r.(*pgconn.ResultReader); ok {
			if err := check(marks[0], reader.Read()); err != nil {
				return err
			}
			marks = marks[1:]
		}
	}
	return p.Close()
}

func (x *chaotic) copy(ctx context.Context) error {
	data := strings.NewReader(strings.Repeat("x", x.rand.IntN(200_000)))
	_, err := x.c.CopyFrom(ctx, data, "COPY t FROM STDIN")
	return err
}

// cancelled has a query cancelled by a request of its own, at any time.
func (x *chaotic) cancelled(ctx context.Context) error {
	sent := background(func() error {
		<-time.After(time.Duration(rand.IntN(2000)) * time.Microsecond)
		return x.s.cancel(x.c.PID(), x.c.SecretKey())
	})
	defer func() { <-sent }()
	return x.transaction(ctx)
}

func (x *chaotic) pinned(ctx context.Context) error {
	if _, err := x.c.Exec(ctx, "SET x = 1").ReadAll(); err != nil {
		return err
	}
	if err := x.simple(ctx); err != nil {
		return err
	}
	_, err := x.c.Exec(ctx, "DISCARD ALL").ReadAll()
	return err
}

// leave ends the connection at a bad moment.
func (x *chaotic) leave() error {
	front := x.c.Frontend()
	switch x.rand.IntN(5) {
	case 0:
		front.SendQuery(&pgproto3.Query{String: endless})
	case 1:
		front.SendQuery(&pgproto3.Query{String: "BEGIN"})
	case 2:
		front.SendQuery(&pgproto3.Query{String: "SELECT 'do:rows 20 9000'"})
		front.Send(&pgproto3.Terminate{})
	case 3:
		front.SendParse(&pgproto3.Parse{Query: "SELECT 1"})
	case 4:
		front.SendQuery(&pgproto3.Query{String: "COPY t FROM STDIN"})
	}
	_ = front.Flush()
	if x.rand.IntN(2) == 0 {
		<-time.After(time.Duration(x.rand.IntN(1000)) * time.Microsecond)
	}
	hangUpNow(x.c)
	x.c = nil
	return nil
}
