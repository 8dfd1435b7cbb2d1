// SPDX-License-Identifier: Apache-2.0

package mysql

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"regexp"
	"strconv"
	"strings"
	"testing"

	"github.com/rdsproxy/rdsproxy/pkg/wire/mysql"
	"github.com/rdsproxy/rdsproxy/test/daemonproc"
	"github.com/rdsproxy/rdsproxy/test/myclient"
	"github.com/rdsproxy/rdsproxy/test/myserver"
)

// variants are clients of different abilities.
var variants = []struct {
	name string
	want mysql.Capabilities
}{
	{"new", usual | mysql.ClientLocalFiles},
	{"old, zlib", mysql.ClientMultiStatements | mysql.ClientLocalFiles | mysql.ClientCompress},
	{"rich, zstd", usual | mysql.ClientLocalFiles | mysql.ClientZstd | mysql.ClientQueryAttributes | mysql.ClientFoundRows |
		mysql.MariaDBExtendedMetadata | mysql.MariaDBStmtBulkOperations},
}

// TestScripts runs the scripts directly and through the proxy, among the noise of
// other clients. RDSPROXY_TEST_SCRIPT names one to run alone.
func TestScripts(t *testing.T) {
	only := os.Getenv("RDSPROXY_TEST_SCRIPT")
	flavors(t, func(t *testing.T, flavor myserver.Flavor) {
		for pool := 1; pool <= 2; pool++ {
			group := connections(pool)
			group["connection_borrow_timeout"] = "5s"
			s := newStack(t, flavor, daemonproc.Options{Group: group})
			s.daemon.RequireProxy(t)
			s.admin(t, noiseSchema...)
			for _, v := range variants {
				for _, sc := range scripts(t) {
					if sc.pool != pool || !sc.applies(flavor) || only != "" && sc.name != only {
						continue
					}
					t.Run(sc.name+"/"+v.name, func(t *testing.T) { s.compare(t, sc, v.want) })
				}
			}
		}
	})
}

// compare runs a script both ways.
func (s *stack) compare(t *testing.T, sc script, want mysql.Capabilities) {
	t.Helper()
	o := s.options()
	o.Want = want
	direct := o
	direct.Addr = s.my.Addr()
	expected := s.forgive(s.perform(t, sc, direct, nil))
	n := startNoise(t, o)
	got := s.forgive(s.perform(t, sc, o, n))
	n.stop()
	wrong := 0
	for i, st := range sc.steps {
		if expected[i] == got[i] || st.differs || st.rowsOnly && rows(strings.Split(expected[i], "\n")) == rows(strings.Split(got[i], "\n")) {
			continue
		}
		t.Errorf("%s\n--- directly\n%s\n--- through the proxy\n%s", st, expected[i], got[i])
		if wrong++; wrong == 20 {
			t.Fatal("and so on")
		}
	}
}

// misnamed are trackers of variables that MariaDB 11.8 tells of under the name of
// another one, and not the same for everybody.
var misnamed = regexp.MustCompile(` (track (2 "1"|(autocommit|character_set_connection)="[^"]*")|changed)`)

// forgive takes what cannot be compared out of the replies.
func (s *stack) forgive(told []string) []string {
	if s.my.Flavor == myserver.NewestMariaDB {
		for i := range told {
			told[i] = strings.ReplaceAll(misnamed.ReplaceAllString(told[i], ""), "[changed]", "[]")
		}
	}
	return told
}

// performance is one run of a script.
type performance struct {
	t       *testing.T
	s       *stack
	opts    myclient.Options
	clients map[string]*myclient.Conn
	running map[string]chan string // replies to come, of clients that have started something
}

// perform runs a script in fresh databases and returns what its clients were told,
// for each step.
func (s *stack) perform(t *testing.T, sc script, o myclient.Options, n *noise) []string {
	t.Helper()
	s.admin(t, "DROP DATABASE IF EXISTS shop", "DROP DATABASE IF EXISTS shop2",
		"CREATE DATABASE shop CHARACTER SET utf8mb4", "CREATE DATABASE shop2 CHARACTER SET utf8mb4")
	p := &performance{t: t, s: s, opts: o, clients: make(map[string]*myclient.Conn), running: make(map[string]chan string)}
	defer p.end()
	var told []string
	for _, st := range sc.steps {
		n.beat()
		told = append(told, p.step(st))
	}
	return told
}

func (p *performance) end() {
	for name, c := range p.clients {
		if c != nil {
			_ = c.Close() // the session ends with it, or has ended
		}
		if ch := p.running[name]; ch != nil {
			<-ch
		}
	}
}

