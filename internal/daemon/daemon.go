// SPDX-License-Identifier: Apache-2.0

// Package daemon builds the running proxy from its configuration and ties the lives of its parts together. It is the only
// package that knows all the others.
package daemon

import (
	"context"
	"errors"
	"io"

	"github.com/rdsproxy/rdsproxy/pkg/config"
)

// Options is what the command line hands to Run.
type Options struct {
	// Load reads and checks the configuration; called at the start and at each reload.
	Load func() (*config.Config, error)
	// Version is shown in the log and on the admin listener.
	Version string
	// Stdout and Stderr are the process's own. Logs go to Stderr.
	Stdout, Stderr io.Writer
}

// Run is the life of the daemon. It returns when ctx has ended and the drain is over (nil), or on a failure. An error of
// Load at the start is returned wrapped.
func Run(_ context.Context, opts Options) error {
	if _, err := opts.Load(); err != nil {
		return err
	}
	return errors.New("not built yet")
}
