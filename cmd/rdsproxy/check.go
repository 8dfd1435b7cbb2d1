// SPDX-License-Identifier: Apache-2.0

package main

import (
	"fmt"
	"time"

	"github.com/spf13/cobra"
	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"

	"github.com/rdsproxy/rdsproxy/internal/daemon"
	"github.com/rdsproxy/rdsproxy/internal/preflight"
	"github.com/rdsproxy/rdsproxy/pkg/config"
)

const aboutCheck = `Read a configuration as run does, look at the certificates and secrets that it
names, and tell everything that is wrong. Nothing is started, and no database
is asked.`

func newCheck(s streams, environ []string) *cobra.Command {
	cmd := &cobra.Command{
		Use:     "check",
		Short:   "Check a configuration and the files that it names",
		Long:    aboutCheck,
		Example: "  rdsproxy check --config rdsproxy.yaml",
		Args:    noArguments,
	}
	src := addSource(cmd, environ)
	cmd.RunE = func(cmd *cobra.Command, _ []string) error { return check(cmd, s, src) }
	return cmd
}

func check(cmd *cobra.Command, s streams, src *source) error {
	c, err := src.load()
	if err != nil {
		return err
	}
	secrets, err := daemon.NewSecrets(cmd.Context(), c, warnings(s))
	if err != nil {
		return err
	}
	r := preflight.Check(cmd.Context(), c, secrets, time.Now())
	for _, w := range r.Warnings {
		if _, err := fmt.Fprintf(s.err, "rdsproxy: warning: %v\n", w); err != nil {
			return err
		}
	}
	if len(r.Problems) > 0 {
		return &config.Error{Problems: r.Problems}
	}
	_, err = fmt.Fprintf(s.out, "The configuration is good: %s, %s, %s.\n",
		count(len(c.Endpoints), "endpoint"), count(len(c.TargetGroups), "target group"), count(len(c.Auth), "user"))
	return err
}

// warnings logs what the store of secrets warns of as the other warnings look.
func warnings(s streams) *zap.Logger {
	return zap.New(zapcore.NewCore(zapcore.NewConsoleEncoder(zapcore.EncoderConfig{
		MessageKey: "msg", LineEnding: "\n", EncodeTime: zapcore.RFC3339TimeEncoder,
	}), zapcore.AddSync(prefixed{s}), zap.WarnLevel))
}

// prefixed writes each line as a warning.
type prefixed struct{ streams }

// Write implements io.Writer.
func (p prefixed) Write(line []byte) (int, error) {
	if _, err := fmt.Fprintf(p.err, "rdsproxy: warning: %s", line); err != nil {
		return 0, err
	}
	return len(line), nil
}

func count(n int, of string) string {
	if n == 1 {
		return "1 " + of
	}
	return fmt.Sprintf("%d %ss", n, of)
}
