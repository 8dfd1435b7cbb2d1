// SPDX-License-Identifier: Apache-2.0

package secret_test

import (
	"context"
	"errors"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/aws/aws-sdk-go-v2/credentials"
	"go.uber.org/zap/zaptest/observer"

	"github.com/rdsproxy/rdsproxy/pkg/secret"
	"github.com/rdsproxy/rdsproxy/test/fakeaws"
)

const (
	awsKey    = "AKIDEXAMPLE0123456789"
	awsSecret = "wJalrXUtnFEMI/hiddenAWS"
)

// withoutEnvironment keeps the settings of whoever runs the tests out.
func withoutEnvironment(t *testing.T) {
	t.Helper()
	for name, value := range map[string]string{
		"AWS_CONFIG_FILE": "/dev/null", "AWS_SHARED_CREDENTIALS_FILE": "/dev/null", "AWS_EC2_METADATA_DISABLED": "true",
		"AWS_PROFILE": "", "AWS_REGION": "", "AWS_DEFAULT_REGION": "", "AWS_ACCESS_KEY_ID": "", "AWS_SECRET_ACCESS_KEY": "",
		"AWS_SESSION_TOKEN": "", "AWS_ENDPOINT_URL": "", "AWS_ENDPOINT_URL_SECRETS_MANAGER": "", "AWS_CA_BUNDLE": "",
	} {
		t.Setenv(name, value)
	}
}

// manager is the SDK's client in front of a fake, without a socket.
func manager(t *testing.T) (*secret.SecretsManager, *fakeaws.Server) {
	t.Helper()
	s := &fakeaws.Server{}
	s.AddIdentity(fakeaws.Identity{Key: awsKey, Secret: awsSecret})
	m, err := secret.NewSecretsManager(t.Context(), secret.SecretsManagerOptions{
		Region: "eu-central-1", Credentials: credentials.NewStaticCredentialsProvider(awsKey, awsSecret, ""),
		HTTPClient: &http.Client{Transport: s.Transport()},
	})
	if err != nil {
		t.Fatal(err)
	}
	return m, s
}

// TestSecretsManager goes through a socket, with credentials and region of the environment.
func TestSecretsManager(t *testing.T) {
	withoutEnvironment(t)
	t.Setenv("AWS_ACCESS_KEY_ID", awsKey)
	t.Setenv("AWS_SECRET_ACCESS_KEY", awsSecret)
	t.Setenv("AWS_SESSION_TOKEN", "session")
	t.Setenv("AWS_REGION", "eu-central-1")
	fake := &fakeaws.Server{}
	fake.AddIdentity(fakeaws.Identity{Key: awsKey, Secret: awsSecret, Session: "session"})
	fake.PutSecret("prod/app", `{"engine":"postgres","host":"h","username":"app","password":"one","port":5432,"dbClusterIdentifier":"c"}`)
	server := httptest.NewServer(fake)
	defer server.Close()
	client := &http.Client{Transport: &http.Transport{}}
	defer client.CloseIdleConnections()
	m, err := secret.NewSecretsManager(t.Context(), secret.SecretsManagerOptions{Endpoint: server.URL, HTTPClient: client})
	if err != nil {
		t.Fatal(err)
	}
	for _, id := range []string{"secretsmanager:prod/app", fakeaws.ARN("eu-central-1", "123456789012", "prod/app")} {
		c, err := m.Fetch(t.Context(), id, secret.Current)
		if err != nil || c.Username != "app" || c.Password.Reveal() != "one" {
			t.Errorf("%s: %v %v", id, c, err)
		}
	}
	fake.PutPending("prod/app", secretJSON("two"))
	if c, err := m.Fetch(t.Context(), "secretsmanager:prod/app", secret.Pending); err != nil || c.Password.Reveal() != "two" {
		t.Error(c, err)
	}
	fake.Promote("prod/app")
	if c, err := m.Fetch(t.Context(), "secretsmanager:prod/app", secret.Previous); err != nil || c.Password.Reveal() != "one" {
		t.Error(c, err)
	}
	for _, r := range fake.Requests() {
		if r.Service != "secretsmanager" || r.Action != "GetSecretValue" || r.Status != 200 || strings.HasPrefix(r.Secret, secret.NamePrefix) {
			t.Errorf("%+v", r)
		}
	}
}

