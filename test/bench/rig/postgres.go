// SPDX-License-Identifier: Apache-2.0

//go:build linux

package rig

import (
	"context"
	"errors"
	"fmt"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/jackc/pgx/v5/pgconn"
)

// MaxConnections is max_connections of the cluster. It is a round number because rdsproxy's pool is a percentage of it.
const MaxConnections = 100

// Database is the name of the database that is loaded. Password is that of every login role.
const (
	Database = "bench"
	Password = "bench-only" // a throw-away cluster on loopback
)

// Postgres is a throw-away cluster without durability, loaded with pgbench's tables.
type Postgres struct {
	Port    int
	Version string

	child *Child
	space *Space
	bin   string // folder of the server's programs
	admin *pgconn.PgConn
}

// StartPostgres makes and starts a cluster with a login role for each of users. bin is the folder of its programs; "" searches.
func StartPostgres(ctx context.Context, bin string, as *Account, users []string) (_ *Postgres, err error) {
	if bin == "" {
		if bin, err = findPostgres(); err != nil {
			return nil, err
		}
	}
	space, err := NewSpace("", as)
	if err != nil {
		return nil, err
	}
	p := &Postgres{space: space, bin: bin}
	defer func() {
		if err != nil {
			err = errors.Join(err, p.Stop())
		}
	}()
	if p.Version, err = versionOf(ctx, filepath.Join(bin, "postgres"), "--version"); err != nil {
		return nil, err
	}
	if err := p.create(ctx); err != nil {
		return nil, err
	}
	if err := p.start(ctx); err != nil {
		return nil, err
	}
	return p, p.load(ctx, users)
}

// findPostgres looks for the newest server that Debian's and Ubuntu's packages have installed, then for one in the search path.
func findPostgres() (string, error) {
	found, err := filepath.Glob("/usr/lib/postgresql/*/bin/postgres")
	if err != nil {
		return "", err
	}
	if len(found) > 0 {
		return filepath.Dir(slices.MaxFunc(found, func(a, b string) int { return majorIn(a) - majorIn(b) })), nil
	}
	path, err := exec.LookPath("postgres")
	if err != nil {
		return "", errors.New("PostgreSQL is not installed (package postgresql on Debian and Ubuntu)")
	}
	return filepath.Dir(path), nil
}

// majorIn reads the version out of /usr/lib/postgresql/VERSION/bin/postgres.
func majorIn(path string) int {
	n, _ := strconv.Atoi(filepath.Base(filepath.Dir(filepath.Dir(path)))) // anything else sorts first
	return n
}

// versionOf runs a program's version command and gives the first word of its output that begins with a digit.
func versionOf(ctx context.Context, path string, arg ...string) (string, error) {
	out, err := exec.CommandContext(ctx, path, arg...).Output()
	if err != nil {
		return "", fmt.Errorf("%s: %w", filepath.Base(path), err)
	}
	return firstNumber(string(out)), nil
}

func firstNumber(s string) string {
	for _, w := range strings.Fields(s) {
		if w[0] >= '0' && w[0] <= '9' {
			return w
		}
	}
	return "unknown"
}

func (p *Postgres) create(ctx context.Context) error {
	cmd := exec.CommandContext(ctx, filepath.Join(p.bin, "initdb"), "-D", p.space.Path("data"), "-U", "admin", "-E", "UTF8",
		"--locale=C", "--no-sync", "--auth-local=trust", "--auth-host=scram-sha-256")
	cmd.Dir = "/"
	cmd.SysProcAttr = &syscall.SysProcAttr{Credential: p.space.as.credential()}
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("initdb: %w\n%s", err, out)
	}
	return nil
}

func (p *Postgres) start(ctx context.Context) (err error) {
	if p.Port, err = FreePort(); err != nil {
		return err
	}
	args := []string{"-D", p.space.Path("data")}
	for _, s := range []string{
		"listen_addresses=127.0.0.1", "port=" + strconv.Itoa(p.Port), "unix_socket_directories=" + p.space.Dir,
		"max_connections=" + strconv.Itoa(MaxConnections), "password_encryption=scram-sha-256", "ssl=off",
		"fsync=off", "synchronous_commit=off", "full_page_writes=off", "autovacuum=off", "jit=off", "shared_buffers=128MB",
	} {
		args = append(args, "-c", s)
	}
	// SIGQUIT: an immediate shutdown; there is nothing in it to keep.
	p.child, err = Start(Program{Name: "PostgreSQL", Path: filepath.Join(p.bin, "postgres"), Args: args, As: p.space.as, Stop: syscall.SIGQUIT})
	if err != nil {
		return err
	}
	return p.child.Await(ctx, 20*time.Second, func(ctx context.Context) error {
		p.admin, err = pgconn.Connect(ctx, fmt.Sprintf("host=%s port=%d user=admin dbname=postgres", p.space.Dir, p.Port))
		return err
	})
}

// load makes the roles and pgbench's tables, at scale 10: a million accounts, all of them in memory.
func (p *Postgres) load(ctx context.Context, users []string) error {
	if err := p.exec(ctx, "CREATE DATABASE "+Database); err != nil {
		return err
	}
	for _, u := range users {
		if err := p.exec(ctx, fmt.Sprintf("CREATE ROLE %s LOGIN PASSWORD '%s' IN ROLE pg_read_all_data", u, Password)); err != nil {
			return err
		}
	}
	cmd := exec.CommandContext(ctx, p.Program("pgbench"), "-i", "-q", "-s", "10",
		"-h", p.space.Dir, "-p", strconv.Itoa(p.Port), "-U", "admin", Database)
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("pgbench -i: %w\n%s", err, out)
	}
	return nil
}

func (p *Postgres) exec(ctx context.Context, sql string) error {
	return p.admin.Exec(ctx, sql).Close()
}

// Program is the path of a client program that comes with the server.
func (p *Postgres) Program(name string) string { return filepath.Join(p.bin, name) }

// Verifier is the SCRAM secret that the cluster has stored for a role.
func (p *Postgres) Verifier(ctx context.Context, user string) (string, error) {
	return p.value(ctx, "SELECT rolpassword FROM pg_authid WHERE rolname = $1", user)
}

// Connections counts the connections that a role has open now.
func (p *Postgres) Connections(ctx context.Context, user string) (int, error) {
	v, err := p.value(ctx, "SELECT count(*) FROM pg_stat_activity WHERE usename = $1", user)
	if err != nil {
		return 0, err
	}
	return strconv.Atoi(v)
}

func (p *Postgres) value(ctx context.Context, sql, arg string) (string, error) {
	r := p.admin.ExecParams(ctx, sql, [][]byte{[]byte(arg)}, nil, nil, nil).Read()
	if r.Err != nil {
		return "", r.Err
	}
	if len(r.Rows) != 1 {
		return "", fmt.Errorf("%d rows for %q", len(r.Rows), arg)
	}
	return string(r.Rows[0][0]), nil
}

// Stop ends the server and removes the cluster.
func (p *Postgres) Stop() error {
	if p.admin != nil {
		ctx, cancel := context.WithTimeout(context.Background(), time.Second)
		defer cancel()
		_ = p.admin.Close(ctx) // the server is about to go anyway
	}
	if p.child != nil {
		p.child.Stop()
	}
	return p.space.Remove()
}
