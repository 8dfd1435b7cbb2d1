// SPDX-License-Identifier: Apache-2.0

package secret_test

import (
	"context"
	"errors"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/rdsproxy/rdsproxy/pkg/secret"
)

func refusedOf(t *testing.T, c secret.Rotator, id, password string) ([]string, error) {
	t.Helper()
	list, err := c.Refused(t.Context(), id, credential(password))
	var texts []string
	for _, one := range list {
		texts = append(texts, one.Password.Reveal())
	}
	return texts, err
}

// TestRefused: what there is to try after a password was refused.
func TestRefused(t *testing.T) {
	for name, tt := range map[string]struct {
		current, pending, previous string
		want                       []string
	}{
		"nothing else":                  {"one", "", "", nil},
		"the current one is another":    {"two", "", "", []string{"two"}},
		"current and pending":           {"two", "three", "", []string{"two", "three"}},
		"pending only":                  {"one", "two", "", []string{"two"}},
		"previous only":                 {"one", "", "zero", []string{"zero"}},
		"all of them":                   {"two", "three", "zero", []string{"two", "three", "one"}},
		"all are the same":              {"one", "one", "one", nil},
		"pending is the current":        {"two", "two", "", []string{"two"}},
		"previous is the refused again": {"two", "", "one", []string{"two"}},
	} {
		t.Run(name, func(t *testing.T) {
			s := newSource("one")
			bubble(t, s, secret.CacheOptions{}, func(t *testing.T, c *secret.Cache) {
				want(t, c, "id", "app:one")
				s.put(secret.Current, tt.current)
				if tt.pending != "" {
					s.put(secret.Pending, tt.pending)
				}
				if tt.previous != "" {
					s.put(secret.Previous, tt.previous)
				}
				got, err := refusedOf(t, c, "id", "one")
				expect := slices.DeleteFunc(slices.Clone(tt.want), func(p string) bool { return p == "one" })
				if !slices.Equal(got, expect) || (err == nil) != (len(expect) > 0) || err != nil && !errors.Is(err, secret.ErrNoOther) {
					t.Errorf("%v %v, want %v", got, err, expect)
				}
				want(t, c, "id", "app:"+tt.current)
			})
		})
	}
}

// TestRefusedOnce: logins that fail together cost one round of requests, and for a short time no other.
func TestRefusedOnce(t *testing.T) {
	s := newSource("one")
	s.takes = 100 * time.Millisecond
	bubble(t, s, secret.CacheOptions{}, func(t *testing.T, c *secret.Cache) {
		want(t, c, "id", "app:one")
		var wg sync.WaitGroup
		for range 100 {
			wg.Go(func() {
				if got, err := refusedOf(t, c, "id", "one"); !errors.Is(err, secret.ErrNoOther) {
					t.Error(got, err)
				}
			})
		}
		wg.Wait()
		wait(time.Second)
		if _, err := refusedOf(t, c, "id", "one"); !errors.Is(err, secret.ErrNoOther) {
			t.Error(err)
		}
		if !slices.Equal(s.calls, []secret.Stage{secret.Current, secret.Current, secret.Pending, secret.Previous}) || s.most != 1 {
			t.Errorf("%v, %d at once", s.calls, s.most)
		}
		wait(2 * time.Second)
		s.put(secret.Current, "two")
		if got, err := refusedOf(t, c, "id", "one"); err != nil || !slices.Equal(got, []string{"two"}) {
			t.Error(got, err)
		}
		// What is in memory by now needs no request.
		n := s.count()
		if got, err := refusedOf(t, c, "id", "one"); err != nil || !slices.Equal(got, []string{"two"}) || s.count() != n {
			t.Error(got, err)
		}
	})
}

// TestRefusedWhileDown: a source that is down is told as such, and what is in memory serves on.
func TestRefusedWhileDown(t *testing.T) {
	s := newSource("one")
	bubble(t, s, secret.CacheOptions{}, func(t *testing.T, c *secret.Cache) {
		want(t, c, "id", "app:one")
		s.fail(errors.New("down"))
		if got, err := refusedOf(t, c, "id", "one"); err == nil || errors.Is(err, secret.ErrNoOther) || !strings.Contains(err.Error(), "down") {
			t.Error(got, err)
		}
		want(t, c, "id", "app:one")
		ctx, stop := context.WithCancelCause(t.Context())
		stop(errors.New("gone"))
		s.takes = time.Hour
		wait(time.Minute)
		if _, err := c.Refused(ctx, "id", credential("one")); err == nil || !strings.Contains(err.Error(), "gone") {
			t.Error(err)
		}
		wait(time.Minute)
	})
}

