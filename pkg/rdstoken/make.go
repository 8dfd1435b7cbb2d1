// SPDX-License-Identifier: Apache-2.0

// Package rdstoken makes tokens that take the place of a database password: the one that RDS and package iam take (`aws rds
// generate-db-auth-token`), and the STS form that package iam takes. A Provider keeps tokens for the proxy's own logins to a
// database, and makes new ones before they end.
//
// Making a token asks nobody: it is a signature with the credentials of the default chain of AWS. Only to get those may take
// a request.
package rdstoken

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	v4 "github.com/aws/aws-sdk-go-v2/aws/signer/v4"
	"github.com/aws/aws-sdk-go-v2/feature/rds/auth"

	"github.com/rdsproxy/rdsproxy/pkg/iam"
	"github.com/rdsproxy/rdsproxy/pkg/secret"
)

// Life is how long a token is good for a login, unless the credentials that made it end before.
const Life = 15 * time.Minute

// emptyPayload is the SHA-256 of nothing.
const emptyPayload = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"

// RDS makes the token with which user logs in at an address. Errors do not show credentials.
func RDS(ctx context.Context, credentials aws.CredentialsProvider, at iam.Address, region, user string) (secret.Password, error) {
	if err := check(credentials, at, region, user); err != nil {
		return secret.Password{}, err
	}
	text, err := auth.BuildAuthToken(ctx, at.String(), region, user, credentials)
	if err != nil {
		return secret.Password{}, fmt.Errorf("token for %s: %w", at, err)
	}
	return secret.NewPassword(text), nil
}

// STS makes the token of the STS form: a presigned GetCallerIdentity for the region's STS, with the address and the user in
// the signed header iam.ServerIDHeader, and again in a parameter behind the signature.
func STS(ctx context.Context, credentials aws.CredentialsProvider, at iam.Address, region, user string, now time.Time) (secret.Password, error) {
	if err := check(credentials, at, region, user); err != nil {
		return secret.Password{}, err
	}
	c, err := credentials.Retrieve(ctx)
	if err != nil {
		return secret.Password{}, fmt.Errorf("token for %s: %w", at, err)
	}
	query := url.Values{"Action": {"GetCallerIdentity"}, "Version": {"2011-06-15"}, "X-Amz-Expires": {"900"}}
	u := url.URL{Scheme: "https", Host: stsHost(region), Path: "/", RawQuery: query.Encode()}
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, u.String(), nil)
	if err != nil {
		return secret.Password{}, fmt.Errorf("token for %s: the region gives no host name", at)
	}
	id := iam.ServerID(at, user)
	req.Header.Set(iam.ServerIDHeader, id)
	signed, _, err := v4.NewSigner().PresignHTTP(ctx, c, req, emptyPayload, "sts", region, now)
	if err != nil {
		return secret.Password{}, fmt.Errorf("token for %s: it cannot be signed", at)
	}
	return secret.NewPassword(strings.TrimPrefix(signed, "https://") + "&" + iam.ServerIDParameter + "=" + url.QueryEscape(id)), nil
}

func check(credentials aws.CredentialsProvider, at iam.Address, region, user string) error {
	switch {
	case credentials == nil:
		return errors.New("no credentials")
	case at.Host == "" || at.Port == 0:
		return errors.New("a token needs a host and a port")
	case region == "":
		return errors.New("a token needs a region")
	case user == "":
		return errors.New("a token needs a database user")
	}
	return nil
}

func stsHost(region string) string {
	if strings.HasPrefix(region, "cn-") {
		return "sts." + region + ".amazonaws.com.cn"
	}
	return "sts." + region + ".amazonaws.com"
}
