// SPDX-License-Identifier: Apache-2.0

package pglogin_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5/pgconn"

	"github.com/rdsproxy/rdsproxy/pkg/auth"
	"github.com/rdsproxy/rdsproxy/pkg/iam"
	"github.com/rdsproxy/rdsproxy/pkg/proxy/login"
	"github.com/rdsproxy/rdsproxy/pkg/proxy/pglogin"
	"github.com/rdsproxy/rdsproxy/pkg/secret"
)

const tokenForm = "db.example:5432/?Action=connect"

// tokenList takes one token, and counts those that it was asked about.
type tokenList struct {
	good  string
	why   iam.Reason
	asked int
}

func (*tokenList) Accepts(password string) bool { return strings.HasPrefix(password, tokenForm) }

func (x *tokenList) Verify(_ context.Context, _ string, token secret.Password) error {
	x.asked++
	if token.Reveal() == x.good {
		return nil
	}
	return &iam.Rejection{Reason: x.why}
}

func tokenUsers(t *testing.T) users {
	t.Helper()
	either, err := auth.NewCredential("eve", plainPassword, auth.TokenOrPassword)
	if err != nil {
		t.Fatal(err)
	}
	return users{"tom": auth.NewToken("tom"), "eve": either}
}

// TestTokens: what becomes of tokens and passwords of users who may, or have to, log in by token. The client is a real one.
func TestTokens(t *testing.T) {
	good := tokenForm + strings.Repeat("&x=0123456789", 200) // more than 2 KB
	bad := tokenForm + "&bad"
	refused := func(user string) string {
		return "28000: IAM authentication failed for user " + user + ". Check the IAM token for this user and try again."
	}
	wrong := func(user string) string {
		return fmt.Sprintf("28P01: password authentication failed for user %q", user)
	}
	const noTLS = "28000: IAM authentication is allowed only with SSL connections."
	pair := certificate("ecdsa")
	for _, c := range []struct {
		name, user, password string
		tls                  bool
		unknown              auth.Method
		why                  iam.Reason
		want                 string // method, or the error
		reason               string
		asked                int
	}{
		{"token", "tom", good, true, 0, 0, "token", "", 1},
		{"bad token", "tom", bad, true, 0, iam.Expired, refused("tom"), "token_refused", 1},
		{"no token", "tom", plainPassword, true, 0, iam.Malformed, refused("tom"), "token_refused", 1},
		{"token without TLS", "tom", good, false, 0, 0, noTLS, "token_refused", 0},
		{
			"too many", "tom", bad, true, 0, iam.RateLimited,
			"53300: The IAM authentication failed for the role tom because of too many competing requests.", "token_refused", 1,
		},
		{"either, token", "eve", good, true, 0, 0, "token", "", 1},
		{"either, password", "eve", plainPassword, true, 0, 0, "password", "", 0},
		{"either, password without TLS", "eve", plainPassword, false, 0, 0, "scram-sha-256", "", 0},
		{"either, token without TLS", "eve", good, false, 0, 0, wrong("eve"), "wrong_password", 0},
		{"either, bad token", "eve", bad, true, 0, iam.BadSignature, refused("eve"), "token_refused", 1},
		{"either, wrong password", "eve", "x", true, 0, 0, wrong("eve"), "wrong_password", 0},
		{"unknown, good token", "ann", good, true, auth.Token, 0, refused("ann"), "unknown_user", 1},
		{"unknown, bad token", "ann", bad, true, auth.Token, iam.WrongUser, refused("ann"), "unknown_user", 1},
		{"unknown, no TLS", "ann", good, false, auth.Token, 0, noTLS, "token_refused", 0},
		{"unknown, either, token", "ann", good, true, auth.TokenOrPassword, 0, refused("ann"), "unknown_user", 1},
		{"unknown, either, password", "ann", "x", true, auth.TokenOrPassword, 0, wrong("ann"), "unknown_user", 0},
	} {
		t.Run(c.name, func(t *testing.T) {
			x := &tokenList{good: good, why: c.why}
			cfg := &pglogin.Config{Users: tokenUsers(t), UnknownMethod: c.unknown, Tokens: x, TLS: offer(pair)}
			addr, outcomes := server(t, cfg)
			host, port, _ := strings.Cut(addr, ":")
			mode := map[bool]string{true: "require", false: "disable"}[c.tls]
			dsn := fmt.Sprintf("host=%s port=%s user=%s password='%s' dbname=shop connect_timeout=5 sslmode=%s", host, port, c.user, c.password, mode)
			_, err := connect(t, dsn, pair, 0)
			got := ""
			if told := (*pgconn.PgError)(nil); errors.As(err, &told) {
				got = told.Code + ": " + told.Message
			} else if err != nil {
				t.Fatal(err)
			}
			o := <-outcomes
			if o.err == nil {
				got = o.login.AuthMethod
			}
			reason := ""
			if e := (*login.Error)(nil); errors.As(o.err, &e) {
				reason = e.Reason.String()
				if strings.Contains(e.Error(), c.password) {
					t.Errorf("the error shows the password: %v", e)
				}
			}
			if got != c.want || reason != c.reason || x.asked != c.asked {
				t.Errorf("got %s, reason %s, asked %d (%v)", got, reason, x.asked, o.err)
			}
		})
	}
}

// TestTokensNotSetUp: nobody gets in.
func TestTokensNotSetUp(t *testing.T) {
	pair := certificate("ecdsa")
	addr, outcomes := server(t, &pglogin.Config{Users: tokenUsers(t), TLS: offer(pair)})
	host, port, _ := strings.Cut(addr, ":")
	if _, err := connect(t, fmt.Sprintf("host=%s port=%s user=tom password=x dbname=shop sslmode=require", host, port), pair, 0); err == nil {
		t.Error("logged in")
	}
	if o := <-outcomes; o.err == nil || !strings.Contains(o.err.Error(), "not set up") {
		t.Error(o.err)
	}
}
