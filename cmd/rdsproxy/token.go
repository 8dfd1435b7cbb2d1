// SPDX-License-Identifier: Apache-2.0

package main

import (
	"errors"
	"fmt"
	"time"

	"github.com/aws/aws-sdk-go-v2/config"
	"github.com/spf13/cobra"

	"github.com/rdsproxy/rdsproxy/pkg/iam"
	"github.com/rdsproxy/rdsproxy/pkg/rdstoken"
	"github.com/rdsproxy/rdsproxy/pkg/secret"
)

const aboutMaking = `Make a token that takes the place of a database password, and print it.

Without --sts it is the token of "aws rds generate-db-auth-token", for proxies
that keep access keys of their own, and for RDS itself. With --sts it is a
signed question to AWS STS that the proxy asks in your name; it never learns
your keys.

The credentials are those that the AWS command line would take: environment,
profile, web identity, container, instance. A token is good for 15 minutes of
logins, for this host, port and user only. Nothing is sent anywhere.`

const exampleMaking = `  export PGPASSWORD="$(rdsproxy token --hostname proxy.example.com --port 5432 --username app --region eu-central-1)"
  psql "host=proxy.example.com port=5432 user=app dbname=app sslmode=verify-full sslrootcert=system"`

func newToken(s streams) *cobra.Command {
	var at iam.Address
	var region, user string
	var sts bool
	cmd := &cobra.Command{
		Use:     "token --hostname HOST --port PORT --username USER [--region REGION] [--sts]",
		Short:   "Make an IAM token to log in with",
		Long:    aboutMaking,
		Example: exampleMaking,
		Args:    noArguments,
	}
	f := cmd.Flags()
	f.SortFlags = false
	f.StringVar(&at.Host, "hostname", "", "name by which the client reaches the proxy")
	f.Uint16Var(&at.Port, "port", 0, "port of the proxy")
	f.StringVar(&user, "username", "", "database user")
	f.StringVar(&region, "region", "", "region (also AWS_REGION in the environment, or the profile's)")
	f.BoolVar(&sts, "sts", false, "make the form that the proxy checks with AWS STS")
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		switch {
		case at.Host == "":
			return usage(cmd, errors.New("--hostname is missing"))
		case at.Port == 0:
			return usage(cmd, errors.New("--port is missing"))
		case user == "":
			return usage(cmd, errors.New("--username is missing"))
		}
		return printToken(cmd, s, at, region, user, sts)
	}
	return cmd
}

func printToken(cmd *cobra.Command, s streams, at iam.Address, region, user string, sts bool) error {
	ctx := cmd.Context()
	c, err := config.LoadDefaultConfig(ctx, config.WithRegion(region))
	if err != nil {
		return fmt.Errorf("settings of AWS: %w", err)
	}
	if c.Region == "" {
		return usage(cmd, errors.New("--region is missing"))
	}
	var token secret.Password
	if sts {
		token, err = rdstoken.STS(ctx, c.Credentials, at, c.Region, user, time.Now())
	} else {
		token, err = rdstoken.RDS(ctx, c.Credentials, at, c.Region, user)
	}
	if err != nil {
		return err
	}
	_, err = fmt.Fprintln(s.out, token.Reveal())
	return err
}
