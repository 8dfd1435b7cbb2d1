// SPDX-License-Identifier: Apache-2.0

package iam_test

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/rdsproxy/rdsproxy/pkg/iam"
	"github.com/rdsproxy/rdsproxy/pkg/secret"
)

// scripted is a verifier that says what it is told, after a time.
type scripted struct {
	takes time.Duration
	err   error
	calls int
	mu    *sync.Mutex
}

func (s *scripted) Accepts(token string) bool { return strings.HasPrefix(token, "token") }

func (s *scripted) Verify(context.Context, iam.Claim) (iam.Identity, error) {
	time.Sleep(s.takes) //nolint:forbidigo // virtual time: this is the network
	s.mu.Lock()
	defer s.mu.Unlock()
	s.calls++
	return iam.Identity{}, s.err
}

func reason(r iam.Reason) error { return &iam.Rejection{Reason: r} }

func from(address, token string) iam.Claim {
	return iam.Claim{User: "app", Token: secret.NewPassword(token), Client: netip.MustParseAddr(address), TLS: true}
}

// TestGateTime: failures last as long as each other, whatever they come from; success does not wait.
func TestGateTime(t *testing.T) {
	for _, tt := range []struct {
		takes, want time.Duration
		token       string
		err         error
	}{
		{0, 0, "token", nil},
		{time.Second, time.Second, "token", nil},
		{0, 500 * time.Millisecond, "token", reason(iam.BadSignature)},
		{3 * time.Millisecond, 500 * time.Millisecond, "token", reason(iam.UnknownKey)},
		{499 * time.Millisecond, 500 * time.Millisecond, "token", reason(iam.Denied)},
		{501 * time.Millisecond, time.Second, "token", reason(iam.Expired)},
		{0, 500 * time.Millisecond, "no token", nil},
		{0, 500 * time.Millisecond, "", nil},
		{0, 500 * time.Millisecond, "token", reason(iam.Unavailable)},
		{0, 500 * time.Millisecond, "token", errors.New("not a rejection")},
	} {
		synctest.Test(t, func(t *testing.T) {
			g := iam.NewGate(iam.GateOptions{Verifiers: []iam.Verifier{&scripted{takes: tt.takes, err: tt.err, mu: &sync.Mutex{}}}})
			start := time.Now()
			_, err := g.Verify(t.Context(), from("192.0.2.1", tt.token))
			if got := time.Since(start); got != tt.want {
				t.Errorf("%v took %v, want %v", err, got, tt.want)
			}
			if (err == nil) != (tt.err == nil && tt.token == "token") || err != nil && iam.ReasonOf(err) == 0 {
				t.Error(err)
			}
		})
	}
}

// TestGateOneText: what a client is told does not depend on the reason.
func TestGateOneText(t *testing.T) {
	texts := map[string]bool{}
	for r := iam.Malformed; r <= iam.RateLimited; r++ {
		if r == iam.NoTLS || r == iam.RateLimited {
			continue
		}
		rejection := &iam.Rejection{Reason: r, Detail: "detail", Err: errors.New("inner")}
		code, pg := rejection.Postgres("app")
		number, state, my := rejection.MySQL("app", "192.0.2.7")
		texts[fmt.Sprint(code, pg, number, state, my)] = true
		if r.String() == "unknown" || !strings.Contains(rejection.Error(), r.String()+": detail: inner") {
			t.Errorf("%d: %v", r, rejection)
		}
	}
	if len(texts) != 1 {
		t.Errorf("%v", texts)
	}
	for text := range texts {
		if text != "28000IAM authentication failed for user app. Check the IAM token for this user and try again.1045 28000 Access denied for user 'app'@'192.0.2.7' (using password: YES)" &&
			!strings.Contains(text, "IAM authentication failed for user app. Check the IAM token for this user and try again.") {
			t.Error(text)
		}
	}
	if iam.Reason(0).String() != "unknown" || iam.Reason(200).String() != "unknown" || iam.ReasonOf(errors.New("x")) != 0 {
		t.Error("unknown reasons")
	}
	if code, text := (&iam.Rejection{Reason: iam.NoTLS}).Postgres("app"); code != "28000" || text != "IAM authentication is allowed only with SSL connections." {
		t.Error(code, text)
	}
	if number, _, text := (&iam.Rejection{Reason: iam.RateLimited}).MySQL("app", "h"); number != 1040 || text != "IAM authentication rate limit exceeded" {
		t.Error(number, text)
	}
}

