// SPDX-License-Identifier: Apache-2.0

package replicas

import (
	"context"
	"fmt"
	"os"
	"strings"
	"time"

	"github.com/rdsproxy/rdsproxy/test/myserver"
)

// mysql is a member of replication with GTIDs.
type mysql struct {
	*myserver.Server
	m    *Member
	opts myserver.Options
	id   int // the server's
	// up tells that it has not been stopped, killed or frozen since it was launched:
	// what it has is what the others got from it, or it from them.
	up bool
}

// The user that replicas log in as.
const (
	replicator         = "replicator"
	replicatorPassword = "replicator-password"
)

func launchMySQL(ctx context.Context, m *Member, password string, id int) (server, error) {
	o := myserver.Options{
		Flavor: myserver.MariaDB, Host: m.Host, Port: m.Port, Password: password,
		Users: []myserver.User{{Name: replicator, Password: replicatorPassword, Grants: []string{"REPLICATION SLAVE ON *.*"}}},
		Config: []string{
			"log-bin=binlog", "binlog-format=ROW", "sync-binlog=0",
			"innodb-flush-log-at-trx-commit=2", // what was committed outlives the process
		},
	}
	if m.c.Engine == MySQL {
		o.Flavor = myserver.MySQL
		o.Config = append(o.Config, "gtid-mode=ON", "enforce-gtid-consistency=ON", "log-replica-updates=ON")
	} else {
		o.Config = append(o.Config, "log-slave-updates=ON", "gtid-strict-mode=ON", "slave-net-timeout=5")
	}
	o.Config = append(o.Config, m.c.o.Settings...)
	my := &mysql{m: m, opts: o, id: id}
	return my, my.launch(ctx)
}

// launch makes and starts a server that has nothing yet. Its id is a new one: a
// server does not take from a log what it has written under its present id.
func (m *mysql) launch(ctx context.Context) (err error) {
	o := m.opts
	o.Config = append([]string{fmt.Sprintf("server-id=%d", m.id)}, o.Config...)
	m.id += 1000
	if m.Server, err = myserver.Launch(ctx, o); err != nil {
		return err
	}
	m.up = true
	// What made the users is in the log of each server; they would get it twice.
	reset := "RESET BINARY LOGS AND GTIDS"
	if m.m.c.Engine == MariaDB || !m.AtLeast(8, 2) {
		reset = "RESET MASTER"
	}
	if err := m.Exec(ctx, reset); err != nil {
		return err
	}
	return m.plugIn(ctx)
}

func (m *mysql) Close() error {
	if m.Server == nil {
		return nil
	}
	return m.Server.Close()
}

func (m *mysql) Stop() error {
	m.up = false
	return m.Server.Stop()
}

func (m *mysql) Kill() {
	m.up = false
	m.Server.Kill()
}

func (m *mysql) Freeze() {
	m.up = false
	m.Server.Freeze()
}

func (m *mysql) Column(ctx context.Context, sql string) (values []string, err error) {
	conn, err := m.ConnectTo(ctx, Database)
	if err != nil {
		return nil, err
	}
	defer func() { _ = conn.Quit() }() // what was asked for is there
	r, err := conn.Execute(sql)
	if err != nil {
		return nil, err
	}
	defer r.Close()
	for i := range r.RowNumber() {
		v, err := r.GetString(i, 0)
		if err != nil {
			return nil, err
		}
		values = append(values, strings.Clone(v)) // it lies in a buffer that Close gives to the next result
	}
	return values, nil
}

// word chooses the statement of the engine.
func (m *mysql) word(mariadb, mysql string) string {
	if m.m.c.Engine == MariaDB {
		return mariadb
	}
	return mysql
}

