// SPDX-License-Identifier: Apache-2.0

package drivers

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/lib/pq"
)

// open gives a pool of lib/pq with more client connections than there are database
// connections behind the proxy.
func (s *stack) open(t *testing.T, params ...string) *sql.DB {
	t.Helper()
	db, err := sql.Open("postgres", s.dsn(params...))
	if err != nil {
		t.Fatal(err)
	}
	db.SetMaxOpenConns(12)
	db.SetMaxIdleConns(12)
	t.Cleanup(func() { db.Close() })
	return db
}

func mustExec(t *testing.T, db *sql.DB, query string, args ...any) {
	t.Helper()
	if _, err := db.ExecContext(limit(t, 30*time.Second), query, args...); err != nil {
		t.Fatalf("%s: %v", query, err)
	}
}

// pqCode is the SQLSTATE in err, or "".
func pqCode(err error) string {
	var e *pq.Error
	if errors.As(err, &e) {
		return string(e.Code)
	}
	return ""
}

// TestPQ runs lib/pq's two ways to pass parameters, from several goroutines.
func TestPQ(t *testing.T) {
	s := newStack(t, 3)
	for _, params := range [][]string{nil, {"binary_parameters=yes"}, {"sslmode=require"}} {
		t.Run(strings.Join(params, " "), func(t *testing.T) {
			db := s.open(t, params...)
			mustExec(t, db, "DROP TABLE IF EXISTS t")
			mustExec(t, db, "CREATE TABLE t (who int, n int, x text)")
			stmt, err := db.PrepareContext(t.Context(), "INSERT INTO t VALUES ($1, $2, $3)")
			if err != nil {
				t.Fatal(err)
			}
			defer stmt.Close()
			var all sync.WaitGroup
			for who := range 10 {
				all.Go(func() {
					for n := range 20 {
						if _, err := stmt.Exec(who, n, fmt.Sprintf("%d/%d", who, n)); err != nil {
							t.Errorf("client %d: %v", who, err)
							return
						}
						var x string
						err := db.QueryRow("SELECT x FROM t WHERE who = $1 AND n = $2", who, n).Scan(&x)
						if err != nil || x != fmt.Sprintf("%d/%d", who, n) {
							t.Errorf("client %d: %q, %v", who, x, err)
							return
						}
					}
				})
			}
			all.Wait()
			var count int
			if err := db.QueryRow("SELECT count(*) FROM t").Scan(&count); err != nil || count != 200 {
				t.Errorf("%d rows, %v", count, err)
			}
		})
	}
}

func TestPQTransactions(t *testing.T) {
	s := newStack(t, 2)
	db := s.open(t)
	mustExec(t, db, "CREATE TABLE t (x int PRIMARY KEY)")
	tx, err := db.BeginTx(t.Context(), &sql.TxOptions{Isolation: sql.LevelSerializable})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := tx.Exec("INSERT INTO t VALUES (1)"); err != nil {
		t.Fatal(err)
	}
	if _, err := tx.Exec("INSERT INTO t VALUES (1)"); pqCode(err) != "23505" {
		t.Errorf("got %v", err)
	}
	if err := tx.Rollback(); err != nil {
		t.Error(err)
	}
	tx, err = db.BeginTx(t.Context(), &sql.TxOptions{ReadOnly: true})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := tx.Exec("INSERT INTO t VALUES (2)"); pqCode(err) != "25006" {
		t.Errorf("got %v", err)
	}
	if err := tx.Rollback(); err != nil {
		t.Error(err)
	}
	mustExec(t, db, "INSERT INTO t VALUES (3)")
}

func TestPQCopy(t *testing.T) {
	s := newStack(t, 2)
	db := s.open(t)
	mustExec(t, db, "CREATE TABLE t (n int, x text)")
	tx, err := db.Begin()
	if err != nil {
		t.Fatal(err)
	}
	stmt, err := tx.Prepare(pq.CopyIn("t", "n", "x"))
	if err != nil {
		t.Fatal(err)
	}
	for n := range 5000 {
		if _, err := stmt.Exec(n, strings.Repeat("x", n%100)); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := stmt.Exec(); err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(stmt.Close(), tx.Commit()); err != nil {
		t.Fatal(err)
	}
	var count int
	if err := db.QueryRow("SELECT count(*) FROM t").Scan(&count); err != nil || count != 5000 {
		t.Errorf("%d rows, %v", count, err)
	}
}

func TestPQCancel(t *testing.T) {
	s := newStack(t, 1)
	db := s.open(t)
	for range 3 {
		ctx, cancel := context.WithTimeout(t.Context(), 300*time.Millisecond)
		_, err := db.ExecContext(ctx, "SELECT pg_sleep(60)")
		cancel()
		if err == nil {
			t.Fatal("the query was not cancelled")
		}
		mustExec(t, db, "SELECT 1")
	}
}

func TestPQListener(t *testing.T) {
	s := newStack(t, 2)
	db := s.open(t)
	l := pq.NewListener(s.dsn(), 10*time.Millisecond, time.Second, nil)
	defer l.Close()
	if err := l.Listen("news"); err != nil {
		t.Fatal(err)
	}
	for n := range 5 {
		mustExec(t, db, "SELECT pg_notify('news', $1)", fmt.Sprint(n))
		select {
		case got := <-l.Notify:
			if got == nil || got.Extra != fmt.Sprint(n) {
				t.Errorf("got %+v, want %d", got, n)
			}
		case <-time.After(20 * time.Second):
			t.Fatal("no notification")
		}
	}
}

func TestPQParameters(t *testing.T) {
	s := newStack(t, 1)
	a := s.open(t, "application_name=a", "statement_timeout=1234", "search_path=pg_catalog")
	b := s.open(t, "options=-c statement_timeout=4321 -c work_mem=5MB", "TimeZone=Asia/Tokyo")
	for range 3 {
		for query, want := range map[string]string{
			"SHOW application_name": "a", "SHOW statement_timeout": "1234ms", "SHOW search_path": "pg_catalog",
		} {
			var got string
			if err := a.QueryRow(query).Scan(&got); err != nil || got != want {
				t.Errorf("a: %s: %q, %v, want %q", query, got, err, want)
			}
		}
		for query, want := range map[string]string{
			"SHOW statement_timeout": "4321ms", "SHOW work_mem": "5MB", "SHOW TimeZone": "Asia/Tokyo",
		} {
			var got string
			if err := b.QueryRow(query).Scan(&got); err != nil || got != want {
				t.Errorf("b: %s: %q, %v, want %q", query, got, err, want)
			}
		}
	}
}

func TestPQWrongPassword(t *testing.T) {
	s := newStack(t, 1)
	db, err := sql.Open("postgres", s.daemon.DSN(role, "wrong", database))
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	if err := db.PingContext(limit(t, 20*time.Second)); pqCode(err) != "28P01" {
		t.Errorf("got %v", err)
	}
}

func TestPQVerifyFull(t *testing.T) {
	s := newStack(t, 1)
	root, err := s.ca.Write(t.TempDir(), "root")
	if err != nil {
		t.Fatal(err)
	}
	db := s.open(t, "sslmode=verify-full", "sslrootcert="+root)
	mustExec(t, db, "SELECT 1")
}
