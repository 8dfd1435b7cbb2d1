// SPDX-License-Identifier: Apache-2.0

package rdstoken_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"go.uber.org/goleak"

	"github.com/rdsproxy/rdsproxy/pkg/iam"
	"github.com/rdsproxy/rdsproxy/pkg/rdstoken"
	"github.com/rdsproxy/rdsproxy/pkg/secret"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const (
	keyID     = "AKIDEXAMPLE0123456789"
	secretKey = "hidden/secret+key"
	region    = "eu-central-1"
)

var at = iam.Address{Host: "db.cluster-x.eu-central-1.rds.amazonaws.com", Port: 5432}

// chain is a credential chain that a test turns as it likes.
type chain struct {
	mu      sync.Mutex
	err     error
	life    time.Duration // 0 is without end
	takes   time.Duration
	calls   int
	session string
}

func (c *chain) Retrieve(ctx context.Context) (aws.Credentials, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.calls++
	t := time.NewTimer(c.takes)
	defer t.Stop()
	select {
	case <-t.C:
	case <-ctx.Done():
		return aws.Credentials{}, context.Cause(ctx)
	}
	return aws.Credentials{
		AccessKeyID: keyID, SecretAccessKey: secretKey, SessionToken: c.session,
		CanExpire: c.life > 0, Expires: time.Now().Add(c.life),
	}, c.err
}

// keys has the one key of the tests, for every user.
type keys struct{ policy *iam.Policy }

func (k keys) Key(context.Context, string) (iam.Key, error) {
	return iam.Key{ID: keyID, Secret: secret.NewPassword(secretKey), Policy: k.policy}, nil
}

func verifier(t *testing.T) *iam.OwnKeys {
	t.Helper()
	p, err := iam.ParsePolicy([]byte(`{"Statement":{"Effect":"Allow","Action":"*","Resource":"*"}}`))
	if err != nil {
		t.Fatal(err)
	}
	v, err := iam.NewOwnKeys(iam.OwnKeysOptions{Keys: keys{p}, Resource: iam.Resource{Region: region, Account: "123456789012", ID: "prx-1"}})
	if err != nil {
		t.Fatal(err)
	}
	return v
}

// TestProvider: each token is good when it is handed out, has time left, and is not made anew without need.
func TestProvider(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c, v := &chain{}, verifier(t)
		p := rdstoken.NewProvider(c, region)
		for range 60 {
			token, err := p.Token(t.Context(), at, "app")
			if err != nil {
				t.Fatal(err)
			}
			id, err := v.Verify(t.Context(), iam.Claim{User: "app", Endpoint: []iam.Address{at}, Token: token, TLS: true})
			if err != nil {
				t.Fatal(err)
			}
			if left := time.Until(id.Expires); left < 5*time.Minute {
				t.Errorf("only %v left", left)
			}
			time.Sleep(time.Minute) //nolint:forbidigo // virtual time
		}
		if c.calls != 6 {
			t.Errorf("%d tokens in an hour", c.calls)
		}
		p.Refused(at, "app")
		if _, err := p.Token(t.Context(), at, "app"); err != nil || c.calls != 7 {
			t.Error(err, c.calls)
		}
		if _, err := p.Token(t.Context(), at, "other"); err != nil || c.calls != 8 {
			t.Error(err, c.calls)
		}
	})
}

// TestProviderOutage: without new credentials the old token serves almost to its end, and no longer.
func TestProviderOutage(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := &chain{}
		p := rdstoken.NewProvider(c, region)
		if _, err := p.Token(t.Context(), at, "app"); err != nil {
			t.Fatal(err)
		}
		c.err = errors.New("the chain is broken")
		for _, tt := range []struct {
			after time.Duration
			good  bool
		}{{9 * time.Minute, true}, {5*time.Minute + 29*time.Second, true}, {time.Second, false}} {
			time.Sleep(tt.after) //nolint:forbidigo // virtual time
			_, err := p.Token(t.Context(), at, "app")
			if (err == nil) != tt.good || err != nil && !strings.Contains(err.Error(), "the chain is broken") {
				t.Error(tt.after, err)
			}
		}
		c.err = nil
		if _, err := p.Token(t.Context(), at, "app"); err != nil {
			t.Error(err)
		}
	})
}

// TestProviderCredentialsEnd: a token is good no longer than the credentials that made it.
func TestProviderCredentialsEnd(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := &chain{life: 7 * time.Minute}
		p := rdstoken.NewProvider(c, region)
		for range 4 {
			if _, err := p.Token(t.Context(), at, "app"); err != nil {
				t.Fatal(err)
			}
			time.Sleep(time.Minute) //nolint:forbidigo // virtual time
		}
		if c.calls != 2 {
			t.Errorf("%d tokens", c.calls)
		}
	})
}

