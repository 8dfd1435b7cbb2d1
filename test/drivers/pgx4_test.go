// SPDX-License-Identifier: Apache-2.0

package drivers

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/jackc/pgconn"
	"github.com/jackc/pgconn/stmtcache"
	"github.com/jackc/pgx/v4"
	"github.com/jackc/pgx/v4/pgxpool"
)

// pgx4Modes are the ways in which pgx v4 runs a query.
var pgx4Modes = map[string]func(*pgx.ConnConfig){
	"prepared": func(*pgx.ConnConfig) {},
	"described": func(c *pgx.ConnConfig) {
		c.BuildStatementCache = func(conn *pgconn.PgConn) stmtcache.Cache {
			return stmtcache.New(conn, stmtcache.ModeDescribe, 100)
		}
	},
	"uncached": func(c *pgx.ConnConfig) { c.BuildStatementCache = nil },
	"simple":   func(c *pgx.ConnConfig) { c.PreferSimpleProtocol = true },
}

func TestPGX4(t *testing.T) {
	s := newStack(t, 3)
	for name, set := range pgx4Modes {
		t.Run(name, func(t *testing.T) {
			cfg, err := pgxpool.ParseConfig(s.dsn())
			if err != nil {
				t.Fatal(err)
			}
			set(cfg.ConnConfig)
			cfg.MaxConns = 12
			ctx := limit(t, time.Minute)
			pool, err := pgxpool.ConnectConfig(ctx, cfg)
			if err != nil {
				t.Fatal(err)
			}
			defer pool.Close()
			if _, err := pool.Exec(ctx, "DROP TABLE IF EXISTS t; CREATE TABLE t (who int, n int, x text)", pgx.QuerySimpleProtocol(true)); err != nil {
				t.Fatal(err)
			}
			var all sync.WaitGroup
			for who := range 10 {
				all.Go(func() {
					if err := pgx4Work(ctx, pool, who); err != nil {
						t.Errorf("client %d: %v", who, err)
					}
				})
			}
			all.Wait()
			var count int
			if err := pool.QueryRow(ctx, "SELECT count(*) FROM t").Scan(&count); err != nil || count != 1000 {
				t.Errorf("%d rows, %v", count, err)
			}
		})
	}
}

// pgx4Work writes and reads marked rows, one by one, in a batch and by COPY.
func pgx4Work(ctx context.Context, pool *pgxpool.Pool, who int) error {
	for n := range 20 {
		mark := fmt.Sprintf("%d/%d", who, n)
		if _, err := pool.Exec(ctx, "INSERT INTO t VALUES ($1, $2, $3)", who, n, mark); err != nil {
			return err
		}
		var got string
		if err := pool.QueryRow(ctx, "SELECT x FROM t WHERE who = $1 AND n = $2 AND x = $3", who, n, mark).Scan(&got); err != nil {
			return err
		}
		if got != mark {
			return fmt.Errorf("foreign row %q, want %q", got, mark)
		}
	}
	batch := &pgx.Batch{}
	for n := range 30 {
		batch.Queue("INSERT INTO t VALUES ($1, $2, $3)", who, 100+n, "batch")
	}
	if err := pool.SendBatch(ctx, batch).Close(); err != nil {
		return err
	}
	n, err := pool.CopyFrom(ctx, pgx.Identifier{"t"}, []string{"who", "n", "x"},
		pgx.CopyFromSlice(50, func(i int) ([]any, error) { return []any{who, 200 + i, "copy"}, nil }))
	if err != nil {
		return err
	}
	if n != 50 {
		return fmt.Errorf("%d rows copied", n)
	}
	return nil
}

func TestPGX4Errors(t *testing.T) {
	s := newStack(t, 1)
	ctx := limit(t, time.Minute)
	conn, err := pgx.Connect(ctx, s.dsn())
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close(ctx)
	batch := &pgx.Batch{}
	batch.Queue("SELECT 1")
	batch.Queue("SELECT 1/0")
	batch.Queue("SELECT 2")
	var pgErr *pgconn.PgError
	if err := conn.SendBatch(ctx, batch).Close(); !errors.As(err, &pgErr) || pgErr.Code != "22012" {
		t.Errorf("got %v", err)
	}
	if _, err := conn.Exec(ctx, "SELECT * FROM missing"); !errors.As(err, &pgErr) || pgErr.Code != "42P01" {
		t.Errorf("got %v", err)
	}
	var one int
	if err := conn.QueryRow(ctx, "SELECT 1").Scan(&one); err != nil || one != 1 {
		t.Errorf("%d, %v", one, err)
	}
}

func TestPGX4Cancel(t *testing.T) {
	s := newStack(t, 1)
	ctx := limit(t, time.Minute)
	conn, err := pgx.Connect(ctx, s.dsn())
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close(ctx)
	done := make(chan error, 1)
	go func() {
		_, err := conn.Exec(ctx, "SELECT pg_sleep(60)")
		done <- err
	}()
	// A cancel that comes ahead of the query has no effect, so it is repeated.
	tick := time.NewTicker(100 * time.Millisecond)
	defer tick.Stop()
	for {
		if err := conn.PgConn().CancelRequest(ctx); err != nil {
			t.Fatal(err)
		}
		select {
		case err := <-done:
			var pgErr *pgconn.PgError
			if !errors.As(err, &pgErr) || pgErr.Code != "57014" {
				t.Errorf("got %v", err)
			}
			return
		case <-tick.C:
		}
	}
}
