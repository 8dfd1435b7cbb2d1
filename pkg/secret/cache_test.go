// SPDX-License-Identifier: Apache-2.0

package secret_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/rdsproxy/rdsproxy/pkg/secret"
)

// source is a Source that a test turns as it likes.
type source struct {
	mu      sync.Mutex
	stages  map[secret.Stage]secret.Credential
	err     error
	takes   time.Duration
	calls   []secret.Stage
	times   []time.Time
	running int
	most    int // requests at once
}

func newSource(password string) *source {
	s := &source{stages: map[secret.Stage]secret.Credential{}}
	s.put(secret.Current, password)
	return s
}

func credential(password string) secret.Credential {
	return secret.Credential{Username: "app", Password: secret.NewPassword(password)}
}

func (s *source) put(stage secret.Stage, password string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.stages[stage] = credential(password)
}

func (s *source) fail(err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.err = err
}

func (s *source) Fetch(ctx context.Context, _ string, stage secret.Stage) (secret.Credential, error) {
	s.mu.Lock()
	s.calls, s.times = append(s.calls, stage), append(s.times, time.Now())
	s.running++
	s.most = max(s.most, s.running)
	takes := s.takes
	s.mu.Unlock()
	t := time.NewTimer(takes)
	defer t.Stop()
	var cut error
	select {
	case <-t.C:
	case <-ctx.Done():
		cut = context.Cause(ctx)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.running--
	if cut != nil {
		return secret.Credential{}, cut
	}
	if s.err != nil {
		return secret.Credential{}, s.err
	}
	c, ok := s.stages[stage]
	if !ok {
		return secret.Credential{}, secret.ErrNotFound
	}
	return c, nil
}

func (s *source) count() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.calls)
}

// never is a Random that takes nothing off.
func never() float64 { return 0 }

// bubble runs a test under virtual time with a cache that is kept up to date.
func bubble(t *testing.T, s secret.Source, o secret.CacheOptions, f func(t *testing.T, c *secret.Cache)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		if o.Random == nil {
			o.Random = never
		}
		c := secret.NewCache(s, o)
		ctx, stop := context.WithCancel(t.Context())
		var running sync.WaitGroup
		running.Go(func() { c.Run(ctx) })
		f(t, c)
		stop()
		running.Wait()
		synctest.Wait()
	})
}

func wait(d time.Duration) {
	time.Sleep(d) //nolint:forbidigo // virtual time
	synctest.Wait()
}

func TestCacheAnswersFromMemory(t *testing.T) {
	s := newSource("one")
	bubble(t, s, secret.CacheOptions{}, func(t *testing.T, c *secret.Cache) {
		for range 100 {
			want(t, c, "id", "app:one")
		}
		if n := s.count(); n != 1 {
			t.Errorf("%d requests", n)
		}
	})
}

// TestCacheOneFlight: many callers at once are one request, and one that leaves does not end it for the others.
func TestCacheOneFlight(t *testing.T) {
	s := newSource("one")
	s.takes = 5 * time.Second
	bubble(t, s, secret.CacheOptions{}, func(t *testing.T, c *secret.Cache) {
		var wg sync.WaitGroup
		wg.Go(func() {
			ctx, stop := context.WithTimeout(t.Context(), time.Second)
			defer stop()
			if _, err := c.Get(ctx, "id"); !errors.Is(err, context.DeadlineExceeded) {
				t.Error(err)
			}
		})
		synctest.Wait()
		for range 100 {
			wg.Go(func() { want(t, c, "id", "app:one") })
		}
		wg.Wait()
		if n := s.count(); n != 1 {
			t.Errorf("%d requests", n)
		}
	})
}

// TestCacheRefreshesAhead: nobody ever waits for a refresh, and a change is seen and told.
func TestCacheRefreshesAhead(t *testing.T) {
	s := newSource("one")
	log, logs := observed()
	bubble(t, s, secret.CacheOptions{Log: log}, func(t *testing.T, c *secret.Cache) {
		want(t, c, "id", "app:one")
		s.takes = 9 * time.Second
		changed := c.Changed()
		s.put(secret.Current, "two")
		wait(5*time.Minute + time.Second)
		start := time.Now()
		want(t, c, "id", "app:one")
		if d := time.Since(start); d != 0 {
			t.Errorf("waited %v", d)
		}
		select {
		case <-changed:
			t.Error("told too early")
		default:
		}
		wait(9 * time.Second)
		want(t, c, "id", "app:two")
		<-changed
		wait(30 * time.Minute)
		if n := s.count(); n < 7 || n > 8 {
			t.Errorf("%d requests", n)
		}
		if n := logs.FilterMessage("secret has changed").Len(); n != 1 {
			t.Errorf("%d lines", n)
		}
	})
}

// TestCacheOutage: the source is down for ten minutes, and nothing changes for those who ask the cache.
func TestCacheOutage(t *testing.T) {
	s := newSource("one")
	log, logs := observed()
	bubble(t, s, secret.CacheOptions{RefreshInterval: time.Minute, Log: log}, func(t *testing.T, c *secret.Cache) {
		want(t, c, "id", "app:one")
		changed := c.Changed()
		s.fail(errors.New("down"))
		for range 600 {
			wait(time.Second)
			start := time.Now()
			want(t, c, "id", "app:one")
			if time.Since(start) != 0 {
				t.Fatal("waited")
			}
		}
		if f := c.Failures(); len(f) != 1 || !f[0].Stale || f[0].ID != "id" || !strings.Contains(f[0].Err.Error(), `secret "id": down`) {
			t.Errorf("%+v", f)
		}
		if n := logs.FilterMessageSnippet("cannot be refreshed").Len(); n != 1 {
			t.Errorf("%d lines", n)
		}
		// 1 + 2 + 4 + ... + 60 s, and then every minute.
		if n := s.count(); n < 12 || n > 18 {
			t.Errorf("%d requests", n)
		}
		s.fail(nil)
		wait(time.Minute)
		if f := c.Failures(); len(f) != 0 {
			t.Errorf("%+v", f)
		}
		select {
		case <-changed:
			t.Error("nothing has changed")
		default:
		}
		if n := logs.FilterMessage("secret can be read now").Len(); n != 1 {
			t.Errorf("%d lines", n)
		}
	})
}