// plugIn loads what renew and Options.Synchronous need. MariaDB has the latter built in.
func (m *mysql) plugIn(ctx context.Context) error {
	if m.m.c.Engine == MariaDB {
		return nil
	}
	sql := []string{"SET sql_log_bin = 0", "INSTALL PLUGIN clone SONAME 'mysql_clone.so'"}
	if m.m.c.o.Synchronous {
		sql = append(sql,
			"INSTALL PLUGIN rpl_semi_sync_source SONAME 'semisync_source.so'",
			"INSTALL PLUGIN rpl_semi_sync_replica SONAME 'semisync_replica.so'")
	}
	return m.Exec(ctx, sql...)
}

// promote applies what has been received, and then accepts writes.
func (m *mysql) promote(ctx context.Context) error {
	if err := m.synchronise(ctx, false); err != nil {
		return err
	}
	if err := m.drain(ctx); err != nil {
		return fmt.Errorf("what it has received: %w", err)
	}
	if m.m.c.Engine == MariaDB {
		return m.Exec(ctx, "STOP SLAVE", "RESET SLAVE ALL", "SET GLOBAL read_only = 0")
	}
	return m.Exec(ctx, "STOP REPLICA", "RESET REPLICA ALL", "SET GLOBAL super_read_only = 0", "SET GLOBAL read_only = 0")
}

// drain receives no more, and waits until all that was received is applied: a commit
// that was acknowledged because this reader had it is among that.
func (m *mysql) drain(ctx context.Context) error {
	if err := m.Exec(ctx, m.word("STOP SLAVE IO_THREAD", "STOP REPLICA IO_THREAD")); err != nil {
		return err
	}
	has, err := m.received(ctx)
	if err != nil || has == "" {
		return err
	}
	wait := m.word("SELECT MASTER_GTID_WAIT('%s', %d)", "SELECT WAIT_FOR_EXECUTED_GTID_SET('%s', %d)")
	done, err := m.Query(ctx, fmt.Sprintf(wait, has, int(catchUpLimit/time.Second)))
	if err == nil && done != "0" {
		err = fmt.Errorf("not applied: %s", has)
	}
	return err
}

// received is the position up to which the writer's log was read.
func (m *mysql) received(ctx context.Context) (string, error) {
	if m.m.c.Engine != MariaDB {
		return m.Query(ctx, "SELECT received_transaction_set FROM performance_schema.replication_connection_status")
	}
	conn, err := m.Connect(ctx)
	if err != nil {
		return "", err
	}
	defer func() { _ = conn.Quit() }() // what was asked for is there
	r, err := conn.Execute("SHOW SLAVE STATUS")
	if err != nil || r.RowNumber() == 0 {
		return "", err
	}
	defer r.Close()
	position, err := r.GetStringByName(0, "Gtid_IO_Pos")
	return strings.Clone(position), err // it lies in a buffer that Close gives to the next result
}

// renew puts a new server in the member's place. It gets all from the writer's log;
// MySQL takes long to apply that, and copies the writer's data.
func (m *mysql) renew(ctx context.Context, writer *Member) error {
	if err := m.Close(); err != nil {
		return err
	}
	if err := m.launch(ctx); err != nil || m.m.c.Engine == MariaDB {
		return err
	}
	if err := m.Server.Stop(); err != nil {
		return err
	}
	if err := os.RemoveAll(m.DataDir()); err != nil {
		return err
	}
	if err := writer.Exec(ctx, fmt.Sprintf("CLONE LOCAL DATA DIRECTORY = '%s'", m.DataDir())); err != nil {
		return err
	}
	return m.Start(ctx)
}