// TestSecretsManagerRegions: the region of an ARN is the one that is asked.
func TestSecretsManagerRegions(t *testing.T) {
	withoutEnvironment(t)
	m, fake := manager(t)
	fake.PutSecret("app", secretJSON("one"))
	for id, host := range map[string]string{
		"secretsmanager:app": "secretsmanager.eu-central-1.amazonaws.com",
		"arn:aws:secretsmanager:us-west-2:123456789012:secret:app-AbCdEf":     "secretsmanager.us-west-2.amazonaws.com",
		"arn:aws-cn:secretsmanager:cn-north-1:123456789012:secret:app-AbCdEf": "secretsmanager.cn-north-1.amazonaws.com.cn",
	} {
		_, _ = m.Fetch(t.Context(), id, secret.Current) // the fake knows the first of them
		list := fake.Requests()
		if got := list[len(list)-1].Host; got != host {
			t.Errorf("%s: %s", id, got)
		}
	}
}

// TestSecretsManagerFailures: each says what is wrong, and nothing of what is in the secret.
func TestSecretsManagerFailures(t *testing.T) {
	withoutEnvironment(t)
	reply := func(status int, body string) func(http.ResponseWriter, *http.Request) bool {
		return func(w http.ResponseWriter, _ *http.Request) bool {
			w.Header().Set("Content-Type", "application/x-amz-json-1.1")
			w.WriteHeader(status)
			_, _ = w.Write([]byte(body)) // a client that has left misses nothing
			return true
		}
	}
	for name, tt := range map[string]struct {
		id    string
		do    func(*fakeaws.Server)
		kind  error
		want  string
		asked int
	}{
		"missing":     {"secretsmanager:none", nil, secret.ErrNotFound, "not found in AWS Secrets Manager", 1},
		"a file":      {"/run/secrets/app", nil, secret.ErrUnsupported, "neither an ARN nor secretsmanager:NAME", 0},
		"another ARN": {"arn:aws:s3:::bucket", nil, secret.ErrUnsupported, "not the ARN of a secret", 0},
		"half an ARN": {"arn:aws", nil, secret.ErrUnsupported, "not the ARN of a secret", 0},
		"not JSON":    {"secretsmanager:x", func(s *fakeaws.Server) { s.PutSecret("x", hidden) }, secret.ErrMalformed, "malformed: is not JSON at byte 1", 1},
		"no password": {"secretsmanager:x", func(s *fakeaws.Server) { s.PutSecret("x", `{"username":"`+hidden+`"}`) }, secret.ErrMalformed, `has no member "password"`, 1},
		"too large":   {"secretsmanager:x", func(s *fakeaws.Server) { s.PutSecret("x", strings.Repeat(hidden, 6000)) }, secret.ErrTooLarge, "more than 65536 bytes", 1},
		"wrong keys":  {"secretsmanager:x", func(s *fakeaws.Server) { s.AddIdentity(fakeaws.Identity{Key: awsKey, Secret: "other"}) }, nil, "answers SignatureDoesNotMatch: refused by the fake", 1},
		"no permission": {"secretsmanager:x", func(s *fakeaws.Server) {
			s.SetFault(reply(400, `{"__type":"AccessDeniedException","Message":"not authorized"}`))
		}, nil, "answers AccessDeniedException: not authorized", 0},
		"down":           {"secretsmanager:x", func(s *fakeaws.Server) { s.SetFault(fakeaws.Down) }, nil, "AWS Secrets Manager", 0},
		"broken JSON":    {"secretsmanager:x", func(s *fakeaws.Server) { s.SetFault(reply(200, `{"SecretString":"`+hidden)) }, nil, "answer of AWS Secrets Manager is not understood", 0},
		"an empty value": {"secretsmanager:x", func(s *fakeaws.Server) { s.SetFault(reply(200, `{}`)) }, secret.ErrMalformed, "is empty", 0},
	} {
		t.Run(name, func(t *testing.T) {
			m, fake := manager(t)
			if tt.do != nil {
				tt.do(fake)
			}
			_, err := m.Fetch(t.Context(), tt.id, secret.Current)
			if err == nil || !strings.Contains(err.Error(), tt.want) || tt.kind != nil && !errors.Is(err, tt.kind) {
				t.Fatalf("%v, want %s", err, tt.want)
			}
			if n := len(fake.Requests()); n != tt.asked {
				t.Errorf("%d requests", n)
			}
			refuse(t, "the error", err.Error())
			if strings.Contains(err.Error(), awsSecret) {
				t.Error("shows the key")
			}
		})
	}
	for _, endpoint := range []string{"x", "ftp://x", "https://a:b@x", "://"} {
		if _, err := secret.NewSecretsManager(t.Context(), secret.SecretsManagerOptions{Endpoint: endpoint}); err == nil {
			t.Errorf("accepted %s", endpoint)
		}
	}
}

