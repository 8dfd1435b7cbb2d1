// SPDX-License-Identifier: Apache-2.0

package admin_test

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"go.uber.org/goleak"
	"go.uber.org/zap"

	"github.com/rdsproxy/rdsproxy/pkg/admin"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// start serves until the test ends and returns the base URL.
func start(t *testing.T, o admin.Options) string {
	t.Helper()
	if o.Listen == "" {
		o.Listen = "127.0.0.1:0"
	}
	s, err := admin.Listen(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan error, 1)
	go func() { done <- s.Serve() }()
	t.Cleanup(func() {
		http.DefaultClient.CloseIdleConnections()
		ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second) // the test's own has ended
		defer cancel()
		if err := s.Shutdown(ctx); err != nil {
			t.Error(err)
		}
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
	return "http://" + s.Addr().String()
}

func ask(t *testing.T, method, url, host string) (int, string, http.Header) {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), method, url, nil)
	if err != nil {
		t.Fatal(err)
	}
	r.Host = host
	a, err := http.DefaultClient.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer a.Body.Close()
	text, err := io.ReadAll(a.Body)
	if err != nil {
		t.Fatal(err)
	}
	return a.StatusCode, string(text), a.Header
}

func TestAnswers(t *testing.T) {
	ready := []admin.Check{{Name: "draining", OK: true}, {Name: "target_group/a", OK: true, Detail: "3 connections"}}
	broken := []admin.Check{{Name: "draining", OK: false, Detail: "since 12:00"}, {Name: "config", OK: true}, {Name: "target_group/a"}}
	tests := []struct {
		name   string
		method string
		path   string
		checks []admin.Check
		status int
		want   string // the whole text, or a part of it after "..."
	}{
		{"alive", "GET", "/livez", nil, 200, "ok\n"},
		{"alive though not ready", "GET", "/livez", broken, 200, "ok\n"},
		{"ready", "GET", "/readyz", ready, 200, "ready\n"},
		{"ready without checks", "GET", "/readyz", nil, 200, "ready\n"},
		{"head", "HEAD", "/readyz", ready, 200, ""},
		{"not ready", "GET", "/readyz", broken, 503, "not ready: draining, target_group/a\n"},
		{"not ready, head", "HEAD", "/readyz", broken, 503, ""},
		{"in detail", "GET", "/readyz?verbose", ready, 200, `...{
  "ready": true,
  "checks": [
    {
      "name": "draining",
      "ok": true
    },
    {
      "name": "target_group/a",
      "ok": true,
      "detail": "3 connections"
    }
  ]
}`},
		{"not ready in detail", "GET", "/readyz?verbose=1", broken, 503, `..."detail": "since 12:00"`},
		{"metrics", "GET", "/metrics", nil, 200, "...\nrdsproxy_client_connections{endpoint=\"main\",tls=\"yes\"} 11\n"},
		{"metrics of the process", "GET", "/metrics", nil, 200, "...\ngo_goroutines "},
		{"status", "GET", "/status", nil, 200, `..."version": "1.2.3"`},
		{"index", "GET", "/", nil, 200, ".../readyz"},
		{"unknown", "GET", "/admin", nil, 404, "...not found"},
		{"below a known one", "GET", "/livez/x", nil, 404, "...not found"},
		{"not to be posted", "POST", "/readyz", nil, 405, "...Not Allowed"},
		{"not to be deleted", "DELETE", "/", nil, 405, "...Not Allowed"},
		{"no profiles", "GET", "/debug/pprof/", nil, 404, "...not found"},
		{"no command line", "GET", "/debug/pprof/cmdline", nil, 404, "...not found"},
	}
	s := &source{snapshot: full()}
	base := start(t, admin.Options{Source: s})
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			s.mu.Lock()
			s.checks = tt.checks
			s.mu.Unlock()
			status, text, header := ask(t, tt.method, base+tt.path, "")
			part, partly := strings.CutPrefix(tt.want, "...")
			if status != tt.status || (partly && !strings.Contains(text, part)) || (!partly && text != tt.want) {
				t.Errorf("%d %s", status, text)
			}
			if header.Get("X-Content-Type-Options") != "nosniff" || header.Get("Cache-Control") != "no-store" {
				t.Errorf("%v", header)
			}
		})
	}
}

// TestStatus proves that the JSON holds the whole snapshot.
func TestStatus(t *testing.T) {
	base := start(t, admin.Options{Source: &source{snapshot: full()}})
	_, text, header := ask(t, "GET", base+"/status", "")
	if header.Get("Content-Type") != "application/json" {
		t.Errorf("%v", header)
	}
	var got admin.Snapshot
	if err := json.Unmarshal([]byte(text), &got); err != nil {
		t.Fatal(err)
	}
	if d := cmp.Diff(full(), got); d != "" {
		t.Error(d)
	}
}

func TestProfiles(t *testing.T) {
	base := start(t, admin.Options{Source: &source{}, Pprof: true})
	for path, want := range map[string]string{
		"/debug/pprof/":                  "goroutine",
		"/debug/pprof/goroutine?debug=1": "goroutine profile:",
		"/debug/pprof/cmdline":           "admin",
	} {
		status, text, _ := ask(t, "GET", base+path, "")
		if status != 200 || !strings.Contains(text, want) {
			t.Errorf("%s: %d %.200s", path, status, text)
		}
	}
}

