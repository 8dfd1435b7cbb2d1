// SPDX-License-Identifier: Apache-2.0

package writers

import (
	"context"
	"errors"
	"net"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"github.com/rdsproxy/rdsproxy/test/history"
)

// DialFunc opens sockets; nil is the usual way.
type DialFunc func(ctx context.Context, network, address string) (net.Conn, error)

// closeLimit is how long the farewell to a server may take.
const closeLimit = time.Second

type pgConn struct{ *pgx.Conn }

// Postgres gives connections by pgx.
func Postgres(dsn string, dial DialFunc) func(ctx context.Context) (Conn, error) {
	return func(ctx context.Context) (Conn, error) {
		cfg, err := pgx.ParseConfig(dsn)
		if err != nil {
			return nil, err
		}
		if dial != nil {
			cfg.DialFunc = pgconn.DialFunc(dial)
			cfg.LookupFunc = func(_ context.Context, host string) ([]string, error) { return []string{host}, nil } // dial looks up
		}
		conn, err := pgx.ConnectConfig(ctx, cfg)
		if err != nil {
			return nil, err
		}
		return pgConn{conn}, nil
	}
}

func (c pgConn) Run(ctx context.Context, sql string) error {
	_, err := c.Exec(ctx, sql, pgx.QueryExecModeSimpleProtocol)
	return err
}

func (c pgConn) Insert(ctx context.Context, id int64) error {
	_, err := c.Exec(ctx, "INSERT INTO "+Table+" VALUES ($1)", id) // prepared at first use
	return err
}

func (c pgConn) Closed() bool { return c.IsClosed() }

func (c pgConn) Close() {
	ctx, cancel := context.WithTimeout(context.Background(), closeLimit) // also after the end of the run
	defer cancel()
	_ = c.Conn.Close(ctx) // the peer may be gone
}

// JudgePostgres tells what an error in answer to a COMMIT, or to an INSERT outside
// of transactions, says of it.
func JudgePostgres(err error) Told {
	e, ok := errors.AsType[*pgconn.PgError](err)
	if !ok {
		return Told{}
	}
	switch e.Code {
	case "40001", // serialization_failure: rolled back, to be tried again
		"25006", // read_only_sql_transaction
		"25P02", // in_failed_sql_transaction
		"57P03", // cannot_connect_now
		"53300": // too_many_connections: none became free in time
		return Told{e.Code, history.Rejected}
	}
	return Told{e.Code, history.Unknown}
}
