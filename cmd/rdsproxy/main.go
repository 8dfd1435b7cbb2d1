// SPDX-License-Identifier: Apache-2.0

// Command rdsproxy shares a few database connections between many clients.
//
// It exits with 0 after a wished end, 1 after a failure at run time, 2 when the command line is wrong, and 3 when the
// configuration is.
package main

import (
	"context"
	"os"
	"os/signal"
	"syscall"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	// The first signal asks for an orderly end. Whoever does not want to wait for it sends another, which then has the effect
	// that the daemon, or else the system, gives it.
	context.AfterFunc(ctx, stop)
	code := execute(ctx, os.Args[1:], streams{os.Stdout, os.Stderr}, os.Environ())
	stop()
	os.Exit(code)
}
