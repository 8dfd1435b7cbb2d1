// SPDX-License-Identifier: Apache-2.0

package mysql

import (
	"strings"
	"testing"
	"time"

	"github.com/rdsproxy/rdsproxy/pkg/wire/mysql"
	"github.com/rdsproxy/rdsproxy/test/daemonproc"
	"github.com/rdsproxy/rdsproxy/test/myserver"
)

// oneFlavor runs tests of what hardly depends on the server.
func oneFlavor(t *testing.T, f func(t *testing.T, flavor myserver.Flavor)) {
	t.Helper()
	for _, flavor := range myserver.Chosen(myserver.MariaDB) {
		t.Run(string(flavor), func(t *testing.T) { f(t, flavor) })
	}
}

// TestInitialStatements: neither an init query with results nor init_connect breaks
// the set-up of a connection, and what they set is there for everybody.
func TestInitialStatements(t *testing.T) {
	oneFlavor(t, func(t *testing.T, flavor myserver.Flavor) {
		my := myserver.Start(t, myserver.Options{Flavor: flavor, Config: []string{"init_connect=SET time_zone = '+07:00'"}})
		group := connections(1)
		group["init_query"] = "SELECT 1, 'row' UNION SELECT 2, 'another'; SET sql_select_limit = 77; SELECT 3"
		s := newStackOn(t, my, daemonproc.Options{Group: group})
		s.daemon.RequireProxy(t)
		for range 2 {
			c := s.connect(t)
			run(t, c, "SET time_zone = '+01:00', sql_select_limit = 5")
			if lines, err := c.ResetConnection(); err != nil || failed(lines) != "" {
				t.Fatal(lines, err)
			}
			if got := value(t, c, "SELECT @@sql_select_limit"); got != `"77"` {
				t.Errorf("the init query's limit is %s", got)
			}
		}
	})
}

// TestDroppedUser drops the database's user while a connection of that name lives.
// Those who have one go on, as on the database itself; nobody gets a new one.
func TestDroppedUser(t *testing.T) {
	oneFlavor(t, func(t *testing.T, flavor myserver.Flavor) {
		s := newStack(t, flavor, daemonproc.Options{
			Users: []daemonproc.User{{Name: "shortlived", Password: "p"}},
			Group: daemonproc.Map{"max_connections": 2, "max_connections_percent": 100, "connection_borrow_timeout": "3s"},
		})
		s.daemon.RequireProxy(t)
		create := "CREATE USER shortlived@'%' IDENTIFIED BY 'p'"
		s.admin(t, "DROP USER IF EXISTS shortlived@'%'", create)
		o := s.options()
		o.User, o.Password, o.Schema = "shortlived", "p", ""
		c := s.dial(t, o)
		run(t, c, "BEGIN", "SELECT 1")
		s.admin(t, "DROP USER shortlived@'%'")
		run(t, c, "SELECT 2", "COMMIT", "SELECT 3")
		s.killAll(t, "shortlived")
		eventually(t, "there is no connection", func() bool {
			lines, err := c.Query("SELECT 4")
			if err != nil {
				t.Fatal(err)
			}
			return failed(lines) != ""
		})
		s.admin(t, create)
		eventually(t, "there is one again", func() bool {
			lines, err := c.Query("SELECT 5")
			if err != nil {
				t.Fatal(err)
			}
			return failed(lines) == ""
		})
		s.admin(t, "DROP USER shortlived@'%'")
	})
}

// killAll ends a user's connections to the database.
func (s *stack) killAll(t *testing.T, user string) {
	t.Helper()
	ids := s.ask(t, "SELECT COALESCE(GROUP_CONCAT(id), '') FROM information_schema.processlist WHERE user = '"+user+"'")
	for id := range strings.SplitSeq(ids, ",") {
		if id != "" {
			s.admin(t, "KILL "+id)
		}
	}
}

// TestSilentClients are clients that send nothing: before their login, and after it.
func TestSilentClients(t *testing.T) {
	s := newStack(t, myserver.MariaDB, daemonproc.Options{
		Group: connections(1), Top: daemonproc.Map{"idle_client_timeout": "1s", "login_timeout": "1s"},
	})
	s.daemon.RequireProxy(t)
	c := s.connect(t)
	run(t, c, "SELECT 1")
	if err := c.NetConn().SetReadDeadline(time.Now().Add(waitLimit)); err != nil {
		t.Fatal(err)
	}
	p := make([]byte, 512)
	n, err := c.NetConn().Read(p)
	if err != nil || n <= mysql.HeaderLen {
		t.Fatal(n, err)
	}
	if code, ok := mysql.ErrorCode(p[mysql.HeaderLen:n]); !ok || p[3] != 0 {
		t.Errorf("error %d with sequence id %d before the end", code, p[3])
	}
	if n, err := c.NetConn().Read(p); err == nil {
		t.Errorf("the connection goes on: %q", p[:n])
	}
}
