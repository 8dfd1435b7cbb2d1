// SPDX-License-Identifier: Apache-2.0

package fakeaws_test

import (
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/service/secretsmanager"
	"github.com/aws/aws-sdk-go-v2/service/secretsmanager/types"
	"github.com/aws/aws-sdk-go-v2/service/sts"
	"github.com/aws/smithy-go"

	"github.com/rdsproxy/rdsproxy/test/fakeaws"
)

const (
	key    = "AKIDEXAMPLE0123456789"
	secret = "a secret"
)

func fake(t *testing.T) (*fakeaws.Server, string) {
	t.Helper()
	s := &fakeaws.Server{}
	s.AddIdentity(fakeaws.Identity{Key: key, Secret: secret, ARN: "arn:aws:iam::123456789012:user/u", Account: "123456789012", UserID: "AIDA"})
	server := httptest.NewServer(s)
	t.Cleanup(server.Close)
	return s, server.URL
}

// TestSDKClients: the SDK's own clients are served, and those with other keys are not.
func TestSDKClients(t *testing.T) {
	s, url := fake(t)
	s.PutSecret("app", "text")
	for _, tt := range []struct{ key, secret, session, want string }{
		{key, secret, "", ""},
		{key, "other", "", "SignatureDoesNotMatch"},
		{"AKIDOTHER", secret, "", "InvalidClientTokenId"},
		{key, secret, "session", "InvalidClientTokenId"},
	} {
		p := credentials.NewStaticCredentialsProvider(tt.key, tt.secret, tt.session)
		m := secretsmanager.New(secretsmanager.Options{Region: "eu-central-1", BaseEndpoint: &url, Credentials: p, RetryMaxAttempts: 1})
		out, err := m.GetSecretValue(t.Context(), &secretsmanager.GetSecretValueInput{SecretId: aws.String("app")})
		check(t, err, tt.want)
		if err == nil && (*out.SecretString != "text" || *out.Name != "app" || *out.ARN != fakeaws.ARN("eu-central-1", "123456789012", "app")) {
			t.Errorf("%+v", out)
		}
		c := sts.New(sts.Options{Region: "eu-central-1", BaseEndpoint: &url, Credentials: p, RetryMaxAttempts: 1})
		who, err := c.GetCallerIdentity(t.Context(), &sts.GetCallerIdentityInput{})
		check(t, err, tt.want)
		if err == nil && (*who.Arn != "arn:aws:iam::123456789012:user/u" || *who.Account != "123456789012" || *who.UserId != "AIDA") {
			t.Errorf("%+v", who)
		}
	}
	s.DeleteSecret("app")
	m := secretsmanager.New(secretsmanager.Options{Region: "eu-central-1", BaseEndpoint: &url, Credentials: credentials.NewStaticCredentialsProvider(key, secret, "")})
	_, err := m.GetSecretValue(t.Context(), &secretsmanager.GetSecretValueInput{SecretId: aws.String("app")})
	if missing := (*types.ResourceNotFoundException)(nil); !errors.As(err, &missing) {
		t.Error(err)
	}
}

func check(t *testing.T, err error, code string) {
	t.Helper()
	api := smithy.APIError(nil)
	if got := errors.As(err, &api); got != (code != "") || got && api.ErrorCode() != code {
		t.Errorf("%v, want %q", err, code)
	}
}

// TestPresigned: a presigned request is good as it is, for its time, and not with any change.
func TestPresigned(t *testing.T) {
	s, url := fake(t)
	now := time.Now()
	s.Now = func() time.Time { return now }
	c := sts.NewPresignClient(sts.New(sts.Options{Region: "eu-central-1", BaseEndpoint: &url, Credentials: credentials.NewStaticCredentialsProvider(key, secret, "")}))
	r, err := c.PresignGetCallerIdentity(t.Context(), &sts.GetCallerIdentityInput{})
	if err != nil {
		t.Fatal(err)
	}
	get := func(url, accept string) (int, string) {
		req, err := http.NewRequestWithContext(t.Context(), r.Method, url, nil)
		if err != nil {
			t.Fatal(err)
		}
		req.Header.Set("Accept", accept)
		resp, err := http.DefaultClient.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		defer resp.Body.Close()
		body, err := io.ReadAll(resp.Body)
		if err != nil {
			t.Fatal(err)
		}
		return resp.StatusCode, string(body)
	}
	life := strings.Replace(r.URL, "X-Amz-Expires", "x", 1)
	if status, _ := get(life, ""); status != http.StatusForbidden {
		t.Errorf("without expiry: %d", status)
	}
	for _, change := range []struct{ from, to string }{{"GetCallerIdentity", "GetSessionToken"}, {"eu-central-1", "eu-west-1"}, {"Version=2011-06-15", "Version=2011-06-16"}, {"X-Amz-Signature=", "X-Amz-Signature=0"}} {
		if status, body := get(strings.Replace(r.URL, change.from, change.to, 1), "application/json"); status != http.StatusForbidden {
			t.Errorf("%v: %d %s", change, status, body)
		}
	}
}
