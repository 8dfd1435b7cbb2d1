// SPDX-License-Identifier: Apache-2.0

package myserver

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
			tb.Logf("last lines of the log of %s:\n%s", s.Flavor, machine.LastLines(s.Log(), 40))
		}
		if err := s.Close(); err != nil {
			tb.Error(err)
		}
	})
	return s
}

// Require returns the programs of a flavor, or skips.
func Require(tb testing.TB, f Flavor) Installation {
	tb.Helper()
	inst, err := Find(tb.Context(), f)
	if err != nil {
		shared.Missing(tb, err)
	}
	return inst
}

var shared = sharedserver.Set[Flavor, *Server]{
	Package: "myserver", Unavailable: ErrUnavailable,
	Launch: func(ctx context.Context, f Flavor) (*Server, error) { return Launch(ctx, Options{Flavor: f}) },
}

// Shared returns the package's server of a flavor, started on first use. The
// package's TestMain must call Main. Tests that share it make databases and users
// of their own, and never stop it.
func Shared(tb testing.TB, f Flavor) *Server {
	tb.Helper()
	return shared.Get(tb, f)
}

// Main runs a package's tests, stops the shared servers and prints how many tests
// were skipped for want of a server. It returns the exit code for os.Exit.
func Main(m sharedserver.Runner) int { return shared.Main(m) }
