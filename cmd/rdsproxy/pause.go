// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/spf13/cobra"
)

const aboutPause = `Let clients wait while a database is switched over by hand.

Transactions under way end as they would; no new one begins until resume. Clients
see nothing but a longer wait, as long as that is shorter than the
connection_borrow_timeout. The command asks the admin listener of the daemon, on
the same machine.`

func newPause(s streams) *cobra.Command {
	return newControl(s, "pause", "Let clients wait for database connections", aboutPause)
}

func newResume(s streams) *cobra.Command {
	return newControl(s, "resume", "Let clients have database connections again", "Ends what pause has begun.")
}

// controlLimit bounds the talk with the daemon.
const controlLimit = 10 * time.Second

func newControl(s streams, verb, short, long string) *cobra.Command {
	var admin, group string
	cmd := &cobra.Command{
		Use: verb + " [--admin HOST:PORT] [--target-group NAME]", Short: short, Long: long,
		Example: "  rdsproxy " + verb + " --target-group default", Args: noArguments,
	}
	f := cmd.Flags()
	f.SortFlags = false
	f.StringVar(&admin, "admin", "127.0.0.1:9127", "the daemon's admin.listen")
	f.StringVar(&group, "target-group", "", "name of a target group; all, if there is none given")
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		ctx, stop := context.WithTimeout(cmd.Context(), controlLimit)
		defer stop()
		if err := tell(ctx, admin, verb, group); err != nil {
			return err
		}
		_, err := fmt.Fprintln(s.out, "done")
		return err
	}
	return cmd
}

// tell sends a request to the admin listener.
func tell(ctx context.Context, admin, verb, group string) error {
	at := url.URL{Scheme: "http", Host: admin, Path: "/" + verb}
	if group != "" {
		at.RawQuery = url.Values{"target_group": {group}}.Encode()
	}
	r, err := http.NewRequestWithContext(ctx, http.MethodPost, at.String(), http.NoBody)
	if err != nil {
		return fmt.Errorf("%s: %w", admin, err)
	}
	answer, err := http.DefaultClient.Do(r)
	if err != nil {
		return fmt.Errorf("the daemon cannot be asked: %w; is --admin its admin.listen?", err)
	}
	defer answer.Body.Close()
	text, err := io.ReadAll(io.LimitReader(answer.Body, 4<<10))
	if err != nil {
		return fmt.Errorf("answer of the daemon: %w", err)
	}
	if answer.StatusCode != http.StatusOK {
		return fmt.Errorf("the daemon refuses: %s", strings.TrimSpace(string(text)))
	}
	return nil
}
