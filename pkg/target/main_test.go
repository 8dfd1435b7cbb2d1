// SPDX-License-Identifier: Apache-2.0

package target_test

import (
	"fmt"
	"os"
	"testing"

	"go.uber.org/goleak"

	"github.com/rdsproxy/rdsproxy/test/myserver"
	"github.com/rdsproxy/rdsproxy/test/pgserver"
)

func TestMain(m *testing.M) {
	if os.Getenv(childEnv) != "" {
		os.Exit(m.Run()) // a test's child needs no servers
	}
	code := myserver.Main(servers{m})
	if err := goleak.Find(goleak.IgnoreAnyFunction("github.com/rdsproxy/rdsproxy/test/machine.spawn")); err != nil && code == 0 {
		fmt.Fprintln(os.Stderr, err)
		code = 1
	}
	os.Exit(code)
}

// servers runs the tests with PostgreSQL servers to share.
type servers struct{ m *testing.M }

func (s servers) Run() int { return pgserver.Main(s.m) }
