// SPDX-License-Identifier: Apache-2.0

package drivers

import (
	"context"
	"fmt"
	"os"
	"testing"
	"time"

	"github.com/rdsproxy/rdsproxy/test/certs"
	"github.com/rdsproxy/rdsproxy/test/daemonproc"
	"github.com/rdsproxy/rdsproxy/test/pgserver"
)

func TestMain(m *testing.M) { os.Exit(daemonproc.Main(m)) }

const (
	role     = "Driver"
	password = "p @ss/wörd"
	database = "drivers"
)

// stack is a server of its own with a daemon in front, limited to few database
// connections so that clients have to share them.
type stack struct {
	pg     *pgserver.Server
	daemon *daemonproc.Daemon
	ca     *certs.Authority
}

func newStack(t *testing.T, connections int) *stack {
	t.Helper()
	ca, err := certs.NewAuthority("test authority")
	if err != nil {
		t.Fatal(err)
	}
	pair, err := ca.Issue(certs.Request{})
	if err != nil {
		t.Fatal(err)
	}
	s := &stack{ca: ca, pg: pgserver.Start(t, pgserver.Options{
		TLS:       &pair,
		Roles:     []pgserver.Role{{Name: role, Password: password}},
		Databases: []string{database},
	})}
	if err := s.pg.Exec(t.Context(), fmt.Sprintf("ALTER DATABASE %s OWNER TO %q", database, role)); err != nil {
		t.Fatal(err)
	}
	s.daemon = daemonproc.Start(t, daemonproc.Options{
		Writer:      s.pg.Addr(),
		Users:       []daemonproc.User{{Name: role, Password: password}},
		Certificate: &pair,
		Group:       daemonproc.Map{"max_connections": connections},
	})
	return s
}

func (s *stack) dsn(params ...string) string {
	return s.daemon.DSN(role, password, database, params...)
}

func limit(t *testing.T, d time.Duration) context.Context {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), d)
	t.Cleanup(cancel)
	return ctx
}
