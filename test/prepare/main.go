// SPDX-License-Identifier: Apache-2.0

// Command prepare brings the PostgreSQL servers and tools that the tests need onto
// this machine, ahead of the tests, and prints what there is. What cannot be had is
// reported; it ends with an error only if CI=true, since the tests skip otherwise.
package main

import (
	"context"
	"fmt"
	"os"

	"github.com/rdsproxy/rdsproxy/test/pgserver"
)

func main() {
	missing := 0
	report := func(what string, inst pgserver.Installation, err error) {
		if err != nil {
			missing++
			fmt.Printf("%-18s missing: %v\n", what, err)
			return
		}
		fmt.Printf("%-18s %d from %s\n", what, inst.Version, inst.Origin)
	}
	ctx := context.Background() // bounded by the limits of its steps
	for _, v := range pgserver.Versions() {
		what := fmt.Sprintf("PostgreSQL %d", v)
		if v == 0 {
			what = "PostgreSQL"
		}
		inst, err := pgserver.Find(ctx, v)
		report(what, inst, err)
	}
	inst, err := pgserver.Tools(ctx)
	report("PostgreSQL tools", inst, err)
	if missing > 0 && os.Getenv("CI") == "true" {
		os.Exit(1)
	}
}
