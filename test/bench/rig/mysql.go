// SPDX-License-Identifier: Apache-2.0

//go:build linux

package rig

import (
	"context"
	"fmt"
	"strconv"

	"github.com/rdsproxy/rdsproxy/test/bench/myload"
	"github.com/rdsproxy/rdsproxy/test/myserver"
)

// MySQLMaxConnections is max_connections of a server that nobody has limited further: a multiple of 100, because rdsproxy's pool is a
// percentage of it, and enough for every client of a load to have a connection of its own.
const MySQLMaxConnections = 400

// sbtest is what clients read and write.
var sbtest = myload.Table{Name: "sbtest1", Rows: 100_000}

// MySQL is a throw-away server without durability. Its table looks like sysbench's.
type MySQL struct {
	Port    int
	Version string

	server *myserver.Server
}

// StartMySQL makes and starts a server with an account for each of users.
func StartMySQL(ctx context.Context, users []string, id *Identity) (*MySQL, error) {
	o := myserver.Options{
		Flavor: myserver.MySQL, TLS: &id.Server, Databases: []string{Database},
		Config: []string{fmt.Sprintf("max_connections=%d", MySQLMaxConnections), "innodb-buffer-pool-size=256M"}, // all of the data
	}
	for _, u := range users {
		o.Users = append(o.Users, myserver.User{Name: u, Password: Password})
	}
	server, err := myserver.Launch(ctx, o)
	if err != nil {
		return nil, err
	}
	m := &MySQL{Port: server.Port, Version: server.Version, server: server}
	err = server.Exec(ctx, "USE "+Database,
		"CREATE TABLE "+sbtest.Name+" (id INT NOT NULL PRIMARY KEY, k INT NOT NULL, c CHAR(120) NOT NULL, pad CHAR(60) NOT NULL)",
		"SET cte_max_recursion_depth = 1000000",
		"INSERT INTO "+sbtest.Name+" WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < "+strconv.Itoa(sbtest.Rows)+") "+
			"SELECT i, i, RPAD(i, 119, i), RPAD(i, 59, '-') FROM n")
	if err != nil {
		return nil, fmt.Errorf("%w; %w", err, m.Stop())
	}
	return m, nil
}

// Limit lets ordinary users have n connections from now on, all of them together.
func (m *MySQL) Limit(ctx context.Context, n int) error {
	return m.server.Exec(ctx, fmt.Sprintf("SET GLOBAL max_connections = %d", n))
}

// Connections implements Backend.
func (m *MySQL) Connections(ctx context.Context, user string) (int, error) {
	text, err := m.server.Query(ctx, "SELECT COUNT(*) FROM performance_schema.processlist p WHERE user = '"+user+"' AND NOT EXISTS (SELECT 1"+
		" FROM performance_schema.session_connect_attrs a WHERE a.processlist_id = p.id AND a.attr_value = 'rdsproxy probe')")
	if err != nil {
		return 0, err
	}
	return strconv.Atoi(text)
}

// Stop implements Backend.
func (m *MySQL) Stop() error { return m.server.Close() }
