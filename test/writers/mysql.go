// SPDX-License-Identifier: Apache-2.0

package writers

import (
	"context"
	"errors"
	"strconv"
	"time"

	"github.com/go-mysql-org/go-mysql/client"
	"github.com/go-mysql-org/go-mysql/mysql"

	"github.com/rdsproxy/rdsproxy/test/history"
)

// answerLimit is how long a client waits for an answer; the driver has no contexts.
const answerLimit = time.Minute

type myConn struct {
	conn   *client.Conn
	insert *client.Stmt
	closed bool
}

// MySQL gives connections by go-mysql to MySQL or MariaDB.
func MySQL(addr, user, password, database string, dial DialFunc) func(ctx context.Context) (Conn, error) {
	if dial == nil {
		dial = dialer.DialContext
	}
	return func(ctx context.Context) (Conn, error) {
		conn, err := client.ConnectWithDialer(ctx, "tcp", addr, user, password, database, client.Dialer(dial), func(c *client.Conn) error {
			c.ReadTimeout = answerLimit
			return nil
		})
		if err != nil {
			return nil, err
		}
		return &myConn{conn: conn}, nil
	}
}

func (c *myConn) Run(_ context.Context, sql string) error {
	r, err := c.conn.Execute(sql)
	if err != nil {
		return c.noted(err)
	}
	r.Close()
	return nil
}

func (c *myConn) Insert(_ context.Context, id int64) (err error) {
	if c.insert == nil {
		if c.insert, err = c.conn.Prepare("INSERT INTO " + Table + " VALUES (?)"); err != nil {
			c.insert = nil
			return c.noted(err)
		}
	}
	r, err := c.insert.Execute(id)
	if err != nil {
		return c.noted(err)
	}
	r.Close()
	return nil
}

// noted keeps in mind that the connection has ended, which all errors mean that are
// none of a server's.
func (c *myConn) noted(err error) error {
	if _, ok := errors.AsType[*mysql.MyError](err); !ok {
		c.closed = true
	}
	return err
}

func (c *myConn) Closed() bool { return c.closed }

func (c *myConn) Close() {
	if c.closed {
		_ = c.conn.Close() // the peer is gone
		return
	}
	c.closed = true
	_ = c.conn.Quit() // the peer may be gone
}

// JudgeMySQL is JudgePostgres for MySQL and MariaDB.
func JudgeMySQL(err error) Told {
	e, ok := errors.AsType[*mysql.MyError](err)
	if !ok {
		return Told{}
	}
	t := Told{Code: strconv.Itoa(int(e.Code)) + " (" + e.State + ")"}
	switch e.Code {
	case mysql.ER_LOCK_DEADLOCK, mysql.ER_OPTION_PREVENTS_STATEMENT, mysql.ER_READ_ONLY_MODE, mysql.ER_CANT_EXECUTE_IN_READ_ONLY_TRANSACTION:
		t.Outcome = history.Rejected
	}
	return t
}
