// SPDX-License-Identifier: Apache-2.0

//go:build linux

package rig

import (
	"context"
	"errors"
	"fmt"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/rdsproxy/rdsproxy/test/pgserver"
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

	server *pgserver.Server
	admin  *pgx.Conn
	tools  string // folder of the client programs
}

// StartPostgres makes and starts a cluster of the distribution's version with a login role for each of users.
func StartPostgres(ctx context.Context, users []string) (_ *Postgres, err error) {
	tools, err := pgserver.Tools(ctx)
	if err != nil {
		return nil, err
	}
	o := pgserver.Options{
		Databases: []string{Database},
		Settings: map[string]string{
			"max_connections": strconv.Itoa(MaxConnections), "shared_buffers": "256MB", // all of the data
			"synchronous_commit": "off", "autovacuum": "off", "jit": "off",
		},
	}
	for _, u := range users {
		for _, name := range []string{u, tokenUser(u)} {
			o.Roles = append(o.Roles, pgserver.Role{Name: name, Password: Password, Attributes: "IN ROLE pg_read_all_data"})
		}
	}
	server, err := pgserver.Launch(ctx, o)
	if err != nil {
		return nil, err
	}
	p := &Postgres{Port: server.Port, server: server, tools: tools.BinDir}
	if err := p.load(ctx); err != nil {
		return nil, errors.Join(err, p.Stop())
	}
	return p, nil
}

// load makes pgbench's tables at scale 10, a million accounts.
func (p *Postgres) load(ctx context.Context) (err error) {
	if p.Version, err = versionOf(ctx, filepath.Join(p.server.BinDir, "postgres"), "--version"); err != nil {
		return err
	}
	if p.admin, err = p.server.Connect(ctx); err != nil {
		return err
	}
	cmd := exec.CommandContext(ctx, p.Program("pgbench"), "-i", "-q", "-s", "10",
		"-h", p.server.Dir, "-p", strconv.Itoa(p.Port), "-U", pgserver.Superuser, Database)
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("pgbench -i: %w\n%s", err, lastBytes(out, 1000))
	}
	return nil
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
	for w := range strings.FieldsSeq(s) {
		if w[0] >= '0' && w[0] <= '9' {
			return w
		}
	}
	return "unknown"
}

// Program is the path of a client program that comes with the server.
func (p *Postgres) Program(name string) string { return filepath.Join(p.tools, name) }

// Verifier is the SCRAM secret that the cluster has stored for a role.
func (p *Postgres) Verifier(ctx context.Context, user string) (verifier string, err error) {
	err = p.admin.QueryRow(ctx, "SELECT rolpassword FROM pg_authid WHERE rolname = $1", user).Scan(&verifier)
	return verifier, err
}

// Connections implements Backend.
func (p *Postgres) Connections(ctx context.Context, user string) (n int, err error) {
	err = p.admin.QueryRow(ctx, "SELECT count(*) FROM pg_stat_activity WHERE usename = $1 AND application_name <> 'rdsproxy probe'", user).Scan(&n)
	return n, err
}

// Stop implements Backend.
func (p *Postgres) Stop() error {
	if p.admin != nil {
		ctx, cancel := context.WithTimeout(context.Background(), time.Second)
		defer cancel()
		_ = p.admin.Close(ctx) // the server is about to go anyway
	}
	return p.server.Close()
}

func lastBytes(b []byte, n int) []byte { return b[max(0, len(b)-n):] }
