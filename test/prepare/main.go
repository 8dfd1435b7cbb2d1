// SPDX-License-Identifier: Apache-2.0

// Command prepare brings the database servers and tools that the tests need onto
// this machine, ahead of the tests, and prints what there is. What cannot be had is
// reported; it ends with an error only if CI=true, since the tests skip otherwise.
package main

import (
	"context"
	"fmt"
	"os"
	"strconv"

	"github.com/rdsproxy/rdsproxy/test/myserver"
	"github.com/rdsproxy/rdsproxy/test/pgserver"
)

// report prints what there is, and counts what there is not.
type report struct{ missing int }

func (r *report) line(what, version, origin string, err error) {
	if err != nil {
		r.missing++
		fmt.Printf("%-18s missing: %v\n", what, err)
		return
	}
	fmt.Printf("%-18s %s from %s\n", what, version, origin)
}

func main() {
	ctx := context.Background() // bounded by the limits of its steps
	r := &report{}
	postgres(ctx, r)
	mysql(ctx, r)
	if r.missing > 0 && os.Getenv("CI") == "true" {
		os.Exit(1)
	}
}

func postgres(ctx context.Context, r *report) {
	for _, v := range pgserver.Versions() {
		what := fmt.Sprintf("PostgreSQL %d", v)
		if v == 0 {
			what = "PostgreSQL"
		}
		inst, err := pgserver.Find(ctx, v)
		r.line(what, strconv.Itoa(inst.Version), inst.Origin, err)
	}
	inst, err := pgserver.Tools(ctx)
	r.line("PostgreSQL tools", strconv.Itoa(inst.Version), inst.Origin, err)
}

func mysql(ctx context.Context, r *report) {
	for _, f := range myserver.Flavors() {
		inst, err := myserver.Find(ctx, f)
		r.line(string(f), inst.Version, inst.Origin, err)
	}
	path, err := myserver.Sysbench(ctx)
	r.line("sysbench", "1", path, err)
}
