// SPDX-License-Identifier: Apache-2.0

package pgload

import (
	"context"
	"io"
	"net"
	"strings"
	"testing"

	"github.com/rdsproxy/rdsproxy/pkg/auth"
	"github.com/rdsproxy/rdsproxy/pkg/proxy/pglogin"
	"github.com/rdsproxy/rdsproxy/pkg/wire/postgres"
)

const testPassword = "a password of the test"

// one knows a user.
type one struct {
	name       string
	credential auth.Credential
}

func (o one) Lookup(user string) (auth.Credential, bool) { return o.credential, user == o.name }

// serve lets clients log in by method until the test ends.
func serve(t *testing.T, method auth.Method) (addr string) {
	t.Helper()
	c, err := auth.NewCredential("app", testPassword, method)
	if err != nil {
		t.Fatal(err)
	}
	l, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = l.Close() })
	go func() {
		for {
			nc, err := l.Accept()
			if err != nil {
				return
			}
			if _, err := pglogin.Serve(context.Background(), nc, &pglogin.Config{Users: one{"app", c}}); err == nil {
				_, _ = nc.Write(postgres.AppendReadyForQuery(nil, 'I'))
				_, _ = io.Copy(io.Discard, nc)
			}
			_ = nc.Close()
		}
	}()
	return l.Addr().String()
}

func TestLogInAndOut(t *testing.T) {
	t.Parallel()
	target := &Target{Addr: serve(t, auth.SCRAM), User: "app", Password: testPassword, Database: "db"}
	for range 2 {
		if err := target.LogInAndOut(t.Context(), net.IPv4(127, 0, 0, 1)); err != nil {
			t.Fatal(err)
		}
	}
	keys := 0
	target.keys.Range(func(any, any) bool { keys++; return true })
	if keys != 1 {
		t.Errorf("%d keys were derived for one salt", keys)
	}
}

func TestRefused(t *testing.T) {
	t.Parallel()
	wrong := &Target{Addr: serve(t, auth.SCRAM), User: "app", Password: "another", Database: "db"}
	if err := wrong.LogInAndOut(t.Context(), nil); err == nil || !strings.Contains(err.Error(), "password authentication failed") {
		t.Errorf("a wrong password: %v", err)
	}
	old := &Target{Addr: serve(t, auth.MD5), User: "app", Password: testPassword, Database: "db"}
	if err := old.LogInAndOut(t.Context(), nil); err == nil {
		t.Error("a method that is not known gave no error")
	}
}
