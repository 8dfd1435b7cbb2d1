// SPDX-License-Identifier: Apache-2.0

package daemon

import (
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"sync"
	"syscall"
	"testing"
	"time"
)

// freeAddr is an address that nobody listened at a moment ago.
func freeAddr(t *testing.T) string {
	t.Helper()
	l, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = l.Close() }()
	return l.Addr().String()
}

// get asks the admin listener.
func get(t *testing.T, method, url string) (status int) {
	t.Helper()
	ctx, stop := context.WithTimeout(t.Context(), patience)
	defer stop()
	req, err := http.NewRequestWithContext(ctx, method, url, nil)
	if err != nil {
		t.Fatal(err)
	}
	r, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = r.Body.Close() }()
	if _, err := io.Copy(io.Discard, r.Body); err != nil {
		t.Fatal(err)
	}
	return r.StatusCode
}

// TestReloadWithSlowSecret: while a reload waits for a secret, clients log in and the
// admin listener answers. What needs no secret is in force already.
func TestReloadWithSlowSecret(t *testing.T) {
	t.Setenv("AWS_ACCESS_KEY_ID", "AKIASLOW000000000001")
	t.Setenv("AWS_SECRET_ACCESS_KEY", "hidden")
	t.Setenv("AWS_EC2_METADATA_DISABLED", "true")
	asked, release := make(chan struct{}, 100), make(chan struct{})
	let := sync.OnceFunc(func() { close(release) })
	manager := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		asked <- struct{}{}
		<-release
		w.WriteHeader(http.StatusBadRequest)
	}))
	t.Cleanup(manager.Close)
	t.Cleanup(http.DefaultClient.CloseIdleConnections)
	s := newScene(t)
	t.Cleanup(let)
	db := newFakeDB(t, "orders")
	admin := freeAddr(t)
	section := fmt.Sprintf("secrets_manager: {region: eu-central-1, endpoint: '%s'}\nadmin: {listen: '%s'}\n", manager.URL, admin)
	s.configure(section, db)
	s.start()
	old := s.client()

	s.configure(section+"auth: [{user: app, secret: app.json}, {user: slow, secret: 'secretsmanager:prod/slow'}]\nmax_client_connections: 2", db)
	s.signal(syscall.SIGHUP)
	select {
	case <-asked:
	case <-time.After(patience):
		t.Fatal("the secret is not asked for")
	}
	begun := time.Now()
	for _, page := range []string{"/status", "/readyz", "/metrics"} {
		if status := get(t, http.MethodGet, "http://"+admin+page); status != http.StatusOK {
			t.Errorf("%s: %d", page, status)
		}
	}
	if got := s.ask(old, "SELECT 1"); got != "orders" {
		t.Errorf("answered by %q", got)
	}
	s.client()
	_, err := s.connect("app", "sesame")
	s.wantState(err, "53300") // the new limit
	if s.logs.count(taken) > 0 {
		t.Errorf("all that took %v: until the secret was given up", time.Since(begun))
	}
	let()
	s.waitLog(taken, 1)
}
