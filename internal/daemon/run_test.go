// SPDX-License-Identifier: Apache-2.0

package daemon

import (
	"io"
	"net"
	"net/http"
	"strings"
	"syscall"
	"testing"
	"time"

	"go.uber.org/zap"
	"go.uber.org/zap/zaptest/observer"

	"github.com/rdsproxy/rdsproxy/pkg/config"
)

func TestRunAndDrain(t *testing.T) {
	s := newScene(t)
	db := newFakeDB(t, "orders")
	s.configure("", db)
	s.start()
	idle, busy := s.client(), s.client()
	if got := s.ask(idle, "SELECT 1"); got != "orders" {
		t.Errorf("answered by %q", got)
	}
	s.ask(busy, "BEGIN")
	s.stop()
	s.wantState(s.lastWords(idle), "57P01")
	if _, err := s.connect("app", "sesame"); err == nil {
		t.Error("a new client got in")
	}
	select {
	case err := <-s.done:
		t.Fatalf("ended with a transaction open: %v", err)
	default:
	}
	s.ask(busy, "COMMIT")
	s.wantState(s.lastWords(busy), "57P01")
	if err := s.end(); err != nil {
		t.Error(err)
	}
	eventually(t, "the database is rid of the proxy", func() bool { return db.open() == 0 })
	if sessions, goodbyes := db.sessions.Load(), db.goodbyes.Load(); sessions != goodbyes {
		t.Errorf("%d goodbyes on %d connections", goodbyes, sessions)
	}
}

func TestDrainDeadline(t *testing.T) {
	s := newScene(t)
	s.configure("drain_timeout: 50ms", newFakeDB(t, "orders"))
	s.start()
	busy := s.client()
	s.ask(busy, "BEGIN")
	s.stop()
	s.wantState(s.lastWords(busy), "57P01")
	if err := s.end(); err != nil {
		t.Error(err)
	}
}

func TestSecondSignal(t *testing.T) {
	s := newScene(t)
	s.configure("drain_timeout: 300s", newFakeDB(t, "orders"))
	s.start()
	busy := s.client()
	s.ask(busy, "BEGIN")
	s.stop()
	s.waitLog("Draining", 1)
	words := make(chan error, 1)
	go func() { words <- s.lastWords(busy) }()
	begun := time.Now()
	eventually(t, "the end", func() bool {
		s.signal(syscall.SIGTERM) // the first one may come before anybody listens
		return len(s.done) > 0
	})
	if took := time.Since(begun); took > patience/2 {
		t.Errorf("it took %v", took)
	}
	s.wantState(<-words, "57P01")
}

// TestListenError: nothing is left open when one of several addresses is taken.
func TestListenError(t *testing.T) {
	taken, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer taken.Close()
	free, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	addr := free.Addr().String()
	free.Close()
	s := newScene(t)
	s.configure("endpoints: [{name: one, listen: '"+addr+"'}, {name: two, listen: '"+taken.Addr().String()+"'}]", newFakeDB(t, "orders"))
	s.run()
	if err := s.end(); err == nil || !strings.Contains(err.Error(), "endpoints[two].listen") {
		t.Errorf("got %v", err)
	}
	if nc, err := net.Dial("tcp", addr); err == nil {
		nc.Close()
		t.Error("the other endpoint is open")
	}
}

func TestStartErrors(t *testing.T) {
	taken, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer taken.Close()
	db := newFakeDB(t, "orders")
	for name, c := range map[string]struct{ more, want string }{
		"certificate":     {"endpoints: [{name: main, listen: '127.0.0.1:0', tls: {cert_file: a.pem, key_file: b.pem}}]", "endpoints[main].tls.cert_file"},
		"authority":       {"target_groups: [{name: orders, writer: '127.0.0.1:1', tls: {mode: verify-full, ca_file: none.pem}}]", "target_groups[orders].tls.ca_file"},
		"admin listener":  {"admin: {listen: '" + taken.Addr().String() + "'}", "address already in use"},
		"unknown setting": {"drain_timeuot: 5s", "drain_timeout"},
	} {
		t.Run(name, func(t *testing.T) {
			s := newScene(t)
			s.configure(c.more, db)
			s.run()
			if err := s.end(); err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("got %v, want %q in it", err, c.want)
			}
		})
	}
}

// TestAdmin: what the admin listener tells of the running daemon.
func TestAdmin(t *testing.T) {
	free, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	addr := free.Addr().String()
	free.Close()
	s := newScene(t)
	s.configure("admin: {listen: '"+addr+"'}", newFakeDB(t, "orders"))
	s.start()
	c := s.client()
	s.ask(c, "SELECT 1")
	get := func(path string) (int, string) {
		resp, err := http.Get("http://" + addr + path)
		if err != nil {
			return 0, err.Error()
		}
		defer resp.Body.Close()
		text, err := io.ReadAll(resp.Body)
		if err != nil {
			t.Error(err)
		}
		return resp.StatusCode, string(text)
	}
	eventually(t, "ready", func() bool { status, _ := get("/readyz"); return status == http.StatusOK })
	if status, text := get("/livez"); status != http.StatusOK {
		t.Errorf("/livez: %d %s", status, text)
	}
	status, text := get("/metrics")
	for _, want := range []string{
		`rdsproxy_client_connections{endpoint="main",tls="no"} 1`,
		`rdsproxy_query_requests_total{endpoint="main",protocol="simple",tls="no"} 1`,
		`rdsproxy_database_max_connections{target_group="orders"} 10`,
		`rdsproxy_session_pins_total{reason="listen",target_group="orders"} 0`,
		`rdsproxy_client_connections_setup_failed_total{endpoint="main",reason="wrong_password"} 0`,
		`rdsproxy_database_connections_closed_total{reason="lost",role="read_write",target="`,
		`rdsproxy_config_last_reload_successful 1`,
		`rdsproxy_secrets_failing 0`,
	} {
		if !strings.Contains(text, want) {
			t.Errorf("%d: %s is not in the metrics", status, want)
		}
	}
	s.ask(c, "BEGIN")
	s.stop()
	eventually(t, "not ready", func() bool { status, _ := get("/readyz"); return status == http.StatusServiceUnavailable })
	s.ask(c, "COMMIT")
	s.wantState(s.lastWords(c), "57P01")
	if err := s.end(); err != nil {
		t.Error(err)
	}
}

func TestFileLimitIsLookedAt(t *testing.T) {
	core, logs := observer.New(zap.WarnLevel)
	warnOfFiles(&config.Config{MaxClientConnections: 10}, zap.New(core))
	if logs.Len() != 0 {
		t.Errorf("for ten clients: %v", logs.All())
	}
	if _, known := fileLimit(); !known {
		t.Skip("not known here")
	}
	warnOfFiles(&config.Config{MaxClientConnections: 1 << 40}, zap.New(core))
	if logs.Len() != 1 {
		t.Errorf("for too many: %v", logs.All())
	}
}