// step runs one step; a client that is not there yet logs in.
func (p *performance) step(st step) string {
	c, known := p.clients[st.client]
	var lines []string
	var err error
	if !known {
		o := p.opts
		if st.verb == "login" {
			o.Collation, o.Schema = loginOf(st.words)
		}
		c, err = myclient.Dial(p.t.Context(), o)
		p.clients[st.client] = c
	}
	if c == nil {
		return strings.Join(append(lines, gone(err)), "\n")
	}
	var more []string
	if st.verb == "" {
		more, err = c.Query(p.withIDs(st.words))
	} else {
		more, err = commands[st.verb](p, c, st.words)
	}
	lines = append(lines, more...)
	if err != nil {
		lines = append(lines, gone(err))
		_ = c.Close() // it is of no more use
		p.clients[st.client] = nil
	}
	text := strings.Join(lines, "\n")
	if strings.Contains(strings.ToLower(st.words+st.verb), "connection_id") || st.verb == "kill" {
		text = p.withoutIDs(text)
	}
	text = strings.ReplaceAll(text, " metadata]", "]")
	text = middle.ReplaceAllString(text, "eof […]")
	text = volatile.ReplaceAllString(text, "$1…")
	return statementID.ReplaceAllString(text, "(…)$1")
}

// middle is the EOF packet between definitions and rows, which the proxy makes for
// clients without CLIENT_DEPRECATE_EOF, before it knows the status.
var middle = regexp.MustCompile(`(?m)^eof \[[^\]]*\] warnings \d+$`)

// volatile are numbers that no two runs have in common.
var volatile = regexp.MustCompile(`(statement_id=)"\d+"`)

// statementID is in texts of errors. The ids that the proxy gives are its own.
var statementID = regexp.MustCompile(`\(\d+\)( given to | has no open cursor)[\w.]*`)

// loginOf reads the number of a collation and the name of a schema, which may be
// missing.
func loginOf(words string) (collation byte, schema string) {
	number, schema, _ := strings.Cut(words, " ")
	n, err := strconv.ParseUint(number, 10, 8)
	if err != nil {
		panic(err)
	}
	return byte(n), schema
}

func gone(err error) string {
	if e, ok := errors.AsType[*mysql.Error](err); ok {
		return fmt.Sprintf("refused: %d %s %s", e.Code, e.State, e.Message)
	}
	if errors.Is(err, io.EOF) || err == nil {
		return "the connection is closed"
	}
	if text := err.Error(); strings.Contains(text, "reset by peer") || strings.Contains(text, "broken pipe") {
		return "the connection is closed"
	}
	return "the connection is lost: " + err.Error()
}

// clientID is a client's name in braces, which stands for its thread id.
var clientID = regexp.MustCompile(`\{(\w+)\}`)

func (p *performance) withIDs(sql string) string {
	return clientID.ReplaceAllStringFunc(sql, func(name string) string {
		if c := p.clients[name[1:len(name)-1]]; c != nil {
			return fmt.Sprint(c.Greeting.ThreadID)
		}
		return name
	})
}

func (p *performance) withoutIDs(text string) string {
	for name, c := range p.clients {
		if c != nil {
			number := regexp.MustCompile(fmt.Sprintf(`(^|[^ ]|[^n] )\b%d\b`, c.Greeting.ThreadID)) // but no collation
			text = number.ReplaceAllString(text, "$1{"+name+"}")
		}
	}
	return text
}

// start sends a query whose reply is read by wait, once the server runs it.
func (p *performance) start(c *myclient.Conn, sql string) ([]string, error) {
	before := p.s.count(p.t, sleepers)
	name := p.nameOf(c)
	ch := make(chan string, 1)
	p.running[name] = ch
	go func() {
		lines, err := c.Query(sql)
		text := strings.Join(lines, "\n")
		if err != nil {
			text += gone(err)
		}
		ch <- text
	}()
	eventually(p.t, "the query runs", func() bool { return p.s.count(p.t, sleepers) > before })
	return nil, nil
}

const sleepers = "SELECT COUNT(*) FROM information_schema.processlist WHERE info LIKE '%SLEEP(%' AND info NOT LIKE '%processlist%'"

func (p *performance) wait(c *myclient.Conn, _ string) ([]string, error) {
	ch := p.running[p.nameOf(c)]
	delete(p.running, p.nameOf(c))
	ctx, cancel := context.WithTimeout(p.t.Context(), waitLimit)
	defer cancel()
	select {
	case text := <-ch:
		return []string{text}, nil
	case <-ctx.Done():
		return []string{"nothing comes"}, ctx.Err()
	}
}

func (p *performance) nameOf(c *myclient.Conn) string {
	for name, other := range p.clients {
		if other == c {
			return name
		}
	}
	return ""
}