// TestProviderWaits: logins at once make one token, and none waits beyond its time.
func TestProviderWaits(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := &chain{takes: 3 * time.Second}
		p := rdstoken.NewProvider(c, region)
		var wg sync.WaitGroup
		for range 50 {
			wg.Go(func() {
				if _, err := p.Token(t.Context(), at, "app"); err != nil {
					t.Error(err)
				}
			})
		}
		synctest.Wait()
		ctx, stop := context.WithTimeout(t.Context(), time.Second)
		defer stop()
		if _, err := p.Token(ctx, at, "app"); !errors.Is(err, context.DeadlineExceeded) {
			t.Error(err)
		}
		wg.Wait()
		if c.calls != 1 {
			t.Errorf("%d tokens", c.calls)
		}
		c.takes = time.Hour
		start := time.Now()
		if _, err := p.Token(t.Context(), at, "other"); err == nil || time.Since(start) != 10*time.Second {
			t.Error(err, time.Since(start))
		}
	})
}

// TestProviderIsBounded: the users of a day do not stay in memory for ever.
func TestProviderIsBounded(t *testing.T) {
	p := rdstoken.NewProvider(&chain{}, region)
	for i := range 5000 {
		if _, err := p.Token(t.Context(), at, fmt.Sprint("user", i)); err != nil {
			t.Fatal(err)
		}
	}
}

func TestNeeds(t *testing.T) {
	good := credentials.NewStaticCredentialsProvider(keyID, secretKey, "")
	for want, f := range map[string]func() (secret.Password, error){
		"no credentials": func() (secret.Password, error) { return rdstoken.RDS(t.Context(), nil, at, region, "app") },
		"a token needs a host": func() (secret.Password, error) {
			return rdstoken.RDS(t.Context(), good, iam.Address{Port: 1}, region, "app")
		},
		"needs a host and a port": func() (secret.Password, error) {
			return rdstoken.STS(t.Context(), good, iam.Address{Host: "h"}, region, "app", time.Now())
		},
		"a token needs a region":        func() (secret.Password, error) { return rdstoken.STS(t.Context(), good, at, "", "app", time.Now()) },
		"a token needs a database user": func() (secret.Password, error) { return rdstoken.RDS(t.Context(), good, at, region, "") },
		"the region gives no host name": func() (secret.Password, error) { return rdstoken.STS(t.Context(), good, at, "a b", "app", time.Now()) },
		"token for db.cluster-x.eu-cent": func() (secret.Password, error) {
			return rdstoken.STS(t.Context(), &chain{err: errors.New("broken")}, at, region, "app", time.Now())
		},
	} {
		token, err := f()
		if err == nil || !strings.Contains(err.Error(), want) || strings.Contains(err.Error(), secretKey) || !token.IsEmpty() {
			t.Errorf("%v, want %s", err, want)
		}
	}
}

// TestNothingShows: neither a token nor a provider prints what is secret.
func TestNothingShows(t *testing.T) {
	p := rdstoken.NewProvider(&chain{session: "hidden-session"}, region)
	token, err := p.Token(t.Context(), at, "app")
	if err != nil {
		t.Fatal(err)
	}
	_, signature, _ := strings.Cut(token.Reveal(), "X-Amz-Signature=")
	for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%x"} {
		text := fmt.Sprintf(verb+verb, token, iam.Claim{User: "app", Token: token})
		if strings.Contains(text, signature) || strings.Contains(text, "hidden") || strings.Contains(text, fmt.Sprintf("%x", "hidden")) {
			t.Errorf("%s shows %s", verb, text)
		}
	}
}

func TestDefaultProvider(t *testing.T) {
	for name, value := range map[string]string{
		"AWS_CONFIG_FILE": "/dev/null", "AWS_SHARED_CREDENTIALS_FILE": "/dev/null", "AWS_EC2_METADATA_DISABLED": "true",
		"AWS_PROFILE": "", "AWS_REGION": "", "AWS_DEFAULT_REGION": "", "AWS_ACCESS_KEY_ID": keyID, "AWS_SECRET_ACCESS_KEY": secretKey, "AWS_SESSION_TOKEN": "",
	} {
		t.Setenv(name, value)
	}
	if _, err := rdstoken.NewDefaultProvider(t.Context(), ""); err == nil {
		t.Error("no region is taken")
	}
	p, err := rdstoken.NewDefaultProvider(t.Context(), region)
	if err != nil {
		t.Fatal(err)
	}
	token, err := p.Token(t.Context(), at, "app")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := verifier(t).Verify(t.Context(), iam.Claim{User: "app", Endpoint: []iam.Address{at}, Token: token, TLS: true}); err != nil {
		t.Error(err)
	}
}