func TestGateWithoutTLS(t *testing.T) {
	v := &scripted{mu: &sync.Mutex{}}
	g := iam.NewGate(iam.GateOptions{Verifiers: []iam.Verifier{v}})
	c := from("192.0.2.1", "token")
	c.TLS = false
	if _, err := g.Verify(t.Context(), c); iam.ReasonOf(err) != iam.NoTLS || v.calls != 0 {
		t.Errorf("%v, asked %d times", err, v.calls)
	}
}

func TestGateAccepts(t *testing.T) {
	g := iam.NewGate(iam.GateOptions{Verifiers: []iam.Verifier{&scripted{mu: &sync.Mutex{}}}})
	for token, want := range map[string]bool{"token": true, "": false, "password": false, "token" + strings.Repeat("x", iam.MaxToken): false} {
		if g.Accepts(token) != want {
			t.Errorf("%.20q", token)
		}
	}
}

// TestGateRate: failures of one address are slowed down, others are not, and success costs nothing.
func TestGateRate(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		v := &scripted{mu: &sync.Mutex{}}
		g := iam.NewGate(iam.GateOptions{Verifiers: []iam.Verifier{v}, FailureBurst: 5})
		verify := func(address string) iam.Reason {
			_, err := g.Verify(t.Context(), from(address, "token"))
			return iam.ReasonOf(err)
		}
		for range 1000 {
			if r := verify("192.0.2.1"); r != 0 {
				t.Fatal(r)
			}
		}
		v.err = reason(iam.Unavailable)
		for range 20 {
			if r := verify("192.0.2.1"); r != iam.Unavailable {
				t.Fatal(r)
			}
		}
		v.err, v.takes = reason(iam.BadSignature), time.Millisecond
		var wg sync.WaitGroup
		for range 10 { // at once: more than the burst, which is paid for afterwards
			wg.Go(func() { verify("192.0.2.1") })
		}
		wg.Wait()
		calls := v.calls
		for _, address := range []string{"192.0.2.1", "::ffff:192.0.2.1"} {
			if r := verify(address); r != iam.RateLimited {
				t.Errorf("%s: %v", address, r)
			}
		}
		if v.calls != calls {
			t.Error("the token was looked at")
		}
		if r := verify("192.0.2.2"); r != iam.BadSignature {
			t.Errorf("another address: %v", r)
		}
		v.err = nil
		if r := verify("192.0.2.1"); r != iam.RateLimited {
			t.Errorf("at once: %v", r)
		}
		time.Sleep(7 * time.Second) //nolint:forbidigo // virtual time
		if r := verify("192.0.2.1"); r != 0 {
			t.Errorf("after a while: %v", r)
		}
	})
}

// TestGateTable: many addresses do not fill the memory, and one network of IPv6 counts as one.
func TestGateTable(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := iam.NewGate(iam.GateOptions{FailureTime: time.Nanosecond, FailureBurst: 1})
		verify := func(a netip.Addr) iam.Reason {
			_, err := g.Verify(t.Context(), iam.Claim{Client: a, TLS: true})
			return iam.ReasonOf(err)
		}
		if r := verify(netip.MustParseAddr("2001:db8::1")); r != iam.Malformed {
			t.Error(r)
		}
		if r := verify(netip.MustParseAddr("2001:db8::ffff:2")); r != iam.RateLimited {
			t.Errorf("the same network: %v", r)
		}
		for i := range 9000 {
			if r := verify(netip.AddrFrom4([4]byte{10, 0, byte(i >> 8), byte(i)})); r != iam.Malformed {
				t.Fatal(i, r)
			}
		}
		if r := verify(netip.MustParseAddr("2001:db8::1")); r != iam.Malformed {
			t.Errorf("the first should be forgotten: %v", r)
		}
		if r := verify(netip.Addr{}); r != iam.Malformed {
			t.Error(r)
		}
	})
}

// TestGateEndsWithContext: a client that left is not waited for.
func TestGateEndsWithContext(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := iam.NewGate(iam.GateOptions{FailureTime: time.Hour})
		ctx, stop := context.WithTimeout(t.Context(), time.Second)
		defer stop()
		start := time.Now()
		if _, err := g.Verify(ctx, from("192.0.2.1", "x")); iam.ReasonOf(err) != iam.Malformed || time.Since(start) != time.Second {
			t.Error(err, time.Since(start))
		}
	})
}
