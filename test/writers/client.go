// SPDX-License-Identifier: Apache-2.0

package writers

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/rdsproxy/rdsproxy/test/history"
)

// Table is what clients write to; CreateTable makes it. It has no unique index, so
// that a write that was applied twice is there twice.
const (
	Table       = "writes"
	CreateTable = "CREATE TABLE writes (id BIGINT NOT NULL)"
)

// Conn is one connection of a driver that does not open another by itself.
type Conn interface {
	// Run runs a statement as a text.
	Run(ctx context.Context, sql string) error
	// Insert inserts a row by a prepared statement.
	Insert(ctx context.Context, id int64) error
	// Closed tells whether the connection has ended.
	Closed() bool
	Close()
}

// Told is what an error says.
type Told struct {
	Code    string // SQLSTATE, or number of MySQL; "" if it is no error of a server
	Outcome history.Outcome
}

// writer is one client.
type writer struct {
	number int
	dial   func(ctx context.Context) (Conn, error)
	judge  func(error) Told
	conn   Conn
	next   int64 // id of the next write
}

// Ids of one client are apart from those of others.
const idsPerClient = 1 << 32

// inTransaction is how many writes a transaction has.
const inTransaction = 2

// operate writes once, in the client's own manner, and gives what it was told and
// whether it has got an error that it could not recover from.
func (c *writer) operate(ctx context.Context) (op history.Operation, err error) {
	op = history.Operation{Client: c.number}
	prepared, transaction := c.number%2 == 1, c.number/2%2 == 1
	n := 1
	if transaction {
		n = inTransaction
	}
	for range n {
		op.IDs = append(op.IDs, int64(c.number)*idsPerClient+c.next)
		c.next++
	}
	if transaction {
		return op, c.transact(ctx, &op, prepared)
	}
	err = c.insert(ctx, op.IDs[0], prepared)
	if err == nil {
		op.Outcome = history.Applied
		return op, nil
	}
	told := c.judge(err)
	op.Outcome, op.Detail = told.Outcome, "write: "+describe(told, err)
	return op, c.lost(err)
}

func (c *writer) insert(ctx context.Context, id int64, prepared bool) error {
	if prepared {
		return c.conn.Insert(ctx, id)
	}
	return c.conn.Run(ctx, fmt.Sprintf("INSERT INTO %s VALUES (%d)", Table, id))
}

// transact does all of op in a transaction. Until COMMIT was sent nothing can have
// been committed, whatever the error is.
func (c *writer) transact(ctx context.Context, op *history.Operation, prepared bool) error {
	err := c.conn.Run(ctx, "BEGIN")
	where := "BEGIN"
	for _, id := range op.IDs {
		if err != nil {
			break
		}
		where = "in a transaction"
		err = c.insert(ctx, id, prepared)
	}
	if err != nil {
		told := c.judge(err)
		op.Outcome, op.Detail = history.Rejected, where+": "+describe(told, err)
		if lost := c.lost(err); lost != nil {
			return lost
		}
		return c.rollBack(ctx, op.Detail)
	}
	if err = c.conn.Run(ctx, "COMMIT"); err == nil {
		op.Outcome = history.Applied
		return nil
	}
	told := c.judge(err)
	op.Outcome, op.Detail = told.Outcome, "COMMIT: "+describe(told, err)
	return c.lost(err)
}

// rollbacks is how often a client tries to roll back: the connection under it may be
// lost several times while a database dies.
const rollbacks = 5

func (c *writer) rollBack(ctx context.Context, why string) (err error) {
	for range rollbacks {
		if err = c.conn.Run(ctx, "ROLLBACK"); err == nil {
			return nil
		}
		if c.conn.Closed() {
			break
		}
	}
	return fmt.Errorf("ROLLBACK after %s: %w", why, err)
}

func describe(t Told, err error) string {
	if t.Code != "" {
		return t.Code
	}
	return "no error of a server: " + err.Error()
}

// lost gives err if the connection has ended with it.
func (c *writer) lost(err error) error {
	if c.conn.Closed() {
		return err
	}
	return nil
}

// redial opens connections until one is there.
func (c *writer) redial(ctx context.Context, every time.Duration) error {
	c.conn.Close()
	tick := time.NewTicker(every)
	defer tick.Stop()
	for {
		conn, err := c.dial(ctx)
		if err == nil {
			c.conn = conn
			return nil
		}
		select {
		case <-ctx.Done():
			return errors.Join(ctx.Err(), err)
		case <-tick.C:
		}
	}
}