// follow points the member to the writer. One that is not as it was when it was the
// writer's peer may have what nobody else has, a commit that was logged and never
// acknowledged; it is made anew.
func (m *mysql) follow(ctx context.Context, writer *Member) error {
	if !m.up {
		if err := m.renew(ctx, writer); err != nil {
			return err
		}
	}
	semi := m.acknowledging()
	if m.m.c.Engine == MariaDB {
		return m.Exec(ctx, append(semi, "SET GLOBAL read_only = 1", "STOP SLAVE",
			"SET GLOBAL gtid_slave_pos = @@global.gtid_current_pos",
			fmt.Sprintf("CHANGE MASTER TO MASTER_HOST = '%s', MASTER_PORT = %d, MASTER_USER = '%s', MASTER_PASSWORD = '%s', "+
				"MASTER_USE_GTID = slave_pos, MASTER_CONNECT_RETRY = 1, MASTER_HEARTBEAT_PERIOD = 0.5", writer.Host, writer.Port, replicator, replicatorPassword),
			"START SLAVE")...)
	}
	return m.Exec(ctx, append(semi, "SET GLOBAL super_read_only = 1", "STOP REPLICA",
		fmt.Sprintf("CHANGE REPLICATION SOURCE TO SOURCE_HOST = '%s', SOURCE_PORT = %d, SOURCE_USER = '%s', SOURCE_PASSWORD = '%s', "+
			"SOURCE_AUTO_POSITION = 1, GET_SOURCE_PUBLIC_KEY = 1, SOURCE_SSL = 0, SOURCE_CONNECT_RETRY = 1, SOURCE_HEARTBEAT_PERIOD = 0.5",
			writer.Host, writer.Port, replicator, replicatorPassword),
		"START REPLICA")...)
}

// acknowledging has a reader tell the writer what it has.
func (m *mysql) acknowledging() []string {
	if !m.m.c.o.Synchronous {
		return nil
	}
	return []string{
		// What it applies would wait for a reader of its own.
		m.word("SET GLOBAL rpl_semi_sync_master_enabled = 0", "SET GLOBAL rpl_semi_sync_source_enabled = 0"),
		m.word("SET GLOBAL rpl_semi_sync_slave_enabled = 1", "SET GLOBAL rpl_semi_sync_replica_enabled = 1"),
	}
}

// synchronise: a commit waits for a day rather than go on without a reader.
func (m *mysql) synchronise(ctx context.Context, on bool) error {
	if !m.m.c.o.Synchronous {
		return nil
	}
	if !on {
		return m.Exec(ctx, m.word("SET GLOBAL rpl_semi_sync_master_enabled = 0", "SET GLOBAL rpl_semi_sync_source_enabled = 0"))
	}
	sql := []string{m.word("SET GLOBAL rpl_semi_sync_master_timeout = 86400000", "SET GLOBAL rpl_semi_sync_source_timeout = 86400000")}
	if m.m.c.Engine == MariaDB {
		// As MySQL does it: nobody sees a commit before a reader has it.
		sql = append(sql, "SET GLOBAL rpl_semi_sync_master_wait_point = AFTER_SYNC")
	}
	return m.Exec(ctx, append(sql, m.word("SET GLOBAL rpl_semi_sync_master_enabled = 1", "SET GLOBAL rpl_semi_sync_source_enabled = 1"))...)
}

func (m *mysql) position(ctx context.Context) (string, error) {
	return m.Query(ctx, m.word("SELECT @@global.gtid_binlog_pos", "SELECT @@global.gtid_executed"))
}

func (m *mysql) reached(ctx context.Context, position string) (bool, error) {
	// 0 stands for a position that has been reached.
	is, err := m.Query(ctx, fmt.Sprintf(m.word("SELECT MASTER_GTID_WAIT('%s', 0)", "SELECT 1 - GTID_SUBSET('%s', @@global.gtid_executed)"), position))
	return is == "0", err
}

// attached tells whether commits can be acknowledged.
func (m *mysql) attached(ctx context.Context) (bool, error) {
	name := m.word("Rpl_semi_sync_master_clients", "Rpl_semi_sync_source_clients")
	n, err := m.Query(ctx, fmt.Sprintf("SELECT variable_value FROM %s.global_status WHERE variable_name = '%s'",
		m.word("information_schema", "performance_schema"), name))
	return n != "" && n != "0", err
}

func (m *mysql) demote(ctx context.Context) (bool, error) {
	return true, m.Exec(ctx, m.word("SET GLOBAL read_only = 1", "SET GLOBAL super_read_only = 1"))
}
