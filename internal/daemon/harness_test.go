// SPDX-License-Identifier: Apache-2.0

package daemon

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"os"
	"os/signal"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/jackc/pgx/v5/pgconn"
	"go.uber.org/goleak"

	"github.com/rdsproxy/rdsproxy/pkg/config"
)

// patience is how long a test waits for what should come at once.
const patience = 20 * time.Second

func TestMain(m *testing.M) {
	code := m.Run()
	if err := goleak.Find(); err != nil && code == 0 {
		fmt.Fprintln(os.Stderr, err)
		code = 1
	}
	os.Exit(code)
}

// scene is a folder with a configuration, and the daemon that runs on it.
type scene struct {
	t    *testing.T
	dir  string
	logs *logs
	stop context.CancelFunc
	done chan error
	sts  http.RoundTripper
}

func newScene(t *testing.T) *scene {
	t.Helper()
	// The test's own process gets the signals; it must not end by them.
	ignored := make(chan os.Signal, 10)
	signal.Notify(ignored, syscall.SIGHUP, syscall.SIGTERM)
	t.Cleanup(func() { signal.Stop(ignored) })
	s := &scene{t: t, dir: t.TempDir(), logs: &logs{}}
	s.secret("app", "sesame")
	return s
}

// write replaces a file, at once.
func (s *scene) write(name, text string) {
	s.t.Helper()
	file := filepath.Join(s.dir, name)
	if err := os.WriteFile(file+".new", []byte(text), 0o600); err != nil {
		s.t.Fatal(err)
	}
	if err := os.Rename(file+".new", file); err != nil {
		s.t.Fatal(err)
	}
}

func (s *scene) secret(user, password string) {
	s.t.Helper()
	text, err := json.Marshal(map[string]string{"username": user, "password": password})
	if err != nil {
		s.t.Fatal(err)
	}
	s.write(user+".json", string(text))
}

// configure writes the configuration: one user, one endpoint, and the databases as
// target groups by their names, with more lines at the end.
func (s *scene) configure(more string, dbs ...*fakeDB) {
	s.t.Helper()
	var text strings.Builder
	if !strings.Contains(more, "endpoints:") {
		fmt.Fprintf(&text, "endpoints: [{name: main, listen: '127.0.0.1:0', target_group: %s}]\n", dbs[0].name)
	}
	if !strings.Contains(more, "target_groups:") {
		text.WriteString("target_groups:\n")
		for _, db := range dbs {
			fmt.Fprintf(&text, "- {name: %s, writer: '%s'}\n", db.name, db.addr())
		}
	}
	if !strings.Contains(more, "auth:") {
		text.WriteString("auth: [{user: app, secret: app.json}]\n")
	}
	if !strings.Contains(more, "admin:") {
		text.WriteString("admin: {listen: ''}\n")
	}
	s.write("proxy.yaml", text.String()+more+"\n")
}

func (s *scene) load() (*config.Config, error) {
	return config.Parse(config.Options{File: filepath.Join(s.dir, "proxy.yaml")})
}

// run starts the daemon; it is stopped when the test ends.
func (s *scene) run() {
	s.t.Helper()
	ctx, stop := context.WithCancel(context.Background()) // ends before the test's cleanup
	s.stop, s.done = stop, make(chan error, 1)
	go func() {
		s.done <- Run(ctx, Options{Load: s.load, Version: "test", Stdout: s.logs, Stderr: s.logs, STS: s.sts})
	}()
	s.t.Cleanup(func() {
		stop()
		s.end()
	})
}

// end waits for the end of the daemon.
func (s *scene) end() error {
	s.t.Helper()
	select {
	case err := <-s.done:
		s.done <- err // for whoever asks again
		return err
	case <-time.After(patience):
		s.t.Fatalf("the daemon does not end:\n%s", s.logs)
		return nil
	}
}

// start runs the daemon and waits until the endpoints are open.
func (s *scene) start() {
	s.t.Helper()
	s.run()
	s.waitLog("The endpoint is open.", 1)
}

