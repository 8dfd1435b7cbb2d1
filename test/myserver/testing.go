// SPDX-License-Identifier: Apache-2.0

package myserver

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
	servers map[Flavor]*Server
	errs    map[Flavor]error
}

// Shared returns the package's server of a flavor, started on first use. The
// package's TestMain must call Main. Tests that share it make databases and users
// of their own, and never stop it.
func Shared(tb testing.TB, f Flavor) *Server {
	tb.Helper()
	shared.Lock()
	defer shared.Unlock()
	if shared.servers == nil {
		tb.Fatal("myserver.Shared needs a TestMain that calls myserver.Main")
	}
	if s := shared.servers[f]; s != nil {
		return s
	}
	if shared.errs[f] == nil {
		// Not the test's context: the server outlives the test.
		s, err := Launch(context.Background(), Options{Flavor: f})
		if err == nil {
			shared.servers[f] = s
			return s
		}
		shared.errs[f] = err
	}
	unavailable(tb, shared.errs[f])
	return nil
}

// Runner is a *testing.M, or what wraps one, such as the Main of another package.
type Runner interface{ Run() int }

// Main runs a package's tests, stops the shared servers and prints how many tests
// were skipped for want of a server. It returns the exit code for os.Exit.
func Main(m Runner) int {
	shared.servers = make(map[Flavor]*Server)
	shared.errs = make(map[Flavor]error)
	code := m.Run()
	for _, s := range shared.servers {
		if err := s.Close(); err != nil {
			fmt.Fprintln(os.Stderr, "myserver:", err)
			code = max(code, 1)
		}
	}
	if skipped.tests > 0 {
		fmt.Printf("myserver: %d tests skipped: %s\n", skipped.tests, skipped.reason)
	}
	return code
}
