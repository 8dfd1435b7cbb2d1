// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	crand "crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"sync"
	"time"

	"github.com/rdsproxy/rdsproxy/test/myserver"
	"github.com/rdsproxy/rdsproxy/test/pgserver"
)

const (
	user, database = "app", "app"
	usualPort      = 6432
	usualMySQLPort = 6033
	usualAdminPort = 9127
)

// scene is the databases and the daemon's files.
type scene struct {
	pg *pgserver.Server
	// my is nil if there can be none here, for the reason noMy.
	my            *myserver.Server
	noMy          error
	myListen      string
	dir           string
	configFile    string
	config        string
	listen, admin string
	password      string
}

func newScene(ctx context.Context, version int, out io.Writer) (s *scene, err error) {
	s = &scene{password: crand.Text()}
	defer func() {
		if err != nil {
			err = errors.Join(err, s.remove())
		}
	}()
	fmt.Fprintln(out, "starting PostgreSQL and MariaDB")
	var both sync.WaitGroup
	both.Go(func() { s.startMySQL(ctx) })
	s.pg, err = pgserver.Launch(ctx, pgserver.Options{
		Version:   version,
		Roles:     []pgserver.Role{{Name: user, Password: s.password}},
		Databases: []string{database},
	})
	both.Wait()
	if err != nil {
		return s, err
	}
	if err := s.pg.Exec(ctx, fmt.Sprintf("ALTER DATABASE %s OWNER TO %s", database, user)); err != nil {
		return s, err
	}
	if s.listen, err = freeAddr(usualPort); err != nil {
		return s, err
	}
	if s.myListen, err = freeAddr(usualMySQLPort); err != nil {
		return s, err
	}
	if s.admin, err = freeAddr(usualAdminPort); err != nil {
		return s, err
	}
	return s, s.write()
}

// startMySQL starts a MariaDB, or a MySQL if there is none. Either is a bonus.
func (s *scene) startMySQL(ctx context.Context) {
	for _, flavor := range []myserver.Flavor{myserver.MariaDB, myserver.MySQL} {
		s.my, s.noMy = myserver.Launch(ctx, myserver.Options{
			Flavor: flavor, Databases: []string{database}, Users: []myserver.User{{Name: user, Password: s.password}},
		})
		if s.noMy == nil {
			return
		}
		s.my = nil
	}
}

// myEnded never comes if there is no such server.
func (s *scene) myEnded() <-chan struct{} {
	if s.my == nil {
		return nil
	}
	return s.my.Ended()
}

// engine is that of the second database.
func (s *scene) engine() string {
	if s.my.Installation.Flavor.IsMariaDB() {
		return "mariadb"
	}
	return "mysql"
}

// freeAddr prefers the usual port.
func freeAddr(usual int) (string, error) {
	const host = "127.0.0.1"
	addr := net.JoinHostPort(host, strconv.Itoa(usual))
	if l, err := net.Listen("tcp", addr); err == nil {
		return addr, l.Close()
	}
	port, err := pgserver.FreePort(host)
	return net.JoinHostPort(host, strconv.Itoa(port)), err
}

// write stores the configuration and the secret in a folder that only we may enter.
func (s *scene) write() error {
	dir, err := os.MkdirTemp("", "rdsproxy-run-")
	if err != nil {
		return fmt.Errorf("folder for the configuration: %w", err)
	}
	s.dir = dir
	secret, err := json.Marshal(map[string]string{"username": user, "password": s.password})
	if err != nil {
		return fmt.Errorf("secret: %w", err)
	}
	if err := os.WriteFile(filepath.Join(dir, "app.json"), secret, 0o600); err != nil {
		return fmt.Errorf("secret: %w", err)
	}
	s.config = fmt.Sprintf(`endpoints:
  - name: postgresql
    listen: %s
    target_group: postgresql
%starget_groups:
  - name: postgresql
    writer: %s
    max_connections_percent: 10
%sauth:
  - user: %s
    secret: app.json
admin:
  listen: %s
drain_timeout: 5s
log:
  format: console
`, s.listen, s.myEndpoint(), s.pg.Addr(), s.myTarget(), user, s.admin)
	s.configFile = filepath.Join(dir, "rdsproxy.yaml")
	if err := os.WriteFile(s.configFile, []byte(s.config), 0o600); err != nil {
		return fmt.Errorf("configuration: %w", err)
	}
	return nil
}

func (s *scene) myEndpoint() string {
	if s.my == nil {
		return ""
	}
	return fmt.Sprintf(`  - name: %s
    listen: %s
    target_group: %[1]s
`, s.engine(), s.myListen)
}

func (s *scene) myTarget() string {
	if s.my == nil {
		return ""
	}
	return fmt.Sprintf(`  - name: %s
    engine: %[1]s
    writer: %s
    max_connections_percent: 10
`, s.engine(), s.my.Addr())
}

// remove stops the databases and deletes all files.
func (s *scene) remove() error {
	var err error
	if s.pg != nil {
		err = s.pg.Close()
	}
	if s.my != nil {
		err = errors.Join(err, s.my.Close())
	}
	if s.dir != "" {
		err = errors.Join(err, os.RemoveAll(s.dir))
	}
	return err
}

const readyLimit = 30 * time.Second

// waitReady polls /readyz.
func (s *scene) waitReady(ctx context.Context, ended <-chan error) error {
	ctx, cancel := context.WithTimeout(ctx, readyLimit)
	defer cancel()
	tick := time.NewTicker(50 * time.Millisecond)
	defer tick.Stop()
	url := "http://" + s.admin + "/readyz"
	for !isReady(ctx, url) {
		select {
		case err := <-ended:
			return fmt.Errorf("%w while starting: %w", errEnded, err)
		case <-ctx.Done():
			return fmt.Errorf("the daemon was not ready within %s: look at %s", readyLimit, url)
		case <-tick.C:
		}
	}
	return nil
}

func isReady(ctx context.Context, url string) bool {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return false
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return false
	}
	defer resp.Body.Close()
	return resp.StatusCode == http.StatusOK
}

func (s *scene) greet(out io.Writer) {
	fmt.Fprintf(out, `
rdsproxy is ready in front of PostgreSQL %d. Connect from another terminal with

    psql '%s'
`, s.pg.Version, pgserver.DSN(s.listen, user, s.password, database))
	s.greetMySQL(out)
	fmt.Fprintf(out, `
metrics        http://%s/metrics
configuration  %s
the database   psql '%s'

Ctrl-C stops everything and removes it.
`, s.admin, s.configFile, s.pg.DSN(pgserver.Superuser, s.pg.Password, "postgres"))
	if _, err := exec.LookPath("psql"); err != nil {
		fmt.Fprintln(out, "\npsql is not installed; Debian and Ubuntu have it in the package postgresql-client.")
	}
}

func (s *scene) greetMySQL(out io.Writer) {
	if s.my == nil {
		fmt.Fprintf(out, "\nThere is no MariaDB or MySQL here: %v\n", s.noMy)
		return
	}
	client := "mariadb"
	if _, err := exec.LookPath(client); err != nil {
		client = "mysql"
	}
	host, port, err := net.SplitHostPort(s.myListen)
	if err != nil {
		host, port = s.myListen, "" // it is host:port
	}
	fmt.Fprintf(out, `
and in front of %s %s:

    %s --host=%s --port=%s --user=%s --password=%s %s
`, s.my.Installation.Flavor, s.my.Installation.Version, client, host, port, user, s.password, database)
	if _, err := exec.LookPath(client); err != nil {
		fmt.Fprintln(out, "\nA client is in the package mariadb-client of Debian and Ubuntu.")
	}
}
