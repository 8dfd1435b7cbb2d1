// SPDX-License-Identifier: Apache-2.0

//go:build !linux

// Bench compares rdsproxy with PgBouncer. It measures with what Linux offers and runs nowhere else.
package main

import (
	"fmt"
	"os"
)

func main() {
	fmt.Fprintln(os.Stderr, "bench: the benchmark needs Linux")
	os.Exit(1)
}
