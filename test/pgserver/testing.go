// SPDX-License-Identifier: Apache-2.0

package pgserver

import (
	"context"
	"errors"
	"fmt"
	"os"
	"sync"
	"testing"

	"github.com/rdsproxy/rdsproxy/test/machine"
)

// Start launches a server for one test and removes it when the test ends. Where
// there is no such server the test is skipped with the reason, or fails if CI=true.
func Start(tb testing.TB, o Options) *Server {
	tb.Helper()
	s, err := Launch(tb.Context(), o)
	if err != nil {
		unavailable(tb, err)
	}
	tb.Cleanup(func() {
		if tb.Failed() {
			tb.Logf("last lines of PostgreSQL's log:\n%s", machine.LastLines(s.Log(), 40))
		}
		if err := s.Close(); err != nil {
			tb.Error(err)
		}
	})
	return s
}

// RequireTools returns the folder with psql, pgbench and their kin, or skips.
func RequireTools(tb testing.TB) Installation {
	tb.Helper()
	inst, err := Tools(tb.Context())
	if err != nil {
		unavailable(tb, err)
	}
	return inst
}

var skipped struct {
	sync.Mutex
	tests  int
	reason string
}

func unavailable(tb testing.TB, err error) {
	tb.Helper()
	if !errors.Is(err, ErrUnavailable) {
		tb.Fatal(err)
	}
	if os.Getenv("CI") == "true" {
		tb.Fatalf("CI=true, so a missing server is a failure: %v", err)
	}
	skipped.Lock()
	skipped.tests++
	skipped.reason = err.Error()
	skipped.Unlock()
	tb.Skip(err)
}

var shared struct {
	sync.Mutex
	servers map[int]*Server
	errs    map[int]error
}

// Shared returns the package's server of a major version, started on first use.
// The package's TestMain must call Main. Tests that share it make databases and
// roles of their own, and never stop it.
func Shared(tb testing.TB, version int) *Server {
	tb.Helper()
	shared.Lock()
	defer shared.Unlock()
	if shared.servers == nil {
		tb.Fatal("pgserver.Shared needs a TestMain that calls pgserver.Main")
	}
	if s := shared.servers[version]; s != nil {
		return s
	}
	if shared.errs[version] == nil {
		// Not the test's context: the server outlives the test.
		s, err := Launch(context.Background(), Options{Version: version})
		if err == nil {
			shared.servers[version] = s
			return s
		}
		shared.errs[version] = err
	}
	unavailable(tb, shared.errs[version])
	return nil
}

// Main runs a package's tests, stops the shared servers and prints how many tests
// were skipped for want of a server. It returns the exit code for os.Exit.
func Main(m *testing.M) int {
	shared.servers = make(map[int]*Server)
	shared.errs = make(map[int]error)
	code := m.Run()
	for _, s := range shared.servers {
		if err := s.Close(); err != nil {
			fmt.Fprintln(os.Stderr, "pgserver:", err)
			code = max(code, 1)
		}
	}
	if skipped.tests > 0 {
		fmt.Printf("pgserver: %d tests skipped: %s\n", skipped.tests, skipped.reason)
	}
	return code
}
