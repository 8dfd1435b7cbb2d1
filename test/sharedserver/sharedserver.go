// SPDX-License-Identifier: Apache-2.0

// Package sharedserver keeps the database servers that the tests of a package share:
// one of each kind, started when the first test wants it, stopped behind the last.
// Where a server is not to be had, tests are skipped with the reason, or fail if
// CI=true.
package sharedserver

import (
	"context"
	"errors"
	"fmt"
	"os"
	"sync"
	"testing"
)

// Runner is a *testing.M, or what wraps one, such as the Main of another package.
type Runner interface{ Run() int }

// Set are the servers S of one package, told apart by K, such as their version.
type Set[K comparable, S interface{ Close() error }] struct {
	// Package is the name of the package that has the set.
	Package string
	// Launch starts a server. Unavailable is wrapped by its errors that mean "this machine does not have it".
	Launch      func(context.Context, K) (S, error)
	Unavailable error

	mu      sync.Mutex
	servers map[K]S
	errs    map[K]error
	skipped int
	reason  string
}

// Missing ends a test that has no server because of err.
func (s *Set[K, S]) Missing(tb testing.TB, err error) {
	tb.Helper()
	if !errors.Is(err, s.Unavailable) {
		tb.Fatal(err)
	}
	if os.Getenv("CI") == "true" {
		tb.Fatalf("CI=true, so a missing server is a failure: %v", err)
	}
	s.mu.Lock()
	s.skipped++
	s.reason = err.Error()
	s.mu.Unlock()
	tb.Skip(err)
}

// Get returns the server of a kind, started on first use. The package's TestMain has
// to call Main.
func (s *Set[K, S]) Get(tb testing.TB, kind K) S {
	tb.Helper()
	server, err := s.get(tb, kind)
	if err != nil {
		s.Missing(tb, err)
	}
	return server
}

func (s *Set[K, S]) get(tb testing.TB, kind K) (server S, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.servers == nil {
		tb.Fatalf("%[1]s.Shared needs a TestMain that calls %[1]s.Main", s.Package)
	}
	server, ok := s.servers[kind]
	if ok || s.errs[kind] != nil {
		return server, s.errs[kind]
	}
	// Not the test's context: the server outlives the test.
	server, err = s.Launch(context.Background(), kind)
	if err != nil {
		s.errs[kind] = err
		return server, err
	}
	s.servers[kind] = server
	return server, nil
}

// Main runs a package's tests, stops the servers and prints how many tests were
// skipped for want of one. It returns the exit code for os.Exit.
func (s *Set[K, S]) Main(m Runner) int {
	s.servers = make(map[K]S)
	s.errs = make(map[K]error)
	code := m.Run()
	for _, server := range s.servers {
		if err := server.Close(); err != nil {
			fmt.Fprintf(os.Stderr, "%s: %v\n", s.Package, err)
			code = max(code, 1)
		}
	}
	if s.skipped > 0 {
		fmt.Printf("%s: %d tests skipped: %s\n", s.Package, s.skipped, s.reason)
	}
	return code
}
