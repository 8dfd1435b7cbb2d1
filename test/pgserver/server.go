// SPDX-License-Identifier: Apache-2.0

package pgserver

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"

	"github.com/jackc/pgx/v5"

	"github.com/rdsproxy/rdsproxy/test/machine"
)

// Server is a PostgreSQL server with a folder of its own. Its methods may not be
// called concurrently, except DSN, AdminDSN, Addr, Log and Connect.
type Server struct {
	Installation
	Host string
	Port int
	// Password is the superuser's.
	Password string
	// Dir is the server's folder: data, socket and log are in it.
	Dir string

	opts Options
	user *machine.Account
	machine.Daemon
}

// StopMode is one of PostgreSQL's ways to shut down.
type StopMode syscall.Signal

// The ways to shut a server down. Fast rolls back and disconnects; Immediate
// skips the checkpoint, as after a crash; Smart waits for clients to leave.
const (
	Fast      = StopMode(syscall.SIGINT)
	Immediate = StopMode(syscall.SIGQUIT)
	Smart     = StopMode(syscall.SIGTERM)
)

// Launch makes a cluster and starts it. The caller must Close it.
func Launch(ctx context.Context, o Options) (*Server, error) {
	inst, err := Find(ctx, o.Version)
	if err != nil {
		return nil, err
	}
	u, err := machine.Unprivileged("postgres", "nobody") // PostgreSQL refuses root
	if err != nil {
		return nil, err
	}
	sweep()
	dir, err := machine.ScratchDir(scratchPrefix, u)
	if err != nil {
		return nil, err
	}
	s := &Server{
		Installation: inst, Host: o.Host, Dir: dir, user: u,
		Daemon: machine.Daemon{Name: fmt.Sprintf("PostgreSQL %d", inst.Version), LogFile: filepath.Join(dir, "log")},
	}
	if err := s.create(ctx, o); err != nil {
		return nil, errors.Join(err, s.Close())
	}
	return s, nil
}

var sweep = sync.OnceFunc(func() { machine.SweepScratch(scratchPrefix) })

func (s *Server) create(ctx context.Context, o Options) error {
	o, err := o.withDefaults()
	if err != nil {
		return err
	}
	s.opts, s.Host, s.Port, s.Password = o, o.Host, o.Port, o.Password
	if err := s.initdb(ctx); err != nil {
		return err
	}
	if err := s.Start(ctx); err != nil {
		return err
	}
	return s.Exec(ctx, o.setup()...)
}

// initdb makes the data folder and writes the settings into it.
func (s *Server) initdb(ctx context.Context) error {
	pw := filepath.Join(s.Dir, "pw")
	if err := s.user.WriteFile(pw, []byte(s.Password+"\n")); err != nil {
		return err
	}
	defer os.Remove(pw)
	cmd := exec.CommandContext(ctx, filepath.Join(s.BinDir, "initdb"), "-D", s.DataDir(), "-U", Superuser, "--pwfile", pw,
		"--auth-local=trust", "--auth-host=scram-sha-256", "-E", "UTF8", "--locale=C", "--no-sync")
	cmd.Dir, cmd.Env = s.Dir, machine.Environment()
	if err := machine.Run(cmd, s.user); err != nil {
		return fmt.Errorf("initdb of PostgreSQL %d: %w", s.Installation.Version, err)
	}
	if err := s.writeTLS(); err != nil {
		return err
	}
	if err := s.user.WriteFile(filepath.Join(s.DataDir(), "pg_hba.conf"), []byte(s.opts.hba())); err != nil {
		return err
	}
	return s.user.WriteFile(filepath.Join(s.DataDir(), "postgresql.auto.conf"), []byte(s.opts.conf(s.Dir)))
}