// TestCacheBackoff: pauses double up to the limit, with jitter of at most half.
func TestCacheBackoff(t *testing.T) {
	for _, tt := range []struct {
		random float64
		want   []int // milliseconds
	}{
		{0, []int{1000, 2000, 4000, 8000, 16000, 32000, 60000, 60000}},
		{0.5, []int{750, 1500, 3000, 6000, 12000, 24000, 45000, 45000}},
	} {
		s := newSource("one")
		s.fail(errors.New("down"))
		bubble(t, s, secret.CacheOptions{Random: func() float64 { return tt.random }}, func(t *testing.T, c *secret.Cache) {
			if _, err := c.Get(t.Context(), "id"); err == nil {
				t.Error("no error")
			}
			wait(5 * time.Minute)
			for i, ms := range tt.want {
				if i+1 < len(s.times) {
					if got := s.times[i+1].Sub(s.times[i]); got != time.Duration(ms)*time.Millisecond {
						t.Errorf("pause %d is %v, want %d ms", i, got, ms)
					}
				}
			}
		})
	}
}

// TestCacheFailsFast: while the source is not to be asked, the last failure is the answer; when it can be had, that is told.
func TestCacheFailsFast(t *testing.T) {
	s := newSource("one")
	s.fail(fmt.Errorf("%w in there", secret.ErrNotFound))
	bubble(t, s, secret.CacheOptions{}, func(t *testing.T, c *secret.Cache) {
		for range 100 {
			if _, err := c.Get(t.Context(), "id"); !errors.Is(err, secret.ErrNotFound) || err.Error() != `secret "id": not found in there` {
				t.Fatal(err)
			}
		}
		if n := s.count(); n != 1 {
			t.Errorf("%d requests", n)
		}
		if f := c.Failures(); len(f) != 1 || f[0].Stale {
			t.Errorf("%+v", f)
		}
		changed := c.Changed()
		s.fail(nil)
		wait(time.Second)
		<-changed
		want(t, c, "id", "app:one")
	})
}

// TestCacheMaxAge: what is older than allowed is not used anymore.
func TestCacheMaxAge(t *testing.T) {
	s := newSource("one")
	bubble(t, s, secret.CacheOptions{RefreshInterval: time.Minute, MaxAge: 10 * time.Minute}, func(t *testing.T, c *secret.Cache) {
		want(t, c, "id", "app:one")
		s.fail(errors.New("down"))
		wait(9*time.Minute + 59*time.Second)
		want(t, c, "id", "app:one")
		wait(time.Second)
		if _, err := c.Get(t.Context(), "id"); err == nil || !strings.Contains(err.Error(), "down") {
			t.Error(err)
		}
		if f := c.Failures(); len(f) != 1 || f[0].Stale {
			t.Errorf("%+v", f)
		}
		s.fail(nil)
		wait(time.Minute)
		want(t, c, "id", "app:one")
	})
}

// TestCacheTimeout: a source that does not answer is a failure, not a wait without end.
func TestCacheTimeout(t *testing.T) {
	s := newSource("one")
	s.takes = time.Hour
	bubble(t, s, secret.CacheOptions{}, func(t *testing.T, c *secret.Cache) {
		start := time.Now()
		if _, err := c.Get(t.Context(), "id"); !errors.Is(err, context.DeadlineExceeded) || time.Since(start) != 10*time.Second {
			t.Error(err, time.Since(start))
		}
	})
}

// TestCacheRetain: what is not named anymore is not asked for anymore.
func TestCacheRetain(t *testing.T) {
	s := newSource("one")
	bubble(t, s, secret.CacheOptions{RefreshInterval: time.Minute}, func(t *testing.T, c *secret.Cache) {
		want(t, c, "a", "app:one")
		want(t, c, "b", "app:one")
		c.Retain([]string{"b"})
		wait(5*time.Minute + time.Second)
		if n := s.count(); n != 7 {
			t.Errorf("%d requests", n)
		}
		c.Retain(nil)
		wait(time.Hour)
		if n := s.count(); n != 7 {
			t.Errorf("%d requests", n)
		}
	})
}

// TestCacheSpreads: secrets that were fetched at once are not refreshed at once.
func TestCacheSpreads(t *testing.T) {
	s := newSource("one")
	synctest.Test(t, func(t *testing.T) {
		c := secret.NewCache(s, secret.CacheOptions{})
		ctx, stop := context.WithCancel(t.Context())
		var running sync.WaitGroup
		running.Go(func() { c.Run(ctx) })
		for i := range 100 {
			want(t, c, fmt.Sprint(i), "app:one")
		}
		wait(6 * time.Minute)
		times := map[time.Time]bool{}
		for _, at := range s.times[100:] {
			times[at] = true
		}
		if len(s.times) != 200 || len(times) < 90 {
			t.Errorf("%d requests, %d moments", len(s.times), len(times))
		}
		stop()
		running.Wait()
	})
}
