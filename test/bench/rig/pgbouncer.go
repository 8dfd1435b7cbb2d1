// SPDX-License-Identifier: Apache-2.0

//go:build linux

package rig

import (
	"context"
	"errors"
	"fmt"
	"os"
	"syscall"

	"github.com/rdsproxy/rdsproxy/test/pgserver"
	"github.com/rdsproxy/rdsproxy/test/sid"
)

// PgBouncer is the peer for PostgreSQL.
type PgBouncer struct {
	Argv    []string // the program, and what stands before it
	Version string
}

// Name implements Pooler.
func (p *PgBouncer) Name() string { return "PgBouncer " + p.Version }

// Start implements Pooler.
//
// PgBouncer gets its best settings. Its list of users holds the verifiers that the database has stored, so that it has no key to derive at
// all: it logs in to the database with the key it takes from the client's login. (With passwords there it keeps what it has derived;
// its logins then cost as much.) Neither program logs logins.
func (p *PgBouncer) Start(ctx context.Context, s Setup) (*Instance, error) {
	dir, err := NewSpace("", s.As)
	if err != nil {
		return nil, err
	}
	port, err := pgserver.FreePort("127.0.0.1")
	if err != nil {
		return nil, errors.Join(err, dir.Remove())
	}
	ini, err := p.configure(ctx, s, dir, port)
	if err != nil {
		return nil, errors.Join(err, dir.Remove())
	}
	return run(ctx, s, dir, port, Program{
		Name: p.Name(), Path: p.Argv[0], Args: append(p.Argv[1:len(p.Argv):len(p.Argv)], ini), As: s.As,
		Stop: syscall.SIGQUIT, // at once; SIGTERM would wait for the clients
	})
}

// configure writes the files and returns the path of the main one.
func (p *PgBouncer) configure(ctx context.Context, s Setup, dir *Space, port int) (string, error) {
	verifier, err := s.Postgres.Verifier(ctx, s.User)
	if err != nil {
		return "", err
	}
	users, err1 := dir.Write("users", fmt.Appendf(nil, "%q %q\n", s.User, verifier))
	cert, err2 := dir.Write("cert.pem", s.TLS.Server.CertPEM)
	key, err3 := dir.Write("key.pem", s.TLS.Server.KeyPEM)
	if err := errors.Join(err1, err2, err3); err != nil {
		return "", err
	}
	return dir.Write("pgbouncer.ini", fmt.Appendf(nil, pgbouncerIni,
		Database, s.Postgres.Port, port, users, s.Pool, cert, key))
}

const pgbouncerIni = `[databases]
%[1]s = host=127.0.0.1 port=%[2]d dbname=%[1]s

[pgbouncer]
listen_addr = 127.0.0.1
listen_port = %[3]d
listen_backlog = 4096
unix_socket_dir =
auth_type = scram-sha-256
auth_file = %[4]s
pool_mode = transaction
max_prepared_statements = 200
default_pool_size = %[5]d
max_client_conn = 12000
client_tls_sslmode = allow
client_tls_cert_file = %[6]s
client_tls_key_file = %[7]s
client_tls_ca_file = %[6]s
server_tls_sslmode = disable
log_connections = 0
log_disconnections = 0
`

// FindPgBouncer looks for PgBouncer: at path if that is given, else that of Debian unstable, else the one that the machine has. note tells in a sentence why it is not the newest; it is empty if it is.
func FindPgBouncer(ctx context.Context, path string) (p *PgBouncer, note string, err error) {
	if path != "" {
		p, err = newPgBouncer(ctx, path)
		return p, "", err
	}
	if p, err = newestPgBouncer(ctx); err == nil {
		return p, "", nil
	}
	for _, path := range []string{"/usr/sbin/pgbouncer", "/usr/local/sbin/pgbouncer", "/usr/local/bin/pgbouncer", "/opt/homebrew/bin/pgbouncer"} {
		if _, statErr := os.Stat(path); statErr != nil {
			continue
		}
		if p, localErr := newPgBouncer(ctx, path); localErr == nil {
			return p, fmt.Sprintf("the newest PgBouncer is not to be had (%v); comparing with the machine's own %s", err, p.Version), nil
		}
	}
	return nil, "", fmt.Errorf("no PgBouncer to compare with: %w", err)
}

// newestPgBouncer gives the PgBouncer of Debian unstable.
func newestPgBouncer(ctx context.Context) (*PgBouncer, error) {
	t, err := sid.Unpack(ctx, "pgbouncer", []string{"pgbouncer"}, nil)
	if err != nil {
		return nil, err
	}
	return newPgBouncer(ctx, t.Argv("usr/sbin/pgbouncer")...)
}

func newPgBouncer(ctx context.Context, argv ...string) (*PgBouncer, error) {
	version, err := versionOf(ctx, argv[0], append(argv[1:len(argv):len(argv)], "--version")...)
	return &PgBouncer{Argv: argv, Version: version}, err
}
