// SPDX-License-Identifier: Apache-2.0

package target

import (
	"context"
	"fmt"
	"strconv"
)

// factVariables are the global variables that Facts looks at.
var factVariables = []string{
	"max_connections", "max_prepared_stmt_count", "max_allowed_packet", "lower_case_table_names",
	"read_only", "super_read_only", "innodb_read_only", "init_connect",
}

// Facts opens a connection, asks, and closes it. When it returns the server has
// let go of the connection, unless ctx has ended. The set-up and the init query are
// not run.
func (d *MySQLDialer) Facts(ctx context.Context, r MySQLRequest) (MySQLFacts, error) {
	ctx, cancel := d.endpoint.limit(ctx)
	defer cancel()
	r.Capabilities, r.Schema = 0, ""
	s, err := d.login(ctx, r)
	if err != nil {
		return MySQLFacts{}, err
	}
	values, err := s.askFacts(ctx)
	if err != nil {
		s.leave()
		return MySQLFacts{}, d.fail(ctx, StageFacts, err)
	}
	s.quit(ctx) // what matters is known
	f, err := parseMySQLFacts(values)
	if err != nil {
		return MySQLFacts{}, d.fail(ctx, StageFacts, err)
	}
	g := s.greeting
	f.Version, f.MariaDB, f.Capabilities, f.Collation, f.Plugin = g.Version, g.MariaDB(), g.Capabilities, g.Collation, g.Plugin
	return f, nil
}

func (s *mysqlSession) askFacts(ctx context.Context) (values map[string]string, err error) {
	defer bound(ctx, s.wrapped)(&err)
	return s.variables("GLOBAL", factVariables)
}

func parseMySQLFacts(values map[string]string) (f MySQLFacts, err error) {
	for name, to := range map[string]*int{
		"max_connections": &f.MaxConnections, "max_prepared_stmt_count": &f.MaxPreparedStatements,
		"max_allowed_packet": &f.MaxAllowedPacket, "lower_case_table_names": &f.LowerCaseTableNames,
	} {
		if *to, err = strconv.Atoi(values[name]); err != nil || *to < 0 {
			return MySQLFacts{}, fmt.Errorf("the server says %.20q for %s, where a number should be", values[name], name)
		}
	}
	for _, name := range []string{"read_only", "super_read_only", "innodb_read_only"} {
		switch values[name] {
		case "", "OFF", "0": // "" stands for a variable that this server has not got
		default:
			f.ReadOnly = true // ON; since MariaDB 12 also NO_LOCK and others
		}
	}
	f.InitConnect = values["init_connect"] != ""
	return f, nil
}
