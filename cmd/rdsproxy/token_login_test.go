// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/jackc/pgx/v5/pgconn"

	"github.com/rdsproxy/rdsproxy/internal/daemon"
	"github.com/rdsproxy/rdsproxy/pkg/config"
	"github.com/rdsproxy/rdsproxy/test/certs"
	"github.com/rdsproxy/rdsproxy/test/fakeaws"
)

// printed is what a daemon prints.
type printed struct {
	mu   sync.Mutex
	text bytes.Buffer
}

func (p *printed) Write(b []byte) (int, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.text.Write(b)
}

func (p *printed) String() string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.text.String()
}

// stsDaemon runs a daemon that asks the fake STS, with no database behind it, and gives its port and what it prints.
func stsDaemon(t *testing.T, aws *fakeaws.Server, role string) (port string, out *printed) {
	t.Helper()
	authority, err := certs.NewAuthority("test authority")
	if err != nil {
		t.Fatal(err)
	}
	pair, err := authority.Issue(certs.Request{})
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	if _, _, err := pair.Write(dir, "server"); err != nil {
		t.Fatal(err)
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	addr := l.Addr().String()
	l.Close()
	file := filepath.Join(dir, "proxy.yaml")
	text := fmt.Sprintf(`
endpoints: [{listen: %q, names: [127.0.0.1], tls: {cert_file: server.crt, key_file: server.key}}]
target_groups: [{writer: "127.0.0.1:1", max_connections: 10, connection_borrow_timeout: 0s}]
auth: [{user: app, secret: app.json, iam_auth: required}]
iam: {sts: {regions: [eu-central-1], mappings: [{match: %q, users: [app]}]}}
admin: {listen: "off"}
loops: 1
`, addr, role)
	for name, text := range map[string]string{file: text, filepath.Join(dir, "app.json"): `{"username":"app","password":"x"}`} {
		if err := os.WriteFile(name, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	out = &printed{}
	ctx, stop := context.WithCancel(context.Background()) // ends before the test's cleanup
	done := make(chan error, 1)
	go func() {
		done <- daemon.Run(ctx, daemon.Options{
			Load: func() (*config.Config, error) { return config.Parse(config.Options{File: file}) }, Version: "test",
			Stdout: out, Stderr: out, STS: aws.Transport(),
		})
	}()
	t.Cleanup(func() {
		stop()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
	_, port, _ = net.SplitHostPort(addr)
	return port, out
}

// tokenFor is what the command prints.
func tokenFor(t *testing.T, port, user string) string {
	t.Helper()
	var out, errOut bytes.Buffer
	args := []string{"token", "--hostname", "127.0.0.1", "--port", port, "--username", user, "--region", "eu-central-1", "--sts"}
	if code := execute(t.Context(), args, streams{&out, &errOut}, nil); code != 0 {
		t.Fatalf("exit code %d: %s", code, errOut.String())
	}
	return strings.TrimSuffix(out.String(), "\n")
}

// logIn returns the code of the error that the login, or the session behind it, ends with.
func logIn(t *testing.T, port, token string) string {
	t.Helper()
	ctx, stop := context.WithTimeout(t.Context(), 30*time.Second)
	defer stop()
	cfg, err := pgconn.ParseConfig("host=127.0.0.1 port=" + port + " user=app dbname=app sslmode=require")
	if err != nil {
		t.Fatal(err)
	}
	cfg.Password = token
	for {
		c, err := pgconn.ConnectConfig(ctx, cfg)
		if err == nil {
			c.Conn().Close()
			return ""
		}
		if e, ok := errors.AsType[*pgconn.PgError](err); ok {
			return e.Code
		}
		select {
		case <-ctx.Done():
			t.Fatal(err)
		case <-time.After(20 * time.Millisecond): // it does not listen yet
		}
	}
}

// TestTokenForSTSLogsIn: what "rdsproxy token --sts" prints lets its bearer in at a daemon, for the user and the port that it is for, and
// nowhere is it printed by the daemon.
func TestTokenForSTSLogsIn(t *testing.T) {
	const account, key = "123456789012", "AKIAORDERS0000000001"
	t.Setenv("AWS_ACCESS_KEY_ID", key)
	t.Setenv("AWS_SECRET_ACCESS_KEY", "hidden/orders")
	t.Setenv("AWS_SESSION_TOKEN", "hidden/session")
	t.Setenv("AWS_EC2_METADATA_DISABLED", "true")
	t.Setenv("AWS_CONFIG_FILE", filepath.Join(t.TempDir(), "none"))
	t.Setenv("AWS_SHARED_CREDENTIALS_FILE", filepath.Join(t.TempDir(), "none"))
	aws := &fakeaws.Server{}
	aws.AddIdentity(fakeaws.Identity{
		Key: key, Secret: "hidden/orders", Session: "hidden/session", Account: account, UserID: "AROA:s",
		ARN: "arn:aws:sts::" + account + ":assumed-role/orders/session",
	})
	port, out := stsDaemon(t, aws, "arn:aws:iam::"+account+":role/orders")

	token := tokenFor(t, port, "app")
	// The login is good; there is no database to go on with.
	if code := logIn(t, port, token); code == "" || strings.HasPrefix(code, "28") {
		t.Errorf("refused with %q\n%s", code, out)
	}
	if !strings.Contains(out.String(), "An IAM token was accepted.") || !strings.Contains(out.String(), "role/orders") {
		t.Errorf("it is not told who it was:\n%s", out)
	}
	for name, wrong := range map[string]string{
		"another user": tokenFor(t, port, "admin"), "another port": tokenFor(t, "1", "app"),
		"cut off": token[:255], "altered": strings.Replace(token, key, "AKIAORDERS0000000002", 1),
	} {
		if code := logIn(t, port, wrong); code != "28000" {
			t.Errorf("%s: refused with %q", name, code)
		}
	}
	for _, s := range []string{"hidden", "X-Amz-Signature", token[len(token)/2:]} {
		if strings.Contains(out.String(), s) {
			t.Errorf("the daemon prints %q:\n%s", s, out)
		}
	}
}