// TestVersions: what clients may log in with while database and secret differ, and after.
func TestVersions(t *testing.T) {
	s := newSource("one")
	bubble(t, s, secret.CacheOptions{RefreshInterval: time.Minute}, func(t *testing.T, c *secret.Cache) {
		versions := func(expect ...string) {
			t.Helper()
			list, err := c.Versions(t.Context(), "id")
			var got []string
			for _, one := range list {
				got = append(got, one.Password.Reveal())
			}
			if err != nil || !slices.Equal(got, expect) {
				t.Errorf("%v %v, want %v", got, err, expect)
			}
		}
		versions("one")
		// The database first: the proxy has the new one, clients the old one.
		s.put(secret.Pending, "two")
		if _, err := refusedOf(t, c, "id", "one"); err != nil {
			t.Fatal(err)
		}
		c.Accepted("id", credential("two"))
		wait(time.Hour)
		versions("two", "one")
		s.put(secret.Current, "two")
		wait(time.Hour)
		versions("two")
		// The secret first: the proxy is told of the new one, and finds that the database is behind.
		s.put(secret.Current, "three")
		wait(2 * time.Minute)
		versions("three", "two")
		c.Accepted("id", credential("two"))
		wait(time.Hour)
		versions("two", "three")
		c.Accepted("id", credential("three"))
		wait(time.Second)
		versions("three", "two")
		wait(time.Hour)
		versions("three")
		if _, err := c.Versions(t.Context(), "id"); err != nil {
			t.Error(err)
		}
		s.fail(errors.New("down"))
		if _, err := c.Versions(t.Context(), "another"); err == nil {
			t.Error("no error")
		}
	})
}

// TestRefusedOtherUser: a secret that is for another user by now is no other try.
func TestRefusedOtherUser(t *testing.T) {
	s := newSource("one")
	bubble(t, s, secret.CacheOptions{}, func(t *testing.T, c *secret.Cache) {
		want(t, c, "id", "app:one")
		s.mu.Lock()
		s.stages[secret.Current] = secret.Credential{Username: "other", Password: secret.NewPassword("two")}
		s.mu.Unlock()
		if got, err := refusedOf(t, c, "id", "one"); !errors.Is(err, secret.ErrNoOther) {
			t.Error(got, err)
		}
	})
}

// database is a server with a password, and the login of a proxy to it.
type database struct {
	mu       sync.Mutex
	password string
}

func (d *database) set(password string) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.password = password
}

func (d *database) takes(c secret.Credential) bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	return c.Password.Reveal() == d.password
}

// login logs in as the proxy is to do it: with what the store has, and after a refusal with what else there is. It returns how
// many tries were refused.
func (d *database) login(ctx context.Context, store secret.Rotator, id string) (refusals int, err error) {
	c, err := store.Get(ctx, id)
	if err != nil {
		return 0, err
	}
	if d.takes(c) {
		return 0, nil
	}
	list, err := store.Refused(ctx, id, c)
	if err != nil {
		return 1, err
	}
	for i, other := range list {
		if d.takes(other) {
			store.Accepted(id, other)
			return i + 1, nil
		}
	}
	return len(list) + 1, errors.New("all passwords are refused")
}

// TestRotation: database and secret change in all orders, in the steps of a rotation and by hand, and no login fails.
func TestRotation(t *testing.T) {
	type step = func(s *source, d *database)
	secretTo := func(p string) step {
		return func(s *source, _ *database) {
			s.mu.Lock()
			defer s.mu.Unlock()
			s.stages[secret.Previous] = s.stages[secret.Current]
			s.stages[secret.Current] = credential(p)
			delete(s.stages, secret.Pending)
		}
	}
	pending := func(p string) step { return func(s *source, _ *database) { s.put(secret.Pending, p) } }
	databaseTo := func(p string) step { return func(_ *source, d *database) { d.set(p) } }
	down := func(s *source, _ *database) { s.fail(errors.New("down")) }
	up := func(s *source, _ *database) { s.fail(nil) }
	for name, steps := range map[string][]step{
		"as Secrets Manager does it":      {pending("two"), databaseTo("two"), secretTo("two")},
		"twice":                           {pending("two"), databaseTo("two"), secretTo("two"), pending("three"), databaseTo("three"), secretTo("three")},
		"the secret first":                {secretTo("two"), databaseTo("two")},
		"the secret first, twice":         {secretTo("two"), databaseTo("two"), secretTo("three"), databaseTo("three")},
		"begun and given up":              {pending("two"), databaseTo("two"), databaseTo("one")},
		"the secret goes back":            {secretTo("two"), secretTo("one")},
		"down after the secret":           {secretTo("two"), databaseTo("two"), down},
		"down while pending, seen before": {pending("two"), databaseTo("two"), down, up, secretTo("two")},
	} {
		t.Run(name, func(t *testing.T) {
			s, d := newSource("one"), &database{password: "one"}
			bubble(t, s, secret.CacheOptions{RefreshInterval: time.Minute}, func(t *testing.T, c *secret.Cache) {
				refusals := 0
				login := func() {
					t.Helper()
					n, err := d.login(t.Context(), c, "id")
					if err != nil {
						t.Errorf("after %d refusals: %v", n, err)
					}
					refusals += n
				}
				login()
				for _, do := range steps {
					do(s, d)
					for range 300 {
						login()
						wait(time.Second)
					}
				}
				if refusals > 3*len(steps) {
					t.Errorf("%d logins were refused", refusals)
				}
			})
		})
	}
}