// TestSecretsManagerRotation: the SDK's client, the cache and a rotation under load, first with Secrets Manager at work and then
// with Secrets Manager down for ten minutes. No login fails, and nothing that was printed shows a password.
func TestSecretsManagerRotation(t *testing.T) {
	withoutEnvironment(t)
	passwords := []string{"hidden-one", "hidden-two", "hidden-three"}
	for _, order := range []string{"database first", "secret first"} {
		t.Run(order, func(t *testing.T) {
			log, logs := observed()
			synctest.Test(t, func(t *testing.T) {
				m, fake := manager(t)
				id := "secretsmanager:app"
				fake.PutSecret("app", secretJSON(passwords[0]))
				d := &database{password: passwords[0]}
				c := secret.NewCache(m, secret.CacheOptions{RefreshInterval: time.Minute, Log: log})
				stores := secret.NewStores(secret.NewFileStore(secret.FileOptions{PollOnly: true}), c)
				ctx, stop := context.WithCancel(t.Context())
				var running sync.WaitGroup
				running.Go(func() { stores.Run(ctx) })
				for range 200 {
					running.Go(func() { loginUntil(ctx, t, d, stores, id) })
				}
				for _, p := range passwords[1:] {
					wait(5 * time.Minute)
					if order == "database first" {
						fake.PutPending("app", secretJSON(p))
						d.set(p)
						wait(90 * time.Second)
						fake.Promote("app")
					} else {
						fake.PutSecret("app", secretJSON(p))
						wait(90 * time.Second)
						d.set(p)
					}
				}
				wait(5 * time.Minute)
				changed := stores.Changed()
				fake.SetFault(fakeaws.Down)
				wait(10 * time.Minute)
				want(t, stores, id, "app:"+passwords[2])
				select {
				case <-changed:
					t.Error("something changed while Secrets Manager was down")
				default:
				}
				if f := stores.Failures(); len(f) != 1 || !f[0].Stale {
					t.Errorf("%+v", f)
				}
				stop()
				running.Wait()
				if n := len(fake.Requests()); n > 120 {
					t.Errorf("%d requests for one secret", n)
				}
			})
			hidesAll(t, logs, append(passwords, awsSecret))
		})
	}
}

// loginUntil logs in again and again.
func loginUntil(ctx context.Context, t *testing.T, d *database, store secret.Rotator, id string) {
	t.Helper()
	for ctx.Err() == nil {
		if _, err := d.login(ctx, store, id); err != nil && ctx.Err() == nil {
			t.Error(err)
		}
		time.Sleep(time.Second) //nolint:forbidigo // virtual time
	}
}

// hidesAll looks for secrets in all lines of a log.
func hidesAll(t *testing.T, logs *observer.ObservedLogs, secrets []string) {
	t.Helper()
	if logs.Len() == 0 {
		t.Error("nothing was logged")
	}
	for _, line := range logs.All() {
		text := line.Message
		for _, f := range line.Context {
			text += " " + f.String
			if err, ok := f.Interface.(error); ok {
				text += " " + err.Error()
			}
		}
		for _, s := range secrets {
			if strings.Contains(text, s) {
				t.Errorf("shows a secret: %s", text)
			}
		}
	}
}
