// SPDX-License-Identifier: Apache-2.0

package replicas

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"

	"github.com/rdsproxy/rdsproxy/test/machine"
	"github.com/rdsproxy/rdsproxy/test/pgserver"
)

// postgres is a member of streaming replication.
type postgres struct {
	*pgserver.Server
	m *Member
}

func launchPostgres(ctx context.Context, m *Member, password string) (server, error) {
	settings := map[string]string{
		"wal_level": "replica", "max_wal_senders": "10", "hot_standby": "on", "wal_keep_size": "256MB",
		// A standby that lost its writer tries again soon, not after five seconds.
		"wal_retrieve_retry_interval": "100ms",
	}
	for _, line := range m.c.o.Settings {
		name, value, _ := strings.Cut(line, "=")
		settings[strings.TrimSpace(name)] = strings.TrimSpace(value)
	}
	s, err := pgserver.Launch(ctx, pgserver.Options{Host: m.Host, Port: m.Port, Password: password, Settings: settings})
	if err != nil {
		return nil, err
	}
	return &postgres{s, m}, nil
}

func (p *postgres) Stop() error { return p.Server.Stop(pgserver.Fast) }

func (p *postgres) Query(ctx context.Context, sql string) (value string, err error) {
	conn, err := p.Connect(ctx)
	if err != nil {
		return "", err
	}
	defer conn.Close(ctx)
	rows, err := conn.PgConn().Exec(ctx, sql).ReadAll()
	if err != nil || len(rows) == 0 || len(rows[0].Rows) == 0 {
		return "", err
	}
	return string(rows[0].Rows[0][0]), nil
}

func (p *postgres) Column(ctx context.Context, sql string) (values []string, err error) {
	conn, err := p.ConnectTo(ctx, Database)
	if err != nil {
		return nil, err
	}
	defer conn.Close(ctx)
	results, err := conn.PgConn().Exec(ctx, sql).ReadAll()
	if err != nil {
		return nil, err
	}
	for _, row := range results[0].Rows {
		values = append(values, string(row[0]))
	}
	return values, nil
}

func (p *postgres) promote(ctx context.Context) error {
	if err := p.Exec(ctx, "ALTER SYSTEM RESET synchronous_standby_names", "SELECT pg_reload_conf()", "SELECT pg_promote(false)"); err != nil {
		return err
	}
	conn, err := p.Connect(ctx)
	if err != nil {
		return err
	}
	defer conn.Close(ctx)
	return poll(ctx, promotePoll, func() (done bool, err error) {
		err = conn.QueryRow(ctx, "SELECT NOT pg_is_in_recovery()").Scan(&done)
		return done, err
	})
}

// follow copies the writer. Whatever the member had is gone.
func (p *postgres) follow(ctx context.Context, writer *Member) error {
	w, ok := writer.server.(*postgres)
	if !ok {
		return fmt.Errorf("%s is no PostgreSQL", writer.Addr())
	}
	p.Thaw()
	p.Kill()
	if err := os.RemoveAll(p.DataDir()); err != nil {
		return err
	}
	account, err := machine.Unprivileged("postgres", "nobody")
	if err != nil {
		return err
	}
	cmd := exec.CommandContext(ctx, filepath.Join(p.BinDir, "pg_basebackup"),
		"-D", p.DataDir(), "-h", w.Dir, "-p", fmt.Sprint(w.Server.Port), "-U", pgserver.Superuser, "-X", "stream", "-c", "fast", "--no-sync")
	cmd.Dir, cmd.Env = p.Dir, machine.Environment()
	if err := machine.Run(cmd, account); err != nil {
		return fmt.Errorf("pg_basebackup: %w", err)
	}
	if err := p.configure(account, w); err != nil {
		return err
	}
	return p.Start(ctx)
}

// configure gives the copy its own address, and has it follow the writer over TCP.
func (p *postgres) configure(account *machine.Account, w *postgres) error {
	path := filepath.Join(p.DataDir(), "postgresql.auto.conf")
	text, err := os.ReadFile(path)
	if err != nil {
		return err
	}
	var keep []string
	for line := range strings.Lines(string(text)) {
		switch name, _, _ := strings.Cut(line, "="); strings.TrimSpace(name) {
		case "listen_addresses", "port", "unix_socket_directories", "primary_conninfo", "synchronous_standby_names":
		default:
			keep = append(keep, line)
		}
	}
	own := fmt.Sprintf("listen_addresses = '%s'\nport = '%d'\nunix_socket_directories = '%s'\n", p.m.Host, p.m.Port, p.Dir) +
		fmt.Sprintf("primary_conninfo = 'host=%s port=%d user=%s password=%s sslmode=disable application_name=m%d connect_timeout=2'\n",
			w.m.Host, w.m.Port, pgserver.Superuser, w.Server.Password, p.m.Port)
	if err := account.WriteFile(path, []byte(strings.Join(keep, "")+own)); err != nil {
		return err
	}
	return account.WriteFile(filepath.Join(p.DataDir(), "standby.signal"), nil)
}

func (p *postgres) synchronise(ctx context.Context, on bool) error {
	value := "''"
	if on {
		value = "'*'"
	}
	return p.Exec(ctx, "ALTER SYSTEM SET synchronous_standby_names = "+value, "SELECT pg_reload_conf()")
}

func (p *postgres) position(ctx context.Context) (string, error) {
	return p.Query(ctx, "SELECT pg_current_wal_lsn()")
}

func (p *postgres) reached(ctx context.Context, position string) (bool, error) {
	is, err := p.Query(ctx, fmt.Sprintf("SELECT pg_last_wal_replay_lsn() >= '%s'", position))
	return is == "t", err
}

func (p *postgres) attached(ctx context.Context) (bool, error) {
	n, err := p.Query(ctx, "SELECT count(*) FROM pg_stat_replication WHERE state = 'streaming'")
	return n != "" && n != "0", err
}

// demote: only a restart makes a reader of a PostgreSQL.
func (p *postgres) demote(context.Context) (bool, error) { return false, nil }

// PauseReplay has a reader receive and not replay, so that it lags; ResumeReplay ends
// that.
func (m *Member) PauseReplay(ctx context.Context) error {
	switch m.c.Engine {
	case PostgreSQL:
		if err := m.Exec(ctx, "SELECT pg_wal_replay_pause()"); err != nil {
			return err
		}
		return poll(ctx, pollInterval, func() (bool, error) {
			state, err := m.Query(ctx, "SELECT pg_get_wal_replay_pause_state()")
			return state == "paused", err
		})
	case MariaDB:
		return m.Exec(ctx, "STOP SLAVE SQL_THREAD")
	case MySQL:
	}
	return m.Exec(ctx, "STOP REPLICA SQL_THREAD")
}

// ResumeReplay ends a PauseReplay.
func (m *Member) ResumeReplay(ctx context.Context) error {
	switch m.c.Engine {
	case PostgreSQL:
		return m.Exec(ctx, "SELECT pg_wal_replay_resume()")
	case MariaDB:
		return m.Exec(ctx, "START SLAVE SQL_THREAD")
	case MySQL:
	}
	return m.Exec(ctx, "START REPLICA SQL_THREAD")
}
