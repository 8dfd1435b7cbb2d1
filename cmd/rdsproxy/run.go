// SPDX-License-Identifier: Apache-2.0

package main

import (
	"github.com/spf13/cobra"

	"github.com/rdsproxy/rdsproxy/internal/daemon"
)

const aboutRun = `Run the proxy in the foreground, until SIGTERM or SIGINT.

The first of these signals drains: no new clients, transactions may end, up to
drain_timeout. The second ends at once. SIGHUP reads the configuration again;
if anything is wrong with the new one, the old one stays in force.

Settings come from the file, then from the environment (RDSPROXY_LOG_LEVEL for
log.level), then from the flags below; the last one wins. Endpoints, target
groups and users are written in the file; docs/configuration.md and
configs/rdsproxy.example.yaml explain every setting.`

func newRun(s streams, environ []string) *cobra.Command {
	cmd := &cobra.Command{
		Use:     "run",
		Short:   "Run the proxy",
		Long:    aboutRun,
		Example: "  rdsproxy run --config rdsproxy.yaml --log-format console",
		Args:    noArguments,
	}
	src := addSource(cmd, environ)
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		return daemon.Run(cmd.Context(), daemon.Options{Load: src.load, Version: buildVersion(), Stdout: s.out, Stderr: s.err})
	}
	return cmd
}
