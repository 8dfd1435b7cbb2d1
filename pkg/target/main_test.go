// SPDX-License-Identifier: Apache-2.0

package target_test

import (
	"fmt"
	"os"
	"testing"

	"go.uber.org/goleak"

	"github.com/rdsproxy/rdsproxy/test/pgserver"
)

func TestMain(m *testing.M) {
	if os.Getenv(childEnv) != "" {
		os.Exit(m.Run()) // a test's child needs no servers
	}
	code := pgserver.Main(m)
	if err := goleak.Find(goleak.IgnoreAnyFunction("github.com/rdsproxy/rdsproxy/test/pgserver.init.func1.1")); err != nil && code == 0 {
		fmt.Fprintln(os.Stderr, err)
		code = 1
	}
	os.Exit(code)
}
