// SPDX-License-Identifier: Apache-2.0

package mysql

import (
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"github.com/rdsproxy/rdsproxy/pkg/wire/mysql"
	"github.com/rdsproxy/rdsproxy/test/myclient"
	"github.com/rdsproxy/rdsproxy/test/myserver"
)

// script is statements of several clients, in the order in which they are run.
//
//	a: SELECT 1             a query of client a
//	a.prepare s SELECT ?    any other command, see commands
//	a.login 8 shop          its login, with a collation and a schema, as its first step
//	~a: SELECT g()          a step with another result through the proxy
//	=a: SELECT ROW_COUNT()  a step with other definitions of columns, and the same rows
//	@pool 2                 database connections that it needs; 1 without the line
//	@only mariadb           the servers that it is for: mariadb, mysql
//
// A line goes on in the next one if that begins with a blank.
type script struct {
	name  string
	pool  int
	only  string
	steps []step
}

// step is one line of a script.
type step struct {
	line                int
	client, verb, words string
	differs             bool // known to, see docs/compatibility.md
	rowsOnly            bool // as differs, but for the rows
}

func (s step) String() string {
	if s.verb == "" {
		return fmt.Sprintf("%d %s: %s", s.line, s.client, s.words)
	}
	return fmt.Sprintf("%d %s.%s %s", s.line, s.client, s.verb, s.words)
}

// scripts reads those in testdata.
func scripts(t *testing.T) []script {
	t.Helper()
	files, err := filepath.Glob(filepath.Join("testdata", "*.txt"))
	if err != nil || len(files) == 0 {
		t.Fatalf("no scripts: %v", err)
	}
	var all []script
	for _, f := range files {
		s, err := readScript(f)
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, s)
	}
	return all
}

func readScript(file string) (script, error) {
	text, err := os.ReadFile(file)
	if err != nil {
		return script{}, err
	}
	s := script{name: strings.TrimSuffix(filepath.Base(file), ".txt"), pool: 1}
	for i, line := range strings.Split(strings.ReplaceAll(string(text), "\n ", "\x00 "), "\n") {
		// The number is that of the file's line only as long as no line before it went on.
		line = strings.TrimSpace(strings.ReplaceAll(line, "\x00", "\n"))
		if line == "" || line[0] == '#' {
			continue
		}
		if directive, ok := strings.CutPrefix(line, "@"); ok {
			if err := s.direct(directive); err != nil {
				return s, fmt.Errorf("%s:%d: %w", file, i+1, err)
			}
			continue
		}
		st, ok := parseStep(line)
		if !ok {
			return s, fmt.Errorf("%s:%d: %q is no step", file, i+1, line)
		}
		st.line = i + 1
		s.steps = append(s.steps, st)
	}
	return s, nil
}

func (s *script) direct(words string) (err error) {
	name, value, _ := strings.Cut(words, " ")
	switch name {
	case "pool":
		s.pool, err = strconv.Atoi(value)
		return err
	case "only":
		s.only = value
		return nil
	}
	return fmt.Errorf("no directive %q", name)
}

func parseStep(line string) (step, bool) {
	line, differs := strings.CutPrefix(line, "~")
	line, rowsOnly := strings.CutPrefix(line, "=")
	end := strings.IndexAny(line, ":.")
	if end <= 0 || strings.ContainsAny(line[:end], " \t") {
		return step{}, false
	}
	st := step{client: line[:end], differs: differs, rowsOnly: rowsOnly}
	if line[end] == ':' {
		st.words = strings.TrimSpace(line[end+1:])
		return st, true
	}
	st.verb, st.words, _ = strings.Cut(line[end+1:], " ")
	_, known := commands[st.verb]
	return st, known
}

// applies tells whether the script is for this server.
func (s script) applies(f myserver.Flavor) bool {
	return s.only == "" || (s.only == "mariadb") == f.IsMariaDB()
}

// commands are the verbs of steps. Some have no reply, and then no lines.
var commands = map[string]func(r *performance, c *myclient.Conn, words string) ([]string, error){
	"prepare": func(r *performance, c *myclient.Conn, words string) ([]string, error) {
		name, sql, _ := strings.Cut(words, " ")
		return c.Prepare(name, r.withIDs(sql))
	},
	"execute": func(_ *performance, c *myclient.Conn, words string) ([]string, error) {
		f := strings.Fields(words)
		return c.Execute(f[0], 0, false, f[1:]...)
	},
	"repeat": func(_ *performance, c *myclient.Conn, words string) ([]string, error) {
		f := strings.Fields(words)
		return c.Execute(f[0], 0, true, f[1:]...)
	},
	"cursor": func(_ *performance, c *myclient.Conn, words string) ([]string, error) {
		f := strings.Fields(words)
		return c.Execute(f[0], mysql.CursorReadOnly, false, f[1:]...)
	},
	"fetch": func(_ *performance, c *myclient.Conn, words string) ([]string, error) {
		f := strings.Fields(words)
		n, err := strconv.ParseUint(f[1], 10, 32)
		if err != nil {
			return nil, err
		}
		return c.Fetch(f[0], uint32(n))
	},
	"long": func(_ *performance, c *myclient.Conn, words string) ([]string, error) {
		f := strings.SplitN(words, " ", 3)
		n, err := strconv.ParseUint(f[1], 10, 16)
		if err != nil {
			return nil, err
		}
		return nil, c.Long(f[0], uint16(n), f[2])
	},
	"reset": func(_ *performance, c *myclient.Conn, words string) ([]string, error) { return c.Reset(words) },
	"close": func(_ *performance, c *myclient.Conn, words string) ([]string, error) {
		return nil, c.CloseStatement(words)
	},
	"use": func(_ *performance, c *myclient.Conn, words string) ([]string, error) {
		return c.Simple(mysql.ComInitDB, []byte(words)...)
	},
	"ping": func(_ *performance, c *myclient.Conn, _ string) ([]string, error) { return c.Simple(mysql.ComPing) },
	"statistics": func(_ *performance, c *myclient.Conn, _ string) ([]string, error) {
		return c.Statistics()
	},
	"fields": func(_ *performance, c *myclient.Conn, words string) ([]string, error) {
		return c.FieldList(words, "%")
	},
	"option": func(_ *performance, c *myclient.Conn, words string) ([]string, error) {
		return c.Simple(mysql.ComSetOption, words[0]-'0', 0)
	},
	"reset-connection": func(_ *performance, c *myclient.Conn, _ string) ([]string, error) {
		return c.ResetConnection()
	},
	"login": func(_ *performance, c *myclient.Conn, _ string) ([]string, error) { return c.Hello, nil },
	"change-login": func(_ *performance, c *myclient.Conn, words string) ([]string, error) {
		collation, schema := loginOf(words)
		return c.ChangeLogin(user, password, schema, collation)
	},
	"change-user": func(_ *performance, c *myclient.Conn, words string) ([]string, error) {
		return c.ChangeUser(user, password, words)
	},
	"file": func(_ *performance, c *myclient.Conn, words string) ([]string, error) {
		content, sql, _ := strings.Cut(words, " ")
		content, err := strconv.Unquote(content)
		if err != nil {
			return nil, err
		}
		return c.QueryFile(sql, content)
	},
	"bytes": func(_ *performance, c *myclient.Conn, words string) ([]string, error) {
		sql, err := strconv.Unquote(words)
		if err != nil {
			return nil, err
		}
		return c.Query(sql)
	},
	"kill": func(r *performance, c *myclient.Conn, words string) ([]string, error) {
		return c.Query("KILL " + r.withIDs(words))
	},
	"start": (*performance).start,
	"wait":  (*performance).wait,
}
