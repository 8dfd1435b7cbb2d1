// SPDX-License-Identifier: Apache-2.0

package readers

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/go-mysql-org/go-mysql/client"
	"github.com/go-mysql-org/go-mysql/mysql"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"github.com/rdsproxy/rdsproxy/test/pgserver"
	"github.com/rdsproxy/rdsproxy/test/replicas"
)

// conn is one connection that is never opened again.
type conn interface {
	// look tells which server answers, whether that is a reader, and the newest mark
	// that it has.
	look(ctx context.Context) (view, error)
	run(ctx context.Context, sql string) error
	closed() bool
	hangUp()
}

type view struct {
	host   string
	reader bool
	newest int64
}

// dial connects to addr, which is the daemon's or a member's.
func dial(t *testing.T, e replicas.Engine, addr string) conn {
	t.Helper()
	var c conn
	if e == replicas.PostgreSQL {
		pg, err := pgx.Connect(t.Context(), pgserver.DSN(addr, replicas.User, replicas.Password, replicas.Database))
		if err != nil {
			t.Fatal(err)
		}
		c = pgConn{pg}
	} else {
		my, err := client.ConnectWithContext(t.Context(), addr, replicas.User, replicas.Password, replicas.Database, answerLimit)
		if err != nil {
			t.Fatal(err)
		}
		c = &myConn{c: my}
	}
	t.Cleanup(c.hangUp)
	return c
}

// answerLimit is how long the login may take that has no context.
const answerLimit = time.Minute

type pgConn struct{ c *pgx.Conn }

func (p pgConn) look(ctx context.Context) (v view, err error) {
	const ask = "SELECT host(inet_server_addr()), pg_is_in_recovery(), (SELECT COALESCE(max(v), 0) FROM marks)"
	return v, p.c.QueryRow(ctx, ask).Scan(&v.host, &v.reader, &v.newest)
}

func (p pgConn) run(ctx context.Context, sql string) error {
	_, err := p.c.Exec(ctx, sql)
	return err
}

func (p pgConn) closed() bool { return p.c.IsClosed() }
func (p pgConn) hangUp()      { _ = p.c.Close(context.Background()) } // it may be closed

type myConn struct {
	c    *client.Conn
	gone bool
}

func (m *myConn) look(context.Context) (v view, err error) {
	r, err := m.c.Execute("SELECT @@bind_address, @@global.read_only, (SELECT COALESCE(MAX(v), 0) FROM marks)")
	if err != nil {
		return v, m.noted(err)
	}
	defer r.Close()
	var words [3]string
	for i := range words {
		word, err := r.GetString(0, i)
		if err != nil {
			return v, err
		}
		words[i] = strings.Clone(word) // it lies in a buffer that Close gives to the next result
	}
	v.host, v.reader = words[0], words[1] != "0" && words[1] != "OFF"
	v.newest, err = strconv.ParseInt(words[2], 10, 64)
	return v, err
}

func (m *myConn) run(_ context.Context, sql string) error {
	r, err := m.c.Execute(sql)
	if err != nil {
		return m.noted(err)
	}
	r.Close()
	return nil
}

// noted keeps in mind that the connection has ended, which all errors mean that are
// none of a server's.
func (m *myConn) noted(err error) error {
	if _, ok := errors.AsType[*mysql.MyError](err); !ok {
		m.gone = true
	}
	return err
}

func (m *myConn) closed() bool { return m.gone }
func (m *myConn) hangUp()      { _ = m.c.Quit() } // it may be closed

// refusesWrites tells whether err is that of a server that is read-only.
func refusesWrites(err error) bool {
	if e, ok := errors.AsType[*pgconn.PgError](err); ok {
		return e.Code == "25006"
	}
	e, ok := errors.AsType[*mysql.MyError](err)
	return ok && e.Code == mysql.ER_OPTION_PREVENTS_STATEMENT
}

// mark is a write that readers show when they have it.
func mark(n int64) string { return fmt.Sprintf("INSERT INTO marks VALUES (%d)", n) }
