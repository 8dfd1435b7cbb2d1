// SPDX-License-Identifier: Apache-2.0

package proxy_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"

	"go.uber.org/zap/zapcore"

	"github.com/rdsproxy/rdsproxy/pkg/auth"
	"github.com/rdsproxy/rdsproxy/pkg/proxy"
	"github.com/rdsproxy/rdsproxy/pkg/secret"
	"github.com/rdsproxy/rdsproxy/pkg/target"
)

// printed is all that was logged, as it would be printed.
func (s *scene) printed() string {
	s.tb.Helper()
	encoder := zapcore.NewJSONEncoder(zapcore.EncoderConfig{MessageKey: "message"})
	var all strings.Builder
	for _, e := range s.logs.All() {
		line, err := encoder.EncodeEntry(e.Entry, e.Context)
		if err != nil {
			s.tb.Fatal(err)
		}
		all.Write(line.Bytes())
	}
	return all.String()
}

// confession is an error that holds what it should not.
type confession struct{ password string }

func (c confession) Error() string { return "cannot digest " + c.password }

// babbling has a defect that shows what it works on, in each of the ways in which
// that can be done.
type babbling struct {
	everybody
	what any
}

func (l babbling) Lookup(user string) (auth.Credential, bool) {
	if user == "crash" {
		panic(l.what)
	}
	return l.everybody.Lookup(user)
}

// TestPanicInLoginShowsNoSecret: a defect in the middle of a login is told of, with
// a stack, and without the password.
func TestPanicInLoginShowsNoSecret(t *testing.T) {
	for name, what := range map[string]any{
		"text": "cannot digest " + password, "error": confession{password}, "wrapped": fmt.Errorf("lookup: %w", confession{password}),
		"structure": struct{ Password string }{password}, "pointer": &target.Request{Password: password}, "bytes": []byte(password),
		"stars": secret.NewPassword(password),
	} {
		t.Run(name, func(t *testing.T) {
			s := newScene(t, plan{endpoint: func(o *proxy.EndpointOptions) { o.Users = babbling{what: what} }})
			if _, err := s.tryClient("crash"); err == nil {
				t.Fatal("let in")
			}
			eventually(t, "it is logged", func() bool { return s.logged("panic in a login") })
			s.wantNoSecret()
			s.settled()
		})
	}
}

// wantNoSecret holds what was printed against the password.
func (s *scene) wantNoSecret() {
	s.tb.Helper()
	printed := s.printed()
	for _, form := range []string{password, fmt.Sprintf("%x", password), fmt.Sprint([]byte(password)), "c2VzYW1l"} {
		if strings.Contains(printed, form) {
			s.tb.Errorf("%q is printed: %s", form, printed)
		}
	}
	if !strings.Contains(printed, ".go:") {
		s.tb.Error("there is no stack")
	}
}

// crashingDialer panics with all that it was given.
type crashingDialer struct{ proxy.Dialer }

func (crashingDialer) Dial(_ context.Context, r target.Request) (*target.Established, error) {
	r.Password = password
	panic(r)
}

// TestPanicInDialShowsNoSecret: nor is what the proxy logs in to the database with
// printed, or told to a client.
func TestPanicInDialShowsNoSecret(t *testing.T) {
	s := newScene(t, plan{
		dialer:   func(d proxy.Dialer) proxy.Dialer { return crashingDialer{d} },
		settings: func(o *proxy.Settings) { o.LoginTimeout = patience },
		target:   func(o *proxy.TargetOptions) { o.BorrowTimeout = patience / 100 },
	})
	_, err := s.tryClient("app")
	if err == nil || strings.Contains(errors.Unwrap(err).Error(), password) {
		t.Errorf("told %v", err)
	}
	s.wantNoSecret()
}
