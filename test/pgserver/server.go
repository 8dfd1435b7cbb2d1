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
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/rdsproxy/rdsproxy/test/machine"
)

const (
	startLimit = 60 * time.Second // from start to the first login
	stopLimit  = 60 * time.Second // for an orderly stop
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
	mu   struct {
		sync.Mutex
		proc *process // nil while stopped
	}
}

// process is one run of the postmaster.
type process struct {
	cmd  *exec.Cmd
	done chan struct{} // closed when it has ended
	err  error         // valid after done
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
	s := &Server{Installation: inst, Host: o.Host, Dir: dir, user: u}
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
	log, err := os.OpenFile(s.logFile(), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return fmt.Errorf("server's log: %w", err)
	}
	defer log.Close()
	cmd := exec.Command(filepath.Join(s.BinDir, "postgres"), "-D", s.DataDir())
	cmd.Dir, cmd.Env, cmd.Stdout, cmd.Stderr = s.Dir, machine.Environment(), log, log
	if err := machine.Start(cmd, s.user, syscall.SIGQUIT); err != nil {
		return fmt.Errorf("start of PostgreSQL %d: %w", s.Installation.Version, err)
	}
	p := &process{cmd: cmd, done: make(chan struct{})}
	go func() {
		p.err = cmd.Wait()
		close(p.done)
	}()
	s.mu.Lock()
	s.mu.proc = p
	s.mu.Unlock()
	return s.waitReady(ctx, p)
}

func (s *Server) waitReady(ctx context.Context, p *process) error {
	ctx, cancel := context.WithTimeout(ctx, startLimit)
	defer cancel()
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for {
		conn, err := s.Connect(ctx)
		if err == nil {
			return conn.Close(ctx)
		}
		select {
		case <-p.done:
			return fmt.Errorf("PostgreSQL %d ended while starting: %w\n%s", s.Installation.Version, p.err, machine.LastLines(s.Log(), 15))
		case <-ctx.Done():
			return fmt.Errorf("PostgreSQL %d does not accept logins: %w\n%s", s.Installation.Version, err, machine.LastLines(s.Log(), 15))
		case <-tick.C:
		}
	}
}

// Stop shuts the server down and waits for its end. Stopping a stopped server is no error.
func (s *Server) Stop(mode StopMode) error {
	p := s.takeProcess()
	if p == nil {
		return nil
	}
	_ = p.cmd.Process.Signal(syscall.Signal(mode)) // it may have ended by itself
	select {
	case <-p.done:
		return nil
	case <-time.After(stopLimit):
		s.killAll(p)
		return fmt.Errorf("PostgreSQL %d did not stop within %s and was killed\n%s", s.Installation.Version, stopLimit, machine.LastLines(s.Log(), 15))
	}
}

// Kill ends all of the server's processes at once, as when the machine dies:
// clients get no message, only a closed socket.
func (s *Server) Kill() {
	if p := s.takeProcess(); p != nil {
		s.killAll(p)
	}
}

// Ended is closed when the server, which has to be running now, has ended.
func (s *Server) Ended() <-chan struct{} {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.mu.proc.done
}

func (s *Server) takeProcess() *process {
	s.mu.Lock()
	defer s.mu.Unlock()
	p := s.mu.proc
	s.mu.proc = nil
	return p
}

func (s *Server) killAll(p *process) {
	pid := p.cmd.Process.Pid
	// Stopped, the postmaster cannot start further processes meanwhile.
	_ = syscall.Kill(pid, syscall.SIGSTOP)
	awaitStates("TZ", pid)
	all := children(pid)
	for _, child := range all {
		_ = syscall.Kill(child, syscall.SIGKILL)
	}
	_ = syscall.Kill(pid, syscall.SIGKILL)
	<-p.done
	awaitStates("ZX", all...) // until then they hold the shared memory, and no new server starts
}

// Freeze stops all of the server's processes without ending them: sockets stay
// open and nobody answers, as behind a broken network. Thaw lets them go on.
func (s *Server) Freeze() { s.signalAll(syscall.SIGSTOP) }

// Thaw undoes Freeze.
func (s *Server) Thaw() { s.signalAll(syscall.SIGCONT) }

func (s *Server) signalAll(sig syscall.Signal) {
	s.mu.Lock()
	p := s.mu.proc
	s.mu.Unlock()
	if p == nil {
		return
	}
	pid := p.cmd.Process.Pid
	_ = syscall.Kill(pid, sig)
	if sig == syscall.SIGSTOP {
		awaitStates("TZ", pid)
	}
	for _, child := range children(pid) {
		_ = syscall.Kill(child, sig)
	}
}

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

func (s *Server) logFile() string { return filepath.Join(s.Dir, "log") }

// Log returns what the server has logged so far.
func (s *Server) Log() string {
	text, err := os.ReadFile(s.logFile())
	if err != nil {
		return err.Error()
	}
	return string(text)
}

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