// signal sends this process a signal.
func (s *scene) signal(sig syscall.Signal) {
	s.t.Helper()
	if err := syscall.Kill(os.Getpid(), sig); err != nil {
		s.t.Fatal(err)
	}
}

// reload sends SIGHUP and waits until the configuration was read.
func (s *scene) reload(outcome string) {
	s.t.Helper()
	n := s.logs.count(outcome)
	s.signal(syscall.SIGHUP)
	s.waitLog(outcome, n+1)
}

const (
	taken   = "The new configuration is in force."
	refused = "The new configuration was not taken over"
)

func (s *scene) waitLog(text string, n int) {
	s.t.Helper()
	eventually(s.t, "log: "+text, func() bool {
		select {
		case err := <-s.done:
			s.t.Fatalf("the daemon has ended: %v\n%s", err, s.logs)
		default:
		}
		return s.logs.count(text) >= n
	})
}

// addr is where the endpoint listens.
func (s *scene) addr(endpoint string) string {
	s.t.Helper()
	for _, line := range s.logs.lines() {
		if line["msg"] == "The endpoint is open." && line["endpoint"] == endpoint {
			return fmt.Sprint(line["listen"])
		}
	}
	s.t.Fatalf("%s is not open:\n%s", endpoint, s.logs)
	return ""
}

// connect logs in to the endpoint "main".
func (s *scene) connect(user, password string) (*pgconn.PgConn, error) {
	ctx, stop := context.WithTimeout(context.Background(), patience)
	defer stop()
	c, err := pgconn.Connect(ctx, fmt.Sprintf("postgres://%s:%s@%s/db?sslmode=prefer", user, password, s.addr("main")))
	if err == nil {
		s.t.Cleanup(func() { _ = c.Conn().Close() })
	}
	return c, err
}

func (s *scene) client() *pgconn.PgConn {
	s.t.Helper()
	c, err := s.connect("app", "sesame")
	if err != nil {
		s.t.Fatalf("%v\n%s", err, s.logs)
	}
	return c
}

// ask gives the name of the database that answers.
func (s *scene) ask(c *pgconn.PgConn, sql string) string {
	s.t.Helper()
	ctx, stop := context.WithTimeout(context.Background(), patience)
	defer stop()
	r, err := c.Exec(ctx, sql).ReadAll()
	if err != nil {
		s.t.Fatal(err)
	}
	return string(r[0].Rows[0][0])
}

// wantState fails the test unless err has the SQLSTATE.
func (s *scene) wantState(err error, want string) {
	s.t.Helper()
	if e, ok := errors.AsType[*pgconn.PgError](err); !ok || e.Code != want {
		s.t.Errorf("got %v, want SQLSTATE %s", err, want)
	}
}

// lastWords waits for the server's error, and closes.
func (s *scene) lastWords(c *pgconn.PgConn) error {
	ctx, stop := context.WithTimeout(context.Background(), patience)
	defer stop()
	defer c.Conn().Close()
	return c.WaitForNotification(ctx)
}

func eventually(t testing.TB, what string, cond func() bool) {
	t.Helper()
	late := time.NewTimer(patience)
	defer late.Stop()
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for !cond() {
		select {
		case <-late.C:
			t.Fatalf("not within %v: %s", patience, what)
		case <-tick.C:
		}
	}
}

// logs is what the daemon has written.
type logs struct {
	mu  sync.Mutex
	buf bytes.Buffer
}

func (l *logs) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.buf.Write(p)
}

func (l *logs) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.buf.String()
}

func (l *logs) count(text string) int { return strings.Count(l.String(), text) }

func (l *logs) lines() (list []map[string]any) {
	for line := range strings.Lines(l.String()) {
		var fields map[string]any
		if json.Unmarshal([]byte(line), &fields) == nil {
			list = append(list, fields)
		}
	}
	return list
}
