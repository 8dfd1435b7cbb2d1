// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"fmt"
	"io"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/rdsproxy/rdsproxy/pkg/config"
)

// streams are where a command writes.
type streams struct{ out, err io.Writer }

// execute runs one command line and returns the exit code.
func execute(ctx context.Context, args []string, s streams, environ []string) int {
	cmd := newRoot(s, environ)
	cmd.SetArgs(args)
	err := cmd.ExecuteContext(ctx)
	if err != nil {
		// Where standard error is gone, the exit code still tells.
		_, _ = io.WriteString(s.err, report(err))
	}
	return exitCode(err)
}

const about = `rdsproxy stands between many database clients and a PostgreSQL, MySQL or MariaDB
database, and lets them share a few database connections, as Amazon RDS Proxy does.

To start, write two files:

  rdsproxy.yaml    target_groups:
                     - writer: localhost:5432
                   auth:
                     - user: app
                       secret: app.json

  app.json         {"username": "app", "password": "..."}

Then:

  rdsproxy check --config rdsproxy.yaml
  rdsproxy run --config rdsproxy.yaml
  psql "host=127.0.0.1 port=6432 user=app dbname=postgres"

Exit codes: 0 ended as wished, 1 failed at run time, 2 wrong command line,
3 wrong configuration.`

func newRoot(s streams, environ []string) *cobra.Command {
	root := &cobra.Command{
		Use:               "rdsproxy",
		Short:             "Share a few database connections between many clients",
		Long:              about,
		Args:              noSuchCommand,
		RunE:              func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
		SilenceErrors:     true,
		SilenceUsage:      true,
		CompletionOptions: cobra.CompletionOptions{DisableDefaultCmd: true},

		SuggestionsMinimumDistance: 2,
	}
	root.SetOut(s.out)
	root.SetErr(s.err)
	root.SetFlagErrorFunc(usage)
	root.AddCommand(newRun(s, environ), newCheck(s, environ), newToken(s), newPause(s), newResume(s), newVersion(s))
	return root
}

// noSuchCommand refuses what is left of the command line when no command was found in it.
func noSuchCommand(cmd *cobra.Command, args []string) error {
	if len(args) == 0 {
		return nil
	}
	text := fmt.Sprintf("unknown command %q", args[0])
	if near := cmd.SuggestionsFor(args[0]); len(near) > 0 {
		text += "; did you mean " + strings.Join(near, " or ") + "?"
	}
	return usage(cmd, fmt.Errorf("%s", text))
}

// noArguments refuses arguments that are not flags.
func noArguments(cmd *cobra.Command, args []string) error {
	return usage(cmd, cobra.NoArgs(cmd, args))
}

// source is where the commands that read a configuration read it from.
type source struct {
	file    string
	environ []string
	flags   *pflag.FlagSet
}

// addSource adds the flags of a configuration to a command.
func addSource(cmd *cobra.Command, environ []string) *source {
	s := &source{environ: environ, flags: cmd.Flags()}
	s.flags.SortFlags = false
	s.flags.StringVarP(&s.file, "config", "c", lookup(environ, config.EnvFile),
		"configuration file (also "+config.EnvFile+" in the environment)")
	config.AddFlags(s.flags)
	return s
}

// load reads the configuration. It is called again at each reload.
func (s *source) load() (*config.Config, error) {
	return config.Parse(config.Options{File: s.file, Environ: s.environ, Flags: s.flags})
}

func lookup(environ []string, name string) string {
	for _, e := range environ {
		if n, v, _ := strings.Cut(e, "="); n == name {
			return v
		}
	}
	return ""
}
