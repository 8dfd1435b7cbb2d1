// SPDX-License-Identifier: Apache-2.0

package target

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"

	wire "github.com/rdsproxy/rdsproxy/pkg/wire/postgres"
)

// factsQuery works on PostgreSQL 10 and later, for every role. A setting that the
// server does not know is null.
const factsQuery = `SELECT pg_catalog.current_setting('max_connections'),
 pg_catalog.current_setting('superuser_reserved_connections'),
 coalesce(pg_catalog.current_setting('reserved_connections', true), '0'),
 pg_catalog.current_setting('server_version'),
 pg_catalog.current_setting('server_version_num'),
 pg_catalog.pg_is_in_recovery(),
 (SELECT coalesce(pg_catalog.string_agg(name, ',' ORDER BY name), '') FROM pg_catalog.pg_settings
  WHERE context IN ('backend', 'superuser-backend'))`

// Facts opens a connection, asks, and closes it. When it returns the server has
// let go of the connection, unless ctx has ended. The init query is not run.
func (d *Dialer) Facts(ctx context.Context, r Request) (Facts, error) {
	ctx, cancel := d.limit(ctx)
	defer cancel()
	r.Params, r.Replication = nil, ""
	s, err := d.login(ctx, r)
	if err != nil {
		return Facts{}, err
	}
	defer s.drop()
	row, err := s.row(ctx, factsQuery)
	if err != nil {
		return Facts{}, d.fail(ctx, StageFacts, err)
	}
	f, err := parseFacts(row)
	if err != nil {
		return Facts{}, d.fail(ctx, StageFacts, err)
	}
	// What matters is known; if the farewell fails the server will find out.
	_ = exchange(ctx, s.link, wire.AppendTerminate(nil))
	return f, nil
}

// row runs a query that gives one row.
func (s *session) row(ctx context.Context, sql string) ([][]byte, error) {
	results, err := s.pg.Exec(ctx, sql).ReadAll()
	if err != nil {
		return nil, plain(err)
	}
	if len(results) != 1 || len(results[0].Rows) != 1 {
		return nil, errors.New("the server answers with another number of rows than one")
	}
	return results[0].Rows[0], nil
}

func parseFacts(row [][]byte) (f Facts, err error) {
	if len(row) != 7 {
		return f, fmt.Errorf("the server answers with %d columns", len(row))
	}
	for i, to := range []*int{0: &f.MaxConnections, 1: &f.SuperuserReserved, 2: &f.Reserved, 4: &f.VersionNum} {
		if to == nil {
			continue
		}
		if *to, err = strconv.Atoi(string(row[i])); err != nil || *to < 0 {
			return f, fmt.Errorf("the server answers with %.20q where a number should be", row[i])
		}
	}
	f.ServerVersion = string(row[3])
	f.InRecovery = string(row[5]) == "t"
	if names := string(row[6]); names != "" {
		f.BackendSettings = strings.Split(names, ",")
	}
	return f, nil
}
