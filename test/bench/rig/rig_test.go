// SPDX-License-Identifier: Apache-2.0

//go:build linux

package rig

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"os"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/rdsproxy/rdsproxy/pkg/config"
)

func TestFirstNumber(t *testing.T) {
	for in, want := range map[string]string{
		"postgres (PostgreSQL) 15.18 (Debian 15.18-0+deb12u1)\n": "15.18",
		"PgBouncer 1.26.1\nlibevent 2.1.13-stable\n":             "1.26.1",
		"": "unknown", "no digits": "unknown",
	} {
		if got := firstNumber(in); got != want {
			t.Errorf("firstNumber(%q) = %q, want %q", in, got, want)
		}
	}
}

func TestTailKeepsTheEnd(t *testing.T) {
	var tl tail
	for i := range 3000 {
		if n, err := fmt.Fprintf(&tl, "line %d\n", i); err != nil || n == 0 {
			t.Fatal(n, err)
		}
	}
	got := tl.String()
	if len(got) > tailSize || !strings.HasSuffix(got, "line 2998\nline 2999") {
		t.Errorf("%d bytes, ending in %q", len(got), got[max(0, len(got)-20):])
	}
}

func TestSourceStaysOnLoopback(t *testing.T) {
	perAddress := map[string]int{}
	for n := range 20_000 {
		ip := source(n)
		if !ip.IsLoopback() {
			t.Fatalf("client %d comes from %v", n, ip)
		}
		perAddress[ip.String()]++
	}
	for ip, n := range perAddress {
		if n > 28_000 {
			t.Errorf("%d clients from %s", n, ip)
		}
	}
}

func TestEach(t *testing.T) {
	seen := make([]bool, 1000) // each element is touched by one call only
	if err := each(context.Background(), len(seen), func(_ context.Context, k int) error {
		seen[k] = true
		return nil
	}); err != nil {
		t.Fatal(err)
	}
	for k, ok := range seen {
		if !ok {
			t.Fatalf("%d was left out", k)
		}
	}
	boom := errors.New("boom")
	if err := each(context.Background(), 1000, func(_ context.Context, k int) error {
		if k == 10 {
			return boom
		}
		return nil
	}); !errors.Is(err, boom) {
		t.Errorf("error = %v", err)
	}
}

func TestSpace(t *testing.T) {
	s, err := NewSpace(t.TempDir(), nil)
	if err != nil {
		t.Fatal(err)
	}
	path, err := s.Write("secret", []byte("x"))
	if err != nil {
		t.Fatal(err)
	}
	if st, err := os.Stat(path); err != nil || st.Mode().Perm() != 0o600 {
		t.Errorf("%v, %v", st.Mode(), err)
	}
	if err := s.Remove(); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(s.Dir); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("after Remove: %v", err)
	}
}

func TestChildThatEndsWhileStarting(t *testing.T) {
	c, err := Start(Program{Name: "broken", Path: "/bin/sh", Args: []string{"-c", "echo no such file >&2; exit 3"}})
	if err != nil {
		t.Fatal(err)
	}
	err = c.Await(context.Background(), time.Minute, func(context.Context) error { return errors.New("not yet") })
	if err == nil || !strings.Contains(err.Error(), "no such file") || !strings.Contains(err.Error(), "exit status 3") {
		t.Errorf("error = %v", err)
	}
	if err := c.Failed(); err == nil {
		t.Error("Failed gave no error")
	}
	c.Stop()
}

func TestChildStops(t *testing.T) {
	c, err := Start(Program{Name: "sleeper", Path: "/bin/sh", Args: []string{"-c", "exec sleep 60"}})
	if err != nil {
		t.Fatal(err)
	}
	if err := c.Await(context.Background(), time.Minute, func(context.Context) error { return nil }); err != nil {
		t.Error(err)
	}
	if err := c.Failed(); err != nil {
		t.Error(err)
	}
	c.Stop()
	if err := syscall.Kill(c.PID(), 0); !errors.Is(err, syscall.ESRCH) {
		t.Errorf("after Stop: %v", err)
	}
	c.Stop()
}

func TestConfigurationsNameWhatTheyAreGiven(t *testing.T) {
	s, err := NewSpace(t.TempDir(), nil)
	if err != nil {
		t.Fatal(err)
	}
	id, err := NewIdentity()
	if err != nil {
		t.Fatal(err)
	}
	for _, tc := range []struct {
		setup Setup
		want  []string
	}{
		{Setup{Postgres: &Postgres{Port: 5433}, Pool: 20}, []string{"engine: postgresql", "writer: 127.0.0.1:5433", "max_connections_percent: 20\n", "mode: disable"}},
		{Setup{MySQL: &MySQL{Port: 3307}, Pool: 20}, []string{"engine: mysql", "writer: 127.0.0.1:3307", "max_connections_percent: 5\n", "mode: disable"}},
		{Setup{MySQL: &MySQL{Port: 3307}, Pool: 20, Secure: true}, []string{"mode: require"}},
	} {
		tc.setup.TLS, tc.setup.User = id, "u1"
		file, err := (&RDSProxy{}).configure(tc.setup, s, 6001)
		if err != nil {
			t.Fatal(err)
		}
		text := holds(t, file, append(tc.want, "listen: 127.0.0.1:6001", "user: u1")...)
		if _, err := config.Parse(config.Options{File: file}); err != nil {
			t.Errorf("the daemon would refuse it: %v\n%s", err, text)
		}
	}
	for mode, secure := range map[string]bool{"DISABLED": false, "REQUIRED": true} {
		file, err := (&Router{}).configure(Setup{MySQL: &MySQL{Port: 3307}, TLS: id, User: "u1", Pool: 20, Secure: secure}, s, 6001)
		if err != nil {
			t.Fatal(err)
		}
		holds(t, file, "bind_port=6001\n", "destinations=127.0.0.1:3307\n", "max_idle_server_connections=20\n", "server_ssl_mode="+mode+"\n")
	}
}

// holds checks that a configuration has all that is wanted, and nothing that it must not have.
func holds(t *testing.T, file string, want ...string) string {
	t.Helper()
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	for _, w := range want {
		if !strings.Contains(string(text), w) {
			t.Errorf("the configuration lacks %q:\n%s", w, text)
		}
	}
	if strings.Contains(string(text), Password) || strings.Contains(string(text), "%!") {
		t.Errorf("the configuration holds what it must not:\n%s", text)
	}
	return string(text)
}

func TestRSAPairIsOne(t *testing.T) {
	cert, key, err := rsaPair()
	if err != nil {
		t.Fatal(err)
	}
	if _, err := tls.X509KeyPair(cert, key); err != nil {
		t.Error(err)
	}
}