func (s *Server) writeTLS() error {
	if s.opts.TLS == nil {
		return nil
	}
	files := map[string][]byte{"server.crt": s.opts.TLS.CertPEM, "server.key": s.opts.TLS.KeyPEM}
	if s.opts.ClientCA != nil {
		files["ca.crt"] = s.opts.ClientCA
	}
	for name, data := range files {
		if err := s.user.WriteFile(filepath.Join(s.DataDir(), name), data); err != nil {
			return err
		}
	}
	return nil
}

// Start starts a stopped server and waits until it accepts logins.
func (s *Server) Start(ctx context.Context) error {
	cmd := exec.Command(filepath.Join(s.BinDir, "postgres"), "-D", s.DataDir())
	cmd.Dir, cmd.Env = s.Dir, machine.Environment()
	return s.Daemon.Start(ctx, cmd, s.user, syscall.SIGQUIT, func(ctx context.Context) error {
		conn, err := s.Connect(ctx)
		if err != nil {
			return err
		}
		return conn.Close(ctx)
	})
}

// Stop shuts the server down and waits for its end. Stopping a stopped server is no error.
func (s *Server) Stop(mode StopMode) error { return s.Daemon.Stop(syscall.Signal(mode)) }

// Restart stops the server and starts it again on the same port.
func (s *Server) Restart(ctx context.Context, mode StopMode) error {
	if err := s.Stop(mode); err != nil {
		return err
	}
	return s.Start(ctx)
}

// Close stops the server and removes its folder.
func (s *Server) Close() error {
	err := s.Stop(Immediate)
	return errors.Join(err, os.RemoveAll(s.Dir))
}

// DataDir is the cluster's data folder.
func (s *Server) DataDir() string { return filepath.Join(s.Dir, "data") }

// Addr is the server's TCP address.
func (s *Server) Addr() string { return net.JoinHostPort(s.Host, strconv.Itoa(s.Port)) }

// DSN is a connection URL for TCP; params are further parameters as "key=value".
func (s *Server) DSN(user, password, database string, params ...string) string {
	return DSN(s.Addr(), user, password, database, params...)
}

// DSN builds a connection URL. Unless params say otherwise, TLS is off.
func DSN(addr, user, password, database string, params ...string) string {
	q := url.Values{"sslmode": {"disable"}}
	for _, p := range params {
		k, v, _ := strings.Cut(p, "=")
		q.Set(k, v)
	}
	query := strings.ReplaceAll(q.Encode(), "+", "%20") // libpq takes a plus for a plus
	u := url.URL{Scheme: "postgres", User: url.UserPassword(user, password), Host: addr, Path: "/" + database, RawQuery: query}
	return u.String()
}

// AdminDSN is a connection string for the superuser over the server's socket. It
// works whatever pg_hba.conf says about TCP.
func (s *Server) AdminDSN() string {
	return fmt.Sprintf("host=%s port=%d user=%s dbname=postgres sslmode=disable", s.Dir, s.Port, Superuser)
}

// Connect opens a superuser connection over the server's socket.
func (s *Server) Connect(ctx context.Context) (*pgx.Conn, error) {
	return pgx.Connect(ctx, s.AdminDSN())
}

// ConnectTo is Connect to another database than postgres.
func (s *Server) ConnectTo(ctx context.Context, database string) (*pgx.Conn, error) {
	cfg, err := pgx.ParseConfig(s.AdminDSN())
	if err != nil {
		return nil, err
	}
	cfg.Database = database
	return pgx.ConnectConfig(ctx, cfg)
}

// Exec runs statements one after the other as the superuser, on one connection.
func (s *Server) Exec(ctx context.Context, sql ...string) error {
	if len(sql) == 0 {
		return nil
	}
	conn, err := s.Connect(ctx)
	if err != nil {
		return fmt.Errorf("superuser's connection: %w", err)
	}
	defer conn.Close(ctx)
	for _, q := range sql {
		if _, err := conn.Exec(ctx, q); err != nil {
			verb, _, _ := strings.Cut(q, " ") // the rest may hold a password
			return fmt.Errorf("set-up statement %s …: %w", verb, err)
		}
	}
	return nil
}
