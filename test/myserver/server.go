// SPDX-License-Identifier: Apache-2.0

package myserver

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"

	"github.com/go-mysql-org/go-mysql/client"

	"github.com/rdsproxy/rdsproxy/test/machine"
)

// scratchPrefix starts the name of every server's folder.
const scratchPrefix = "rdsproxy-my-"

// Server is a MariaDB or MySQL server with a folder of its own. Its methods may not
// be called concurrently, except DSN, Addr, Log and Connect.
type Server struct {
	Installation
	Host string
	Port int
	// Password is the superuser's.
	Password string
	// Dir is the server's folder: data, socket and log are in it.
	Dir string

	opts    Options
	account *machine.Account
	machine.Daemon
}

var sweep = sync.OnceFunc(func() { machine.SweepScratch(scratchPrefix) })

// Launch makes a server and starts it. The caller must Close it.
func Launch(ctx context.Context, o Options) (*Server, error) {
	o, err := o.withDefaults()
	if err != nil {
		return nil, err
	}
	inst, err := Find(ctx, o.Flavor)
	if err != nil {
		return nil, err
	}
	account, err := machine.Unprivileged("mysql", "nobody")
	if err != nil {
		return nil, err
	}
	sweep()
	dir, err := machine.ScratchDir(scratchPrefix, account)
	if err != nil {
		return nil, err
	}
	s := &Server{
		Installation: inst, Host: o.Host, Port: o.Port, Password: o.Password, Dir: dir, opts: o, account: account,
		Daemon: machine.Daemon{Name: fmt.Sprintf("%s %s", inst.Flavor, inst.Version), LogFile: filepath.Join(dir, "log")},
	}
	if err := s.create(ctx); err != nil {
		return nil, errors.Join(err, s.Close())
	}
	return s, nil
}

func (s *Server) create(ctx context.Context) error {
	files := map[string][]byte{}
	if s.opts.TLS != nil {
		files["server.crt"], files["server.key"] = s.opts.TLS.CertPEM, s.opts.TLS.KeyPEM
		if s.opts.ClientCA != nil {
			files["ca.crt"] = s.opts.ClientCA
		}
	}
	files["my.cnf"] = []byte(strings.Join(append([]string{"[mysqld]", "datadir=" + s.DataDir()}, s.installed()...), "\n"))
	for name, data := range files {
		if err := s.account.WriteFile(filepath.Join(s.Dir, name), data); err != nil {
			return err
		}
	}
	if err := s.initialise(ctx); err != nil {
		return err
	}
	if err := s.account.WriteFile(filepath.Join(s.Dir, "my.cnf"), []byte(s.config())); err != nil {
		return err
	}
	password := s.Password
	s.Password = "" // until it is set
	if err := s.Start(ctx); err != nil {
		return err
	}
	if err := s.Exec(ctx, rootSQL(s.Flavor, password)...); err != nil {
		return err
	}
	s.Password = password
	return s.Exec(ctx, s.setup()...)
}

// rootSQL gives the superuser a password, and a way in over TCP.
func rootSQL(f Flavor, password string) []string {
	p := quoteLiteral(password)
	sql := []string{
		"CREATE USER root@'%' IDENTIFIED BY " + p,
		"GRANT ALL PRIVILEGES ON *.* TO root@'%' WITH GRANT OPTION",
	}
	if f.IsMariaDB() {
		sql = append(sql, "DROP USER IF EXISTS root@'127.0.0.1', root@'::1'", "DELETE FROM mysql.global_priv WHERE User = ''", "FLUSH PRIVILEGES")
	}
	return append(sql, "ALTER USER root@localhost IDENTIFIED BY "+p)
}

func (s *Server) serverCommand(ctx context.Context, arg ...string) *exec.Cmd {
	argv := append(append([]string(nil), s.server...), "--defaults-file="+filepath.Join(s.Dir, "my.cnf"))
	argv = append(argv, arg...)
	cmd := exec.CommandContext(ctx, argv[0], argv[1:]...)
	cmd.Dir, cmd.Env = s.Dir, machine.Environment()
	return cmd
}

// Start starts a stopped server and waits until it accepts logins.
func (s *Server) Start(ctx context.Context) error {
	cmd := s.serverCommand(context.WithoutCancel(ctx)) // it outlives the start
	return s.Daemon.Start(ctx, cmd, s.account, syscall.SIGKILL, func(ctx context.Context) error {
		conn, err := s.Connect(ctx)
		if err != nil {
			return err
		}
		return conn.Quit()
	})
}

// Stop shuts the server down in order: clients get an error or a closed socket, and
// it waits for its end. Stopping a stopped server is no error.
func (s *Server) Stop() error { return s.Daemon.Stop(syscall.SIGTERM) }

// Restart stops the server and starts it again on the same port.
func (s *Server) Restart(ctx context.Context) error {
	if err := s.Stop(); err != nil {
		return err
	}
	return s.Start(ctx)
}

// Close ends the server and removes its folder.
func (s *Server) Close() error {
	s.Kill()
	return os.RemoveAll(s.Dir)
}

// DataDir is the server's data folder.
func (s *Server) DataDir() string { return filepath.Join(s.Dir, "data") }

// Socket is the path of the server's socket.
func (s *Server) Socket() string { return filepath.Join(s.Dir, "s") }

// Addr is the server's TCP address.
func (s *Server) Addr() string { return net.JoinHostPort(s.Host, strconv.Itoa(s.Port)) }

// DSN is a data source name of go-sql-driver/mysql for TCP; params are further
// parameters as "key=value".
func (s *Server) DSN(user, password, database string, params ...string) string {
	return DSN(s.Addr(), user, password, database, params...)
}

// DSN builds a data source name.
func DSN(addr, user, password, database string, params ...string) string {
	dsn := fmt.Sprintf("%s:%s@tcp(%s)/%s", user, password, addr, database)
	if len(params) > 0 {
		dsn += "?" + strings.Join(params, "&")
	}
	return dsn
}

// Connect opens a superuser connection over the server's socket.
func (s *Server) Connect(ctx context.Context) (*client.Conn, error) {
	return s.ConnectTo(ctx, "")
}

// ConnectTo is Connect with a database selected.
func (s *Server) ConnectTo(ctx context.Context, database string) (*client.Conn, error) {
	dialer := &net.Dialer{}
	return client.ConnectWithDialer(ctx, "unix", s.Socket(), Superuser, s.Password, database, dialer.DialContext)
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
	defer func() { _ = conn.Close() }() // what was asked for is there
	for _, q := range sql {
		if _, err := conn.Execute(q); err != nil {
			verb, _, _ := strings.Cut(q, " ") // the rest may hold a password
			return fmt.Errorf("set-up statement %s …: %w", verb, err)
		}
	}
	return nil
}

// Query runs a statement as the superuser and returns its first value as text, ""
// for NULL or no row.
func (s *Server) Query(ctx context.Context, sql string) (string, error) {
	conn, err := s.Connect(ctx)
	if err != nil {
		return "", fmt.Errorf("superuser's connection: %w", err)
	}
	defer func() { _ = conn.Close() }() // what was asked for is there
	r, err := conn.Execute(sql)
	if err != nil {
		return "", err
	}
	defer r.Close()
	if r.Resultset == nil || len(r.Values) == 0 {
		return "", nil
	}
	value, err := r.GetString(0, 0)
	return strings.Clone(value), err // it lies in a buffer that Close gives to the next result
}
