// SPDX-License-Identifier: Apache-2.0

package main

import (
	"errors"
	"fmt"

	"github.com/spf13/cobra"

	"github.com/rdsproxy/rdsproxy/pkg/config"
)

// Exit codes. They are an interface: service managers and scripts tell them apart.
const (
	exitOK      = 0
	exitFailure = 1 // something failed at run time; starting again may help
	exitUsage   = 2 // the command line is wrong
	exitConfig  = 3 // the configuration, or a file that it names, is wrong
)

// usageError is a command line that cannot be understood.
type usageError struct {
	error
	command string
}

// Unwrap implements errors.Unwrap.
func (e usageError) Unwrap() error { return e.error }

func usage(cmd *cobra.Command, err error) error {
	if err == nil {
		return nil
	}
	return usageError{err, cmd.CommandPath()}
}

// exitCode tells what kind of end an error is.
func exitCode(err error) int {
	var bad *config.Error
	var wrong usageError
	switch {
	case err == nil:
		return exitOK
	case errors.As(err, &wrong):
		return exitUsage
	case errors.As(err, &bad):
		return exitConfig
	}
	return exitFailure
}

// report is what the user reads of an error.
func report(err error) string {
	text := fmt.Sprintf("rdsproxy: %v\n", err)
	if wrong := (usageError{}); errors.As(err, &wrong) {
		text += fmt.Sprintf("See %s --help\n", wrong.command)
	}
	return text
}
