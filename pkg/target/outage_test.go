// SPDX-License-Identifier: Apache-2.0

package target_test

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/rdsproxy/rdsproxy/pkg/target"
	"github.com/rdsproxy/rdsproxy/test/pgserver"
)

func (s *site) testCancel(t *testing.T) {
	for _, mode := range []target.TLSMode{"disable", "prefer", "require"} {
		o := s.options()
		o.TLSMode = mode
		d := target.NewDialer(o)
		e := mustDial(t, o, as("scram"))
		answer := make(chan string, 1)
		go func() { answer <- ask(t, e, "SELECT pg_sleep(600)") }()
		s.waitActive(t, e.PID)

		// The wrong key does nothing, and is not told from the right one.
		wrong := append([]byte(nil), e.SecretKey...)
		wrong[0] ^= 1
		if err := d.Cancel(t.Context(), e.PID, wrong); err != nil {
			t.Errorf("%s: wrong key: %v", mode, err)
		}
		s.waitActive(t, e.PID)

		if err := d.Cancel(t.Context(), e.PID, e.SecretKey); err != nil {
			t.Fatalf("%s: %v", mode, err)
		}
		if got := <-answer; got != "57014" {
			t.Errorf("%s: the query ended with %q", mode, got)
		}
		// After Cancel has returned nothing is hit any more.
		for range 50 {
			if err := d.Cancel(t.Context(), e.PID, e.SecretKey); err != nil {
				t.Fatal(err)
			}
			if got := ask(t, e, "SELECT 1"); got != "1" {
				t.Fatalf("%s: a later query was hit: %s", mode, got)
			}
		}
	}
	d := target.NewDialer(s.options())
	if err := d.Cancel(t.Context(), 1, nil); err == nil || !target.Permanent(err) {
		t.Errorf("without a key: %v", err)
	}
}

// waitActive waits until the server runs a query on a connection.
func (s *site) waitActive(t *testing.T, pid uint32) {
	t.Helper()
	c, err := s.Connect(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close(context.WithoutCancel(t.Context()))
	for active := false; !active; {
		const sql = "SELECT coalesce(bool_or(wait_event = 'PgSleep'), false) FROM pg_stat_activity WHERE pid = $1 AND state = 'active'"
		if err := c.QueryRow(t.Context(), sql, pid).Scan(&active); err != nil {
			t.Fatal(err)
		}
	}
}

// testFrozen: a server that does not answer costs the connect timeout, not more.
func (s *site) testFrozen(t *testing.T) {
	e := mustDial(t, s.options(), as("scram"))
	s.Freeze()
	defer s.Thaw()
	for _, mode := range []target.TLSMode{"disable", "require"} {
		o := s.options()
		o.TLSMode, o.ConnectTimeout = mode, 150*time.Millisecond
		d := target.NewDialer(o)
		stage := target.StageLogin
		if mode == "require" {
			stage = target.StageTLS
		}
		_, err := d.Dial(t.Context(), as("scram"))
		expectTimeout(t, err, stage)
		_, err = d.Facts(t.Context(), as("scram"))
		expectTimeout(t, err, stage)
		if mode == "disable" {
			stage = target.StageCancel
		}
		expectTimeout(t, d.Cancel(t.Context(), e.PID, e.SecretKey), stage)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := target.NewDialer(s.options()).Dial(ctx, as("scram")); !errors.Is(err, context.Canceled) {
		t.Errorf("cancelled: %v", err)
	}
}

func expectTimeout(t *testing.T, err error, stage target.Stage) {
	t.Helper()
	var failed *target.Error
	if !errors.As(err, &failed) || failed.Stage != stage || !errors.Is(err, context.DeadlineExceeded) || target.Permanent(err) {
		t.Errorf("expected a timeout in stage %s, got %v", stage, err)
	}
}

func (s *site) testDown(t *testing.T) {
	if err := s.Stop(pgserver.Fast); err != nil {
		t.Fatal(err)
	}
	d := target.NewDialer(s.options())
	for range 2 {
		_, err := d.Dial(t.Context(), as("scram"))
		var failed *target.Error
		if !errors.As(err, &failed) || failed.Stage != target.StageConnect || target.Permanent(err) ||
			!strings.Contains(err.Error(), "refused") {
			t.Errorf("down: %v", err)
		}
	}
	if err := d.Cancel(t.Context(), 1, []byte("1234")); err == nil {
		t.Error("cancelled on a server that is down")
	}
	if err := s.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	mustDial(t, s.options(), as("scram"))
}
