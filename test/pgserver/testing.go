// SPDX-License-Identifier: Apache-2.0

package pgserver

import (
	"context"
	"testing"

	"github.com/rdsproxy/rdsproxy/test/machine"
	"github.com/rdsproxy/rdsproxy/test/sharedserver"
)

// Start launches a server for one test and removes it when the test ends. Where
// there is no such server the test is skipped with the reason, or fails if CI=true.
func Start(tb testing.TB, o Options) *Server {
	tb.Helper()
	s, err := Launch(tb.Context(), o)
	if err != nil {
		shared.Missing(tb, err)
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
		shared.Missing(tb, err)
	}
	return inst
}

var shared = sharedserver.Set[int, *Server]{
	Package: "pgserver", Unavailable: ErrUnavailable,
	Launch: func(ctx context.Context, version int) (*Server, error) { return Launch(ctx, Options{Version: version}) },
}

// Shared returns the package's server of a major version, started on first use.
// The package's TestMain must call Main. Tests that share it make databases and
// roles of their own, and never stop it.
func Shared(tb testing.TB, version int) *Server {
	tb.Helper()
	return shared.Get(tb, version)
}

// Main runs a package's tests, stops the shared servers and prints how many tests
// were skipped for want of a server. It returns the exit code for os.Exit.
func Main(m sharedserver.Runner) int { return shared.Main(m) }