// TestHostNames: a page in a browser must not read the answers through a name of its own.
func TestHostNames(t *testing.T) {
	local := start(t, admin.Options{Source: &source{}})
	remote := start(t, admin.Options{Source: &source{}, Listen: "0.0.0.0:0", AllowRemote: true})
	remote = strings.Replace(remote, "[::]", "127.0.0.1", 1)
	for host, allowed := range map[string]bool{
		"127.0.0.1": true, "127.0.0.1:9127": true, "[::1]:9127": true, "[::1]": true, "localhost": true, "LOCALHOST:1": true, "10.0.0.1:1": true,
		"evil.example": false, "evil.example:9127": false, "localhost.evil.example": false, "127.0.0.1.evil.example": false,
	} {
		want := 200
		if !allowed {
			want = 403
		}
		if status, text, _ := ask(t, "GET", local+"/livez", host); status != want {
			t.Errorf("%s: %d %s", host, status, text)
		}
		if status, text, _ := ask(t, "GET", remote+"/livez", host); status != 200 {
			t.Errorf("remote, %s: %d %s", host, status, text)
		}
	}
}

func TestListenRefuses(t *testing.T) {
	taken, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer taken.Close()
	for listen, want := range map[string]string{
		":0":                    "is not a loopback address",
		"0.0.0.0:0":             "is not a loopback address",
		"[::]:0":                "is not a loopback address",
		"192.0.2.1:0":           "is not a loopback address",
		"myhost:0":              "is not a loopback address",
		"":                      "is not a loopback address",
		"127.0.0.1":             "is not a loopback address",
		"127.0.0.1:x":           "admin listener: ",
		taken.Addr().String():   "address already in use",
		"127.0.0.1:99999999999": "admin listener: ",
	} {
		s, err := admin.Listen(t.Context(), admin.Options{Listen: listen, Source: &source{}})
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: %v, want %s", listen, err, want)
		}
		if s != nil {
			t.Errorf("%q: a server and an error", listen)
		}
	}
}

func TestShutdownWithoutServe(t *testing.T) {
	s, err := admin.Listen(t.Context(), admin.Options{Listen: "127.0.0.1:0", Source: &source{}})
	if err != nil {
		t.Fatal(err)
	}
	addr := s.Addr().String()
	if err := s.Shutdown(t.Context()); err != nil {
		t.Fatal(err)
	}
	l, err := net.Listen("tcp", addr)
	if err != nil {
		t.Fatalf("the address was not given up: %v", err)
	}
	l.Close()
	if err := s.Serve(); err != nil {
		t.Error(err)
	}
}

// TestSourcePanics: a fault ends the request, and neither the daemon nor the next request.
func TestSourcePanics(t *testing.T) {
	s := &source{panics: true}
	base := start(t, admin.Options{Source: s, Log: zap.NewNop()})
	r, err := http.NewRequestWithContext(t.Context(), "GET", base+"/status", nil)
	if err != nil {
		t.Fatal(err)
	}
	if a, err := http.DefaultClient.Do(r); err == nil {
		a.Body.Close()
		t.Errorf("%d", a.StatusCode)
	}
	if status, text, _ := ask(t, "GET", base+"/metrics", ""); !strings.Contains(text, "go_goroutines") {
		t.Errorf("%d %.300s", status, text)
	}
	if status, _, _ := ask(t, "GET", base+"/livez", ""); status != 200 {
		t.Error(status)
	}
}

func TestLargeHeaderIsRefused(t *testing.T) {
	base := start(t, admin.Options{Source: &source{}})
	c, err := net.Dial("tcp", strings.TrimPrefix(base, "http://"))
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	// The server may answer and close before it has read everything.
	_, _ = fmt.Fprintf(c, "GET /livez HTTP/1.1\r\nHost: localhost\r\nX: %s\r\n\r\n", strings.Repeat("x", 64<<10))
	a, err := http.ReadResponse(bufio.NewReader(c), nil)
	if err == nil {
		defer a.Body.Close()
		if a.StatusCode != http.StatusRequestHeaderFieldsTooLarge {
			t.Error(a.Status)
		}
	}
}

func TestLimit(t *testing.T) {
	inner, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	l := admin.Limit(inner, 2)
	accepted := make(chan net.Conn)
	failed := make(chan error, 1)
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				failed <- err
				return
			}
			accepted <- c
		}
	}()
	var clients []net.Conn
	for range 4 {
		c, err := net.Dial("tcp", l.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		clients = append(clients, c)
	}
	first, second := <-accepted, <-accepted
	select {
	case <-accepted:
		t.Fatal("a third connection")
	case <-time.After(50 * time.Millisecond):
	}
	// Closing twice gives one slot back.
	first.Close()
	first.Close()
	third := <-accepted
	select {
	case <-accepted:
		t.Fatal("a fourth connection")
	case <-time.After(50 * time.Millisecond):
	}
	if err := l.Close(); err != nil {
		t.Error(err)
	}
	if err := <-failed; !errors.Is(err, net.ErrClosed) {
		t.Error(err)
	}
	for _, c := range append(clients, second, third) {
		c.Close()
	}
}
