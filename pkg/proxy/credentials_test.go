// SPDX-License-Identifier: Apache-2.0

package proxy_test

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"testing"

	"github.com/jackc/pgx/v5/pgconn"

	"github.com/rdsproxy/rdsproxy/pkg/proxy"
	"github.com/rdsproxy/rdsproxy/pkg/secret"
	"github.com/rdsproxy/rdsproxy/pkg/target"
)

// locked is a database that takes one password.
type locked struct {
	proxy.Dialer
	mu    sync.Mutex
	takes string
	tried []string
}

func (d *locked) set(password string) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.takes = password
}

func (d *locked) check(password string) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.tried = append(d.tried, password)
	if password != d.takes {
		return &target.Error{Stage: target.StageLogin, Err: &pgconn.PgError{Severity: "FATAL", Code: "28P01", Message: "no"}}
	}
	return nil
}

func (d *locked) Dial(ctx context.Context, r target.Request) (*target.Established, error) {
	if err := d.check(r.Password); err != nil {
		return nil, err
	}
	return d.Dialer.Dial(ctx, r)
}

func (d *locked) Facts(ctx context.Context, r target.Request) (target.Facts, error) {
	if err := d.check(r.Password); err != nil {
		return target.Facts{}, err
	}
	return d.Dialer.Facts(ctx, r)
}

// versions is a proxy.Credentials with a current password, and others.
type versions struct {
	mu       sync.Mutex
	list     []string
	refused  int
	accepted []string
}

func (v *versions) set(list ...string) {
	v.mu.Lock()
	defer v.mu.Unlock()
	v.list = list
}

func credential(password string) secret.Credential {
	return secret.Credential{Username: "app", Password: secret.NewPassword(password)}
}

func (v *versions) Get(context.Context, string) (secret.Credential, error) {
	v.mu.Lock()
	defer v.mu.Unlock()
	return credential(v.list[0]), nil
}

func (v *versions) Refused(_ context.Context, _ string, refused secret.Credential) (list []secret.Credential, err error) {
	v.mu.Lock()
	defer v.mu.Unlock()
	v.refused++
	for _, p := range v.list {
		if p != refused.Password.Reveal() {
			list = append(list, credential(p))
		}
	}
	if len(list) == 0 {
		return nil, secret.ErrNoOther
	}
	return list, nil
}

func (v *versions) Accepted(_ string, taken secret.Credential) {
	v.mu.Lock()
	defer v.mu.Unlock()
	v.accepted = append(v.accepted, taken.Password.Reveal())
	v.list = slices.Insert(slices.Clone(v.list), 0, taken.Password.Reveal())
}

func lockedScene(t *testing.T, takes string, v *versions) (*scene, *locked) {
	t.Helper()
	d := &locked{takes: takes}
	s := newScene(t, plan{
		max: 3, dialer: func(real proxy.Dialer) proxy.Dialer { d.Dialer = real; return d },
		target: func(o *proxy.TargetOptions) { o.Credentials = v },
	})
	return s, d
}

// TestOtherPasswords: when the database refuses a password, the other ones are tried once each, and what it takes is kept.
func TestOtherPasswords(t *testing.T) {
	v := &versions{list: []string{"old", "wrong", "new"}}
	s, d := lockedScene(t, "new", v)
	s.must(s.client(), "x")
	v.mu.Lock()
	defer v.mu.Unlock()
	d.mu.Lock()
	defer d.mu.Unlock()
	if fmt.Sprint(v.accepted) != "[new]" || v.refused != 1 {
		t.Errorf("accepted %v, refused %d", v.accepted, v.refused)
	}
	if got := fmt.Sprint(d.tried); got != "[old wrong new new]" {
		t.Errorf("tried %s", got)
	}
}

// TestWrongPassword: where nothing has ever worked nobody waits.
func TestWrongPassword(t *testing.T) {
	v := &versions{list: []string{"old"}}
	s, _ := lockedScene(t, "new", v)
	_, err := s.tryClient("app")
	s.wantState(err, "08006")
}

// TestDatabaseIsAhead: the database has a new password that the secret has not. Clients wait, and get in when it has.
func TestDatabaseIsAhead(t *testing.T) {
	v := &versions{list: []string{"old"}}
	s, d := lockedScene(t, "old", v)
	a, b := s.client(), s.client()
	s.exec(a, "BEGIN")
	s.must(a, "x")
	d.set("new")
	waiter := background(func() error {
		_, err := ask(b, "x")
		return err
	})
	eventually(t, "it is refused", func() bool {
		v.mu.Lock()
		defer v.mu.Unlock()
		return v.refused > 1
	})
	v.set("new")
	if err := s.await("the client", waiter); err != nil {
		t.Error(err)
	}
}

// TestRetireUser: the connections of one user are replaced, and nobody else's.
func TestRetireUser(t *testing.T) {
	s := newScene(t, plan{max: 3})
	a := s.client()
	first := s.must(a, "a")
	s.group.RetireUser("other")
	if r := s.must(a, "a"); r != first {
		t.Errorf("went from %v to %v", first, r)
	}
	s.group.RetireUser("app")
	if r := s.must(a, "a"); r == first {
		t.Error("the connection is still there")
	}
}
