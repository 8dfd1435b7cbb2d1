// SPDX-License-Identifier: Apache-2.0

package target_test

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/rdsproxy/rdsproxy/pkg/failover"
	"github.com/rdsproxy/rdsproxy/pkg/target"
	"github.com/rdsproxy/rdsproxy/test/pgserver"
)

// probe asks once, within a limit.
func probe(t *testing.T, p failover.Prober, limit time.Duration) (failover.Answer, error) {
	t.Helper()
	ctx, stop := context.WithTimeout(t.Context(), limit)
	defer stop()
	return p.Probe(ctx)
}

func mustProbe(t *testing.T, p failover.Prober) failover.Answer {
	t.Helper()
	a, err := probe(t, p, patience)
	if err != nil {
		t.Fatal(err)
	}
	return a
}

// wantKind expects a failure of a kind that gives no password away.
func wantKind(t *testing.T, what string, err error, kind failover.Kind) {
	t.Helper()
	var e *failover.ProbeError
	if !errors.As(err, &e) || e.Kind != kind {
		t.Errorf("%s: %#v, want kind %d", what, err, kind)
	} else if strings.Contains(err.Error(), password) {
		t.Errorf("%s: the error has the password: %v", what, err)
	}
}

func (s *site) prober(t *testing.T, user, pass string) *target.PostgresProber {
	t.Helper()
	p := target.NewPostgresProber(s.options(), func(context.Context) (target.Request, error) {
		return target.Request{User: user, Password: pass, Database: "app"}, nil
	}, true)
	t.Cleanup(p.Close)
	return p
}

// testProbe: what a prober tells of a server in each state.
func (s *site) testProbe(t *testing.T) {
	p := s.prober(t, "scram", password)
	a := mustProbe(t, p)
	if a.ReadOnly || a.Replicates || a.Cluster == "" || a.Timeline != 1 || a.Position == 0 || a.Peers != nil ||
		time.Since(a.Started) > time.Hour || a.Remote.String() != s.Host || !strings.HasPrefix(a.Server, a.Cluster+"/") {
		t.Errorf("%+v", a)
	}
	again := mustProbe(t, p)
	if again.Server != a.Server || !again.Started.Equal(a.Started) {
		t.Errorf("%+v and %+v", a, again)
	}
	admin, err := s.Connect(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer admin.Close(context.WithoutCancel(t.Context()))
	exec := func(sql string) {
		t.Helper()
		if _, err := admin.Exec(t.Context(), sql); err != nil {
			t.Fatal(err)
		}
	}
	exec("ALTER SYSTEM SET default_transaction_read_only = on")
	exec("SELECT pg_reload_conf()")
	for deadline := time.Now().Add(patience); !mustProbe(t, p).ReadOnly; {
		if time.Now().After(deadline) {
			t.Fatal("that nobody can write is not seen")
		}
	}
	exec("SET default_transaction_read_only = off")
	exec("ALTER SYSTEM RESET default_transaction_read_only")
	exec("SELECT pg_reload_conf()")
	for deadline := time.Now().Add(patience); mustProbe(t, p).ReadOnly; {
		if time.Now().After(deadline) {
			t.Fatal("that all can write again is not seen")
		}
	}
	exec("ALTER ROLE scram SET default_transaction_read_only = on")
	if mustProbe(t, s.prober(t, "scram", password)).ReadOnly {
		t.Error("a setting of the probe's user is taken for one of the server")
	}
	exec("ALTER ROLE scram RESET default_transaction_read_only")
	exec("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'rdsproxy probe'")
	mustProbe(t, p) // on a new connection
}

// testProbeFails: why a probe has no answer.
func (s *site) testProbeFails(t *testing.T) {
	for _, tt := range []struct {
		user, password string
		kind           failover.Kind
	}{
		{"scram", "wrong", failover.Refused},
		{"nobody", "x", failover.Refused},
		{"nowhere", password, failover.Refused},
		{"limited", password, failover.Full},
	} {
		_, err := probe(t, s.prober(t, tt.user, tt.password), patience)
		wantKind(t, tt.user, err, tt.kind)
	}
	none := target.NewPostgresProber(s.options(), func(context.Context) (target.Request, error) {
		return target.Request{}, errors.New("no secret")
	}, false)
	defer none.Close()
	_, err := probe(t, none, patience)
	wantKind(t, "no secret", err, failover.Refused)

	p := s.prober(t, "scram", password)
	before := mustProbe(t, p)
	s.Freeze()
	for _, frozen := range []*target.PostgresProber{p, s.prober(t, "scram", password)} {
		_, err = probe(t, frozen, 100*time.Millisecond)
		wantKind(t, "frozen", err, failover.Unreachable)
	}
	s.Thaw()
	mustProbe(t, p)
	if err := s.Stop(pgserver.Fast); err != nil {
		t.Fatal(err)
	}
	_, err = probe(t, p, patience)
	wantKind(t, "down", err, failover.Unreachable)
	if err := s.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	if after := mustProbe(t, p); after.Server == before.Server || after.Cluster != before.Cluster || !after.Started.After(before.Started) {
		t.Errorf("%+v before the restart, %+v after", before, after)
	}
}

func (s *mysite) prober(t *testing.T, user, pass string) *target.MySQLProber {
	t.Helper()
	p := target.NewMySQLProber(s.options(), func(context.Context) (target.MySQLRequest, error) {
		return target.MySQLRequest{User: user, Password: pass}, nil
	}, true)
	t.Cleanup(p.Close)
	return p
}

// testProbe: what a prober tells of a server in each state.
func (s *mysite) testProbe(t *testing.T) {
	p := s.prober(t, "plain", password)
	a := mustProbe(t, p)
	if a.ReadOnly || a.Replicates || a.Broken != "" || a.Peers != nil || time.Since(a.Started) > time.Hour || a.Remote.String() != s.Host {
		t.Errorf("%+v", a)
	}
	if !s.Flavor.IsMariaDB() && a.Server == "" {
		t.Error("the server has no name")
	}
	exec := func(sql string) {
		t.Helper()
		if err := s.Exec(t.Context(), sql); err != nil {
			t.Fatal(err)
		}
	}
	exec("SET GLOBAL read_only = 1")
	if !mustProbe(t, p).ReadOnly {
		t.Error("read_only is not seen")
	}
	exec("SET GLOBAL read_only = 0")
	if again := mustProbe(t, p); again.ReadOnly || again.Server != a.Server || again.Started.Sub(a.Started).Abs() > 2*time.Second {
		t.Errorf("%+v and %+v", a, again)
	}
}

// testProbeFails: why a probe has no answer.
func (s *mysite) testProbeFails(t *testing.T) {
	_, err := probe(t, s.prober(t, "plain", "wrong"), patience)
	wantKind(t, "wrong password", err, failover.Refused)
	first, second := s.prober(t, "limited", password), s.prober(t, "limited", password)
	mustProbe(t, first)
	_, err = probe(t, second, patience)
	wantKind(t, "too many connections", err, failover.Full)

	p := s.prober(t, "plain", password)
	mustProbe(t, p)
	s.Freeze()
	for _, frozen := range []*target.MySQLProber{p, s.prober(t, "plain", password)} {
		_, err = probe(t, frozen, 100*time.Millisecond)
		wantKind(t, "frozen", err, failover.Unreachable)
	}
	s.Thaw()
	mustProbe(t, p)
	if err := s.Stop(); err != nil {
		t.Fatal(err)
	}
	_, err = probe(t, p, patience)
	wantKind(t, "down", err, failover.Unreachable)
	if err := s.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	mustProbe(t, p)
}
