// SPDX-License-Identifier: Apache-2.0

package secret

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"sync"
	"time"

	"go.uber.org/zap"
)

// What a Cache does unless told otherwise.
const (
	DefaultRefreshInterval = 5 * time.Minute
	DefaultFetchTimeout    = 10 * time.Second
	DefaultForceInterval   = 2 * time.Second
	DefaultBackoffMin      = time.Second
	DefaultBackoffMax      = time.Minute
	DefaultGrace           = 5 * time.Minute
)

// CacheOptions set up a Cache. The zero CacheOptions work. Durations take the place of their defaults when above zero.
type CacheOptions struct {
	// RefreshInterval is how long a credential is used before it is fetched again, in the background; up to a tenth less, so that
	// not all secrets are fetched at once.
	RefreshInterval time.Duration
	// MaxAge is how long a credential is used after it was last fetched. Zero is without end: an outage of the source harms
	// nobody who is known.
	MaxAge time.Duration
	// FetchTimeout bounds one request to the source.
	FetchTimeout time.Duration
	// ForceInterval is how long after a forced refresh its outcome stands for the next one: a wrong password makes many logins
	// fail at once, and each of them asks.
	ForceInterval time.Duration
	// BackoffMin and BackoffMax bound the pause after a failed request, which doubles each time; jitter takes up to half of it.
	BackoffMin, BackoffMax time.Duration
	// Grace is how long after a change the credential of before is still among Versions.
	Grace time.Duration
	// Random returns a number from 0 to below 1, for jitter; nil is math/rand.
	Random func() float64
	// Log gets a line when a secret changes, and when it cannot be refreshed; nil means no log.
	Log *zap.Logger
}

// Cache is a Store in front of a Source. It answers from memory, fetches a secret again before it is needed, keeps the last good
// value while that fails, and never asks twice at once for the same secret.
type Cache struct {
	source Source
	opts   CacheOptions
	log    *zap.Logger
	wake   chan struct{} // Run has to look at its schedule anew

	mu struct { // nothing slow is done under it
		sync.Mutex
		entries map[string]*cached
		changed chan struct{}
	}
}

var _ Store = (*Cache)(nil)

// cached is one secret, from the first Get for it on. Its fields are guarded by Cache.mu.
type cached struct {
	id   string
	good *Credential // nil until it was fetched once
	// fetched is when the source last gave good, or said that it is still so.
	fetched time.Time
	// before is what good was before the last change, for databases that are behind; nil if nothing.
	before    *Credential
	changedAt time.Time
	// outdated is a current version that the database refused while it took good, so good stays until there is another
	// current version; nil in ordinary times.
	outdated *Credential
	failure  error // of the last fetch; nil after a good one
	failures int   // in a row
	due      time.Time
	flight   *flight // under way, or nil
	// forced is the last forced refresh, and when it ended.
	forced   *forced
	forcedAt time.Time
}

// flight is one fetch; its outcome is in the entry once done is closed.
type flight struct{ done chan struct{} }

// NewCache makes a cache. Credentials are fetched again while Run runs.
func NewCache(source Source, o CacheOptions) *Cache {
	o.RefreshInterval = cmp.Or(max(o.RefreshInterval, 0), DefaultRefreshInterval)
	o.FetchTimeout = cmp.Or(max(o.FetchTimeout, 0), DefaultFetchTimeout)
	o.ForceInterval = cmp.Or(max(o.ForceInterval, 0), DefaultForceInterval)
	o.BackoffMin = cmp.Or(max(o.BackoffMin, 0), DefaultBackoffMin)
	o.Grace = cmp.Or(max(o.Grace, 0), DefaultGrace)
	o.BackoffMax = max(cmp.Or(max(o.BackoffMax, 0), DefaultBackoffMax), o.BackoffMin)
	if o.Random == nil {
		o.Random = rand.Float64 // spreads requests; nobody gains by guessing it
	}
	c := &Cache{source: source, opts: o, log: cmp.Or(o.Log, zap.NewNop()), wake: make(chan struct{}, 1)}
	c.mu.entries = map[string]*cached{}
	c.mu.changed = make(chan struct{})
	return c
}

// Get implements Store.
func (c *Cache) Get(ctx context.Context, id string) (Credential, error) {
	for {
		good, f, err := c.look(ctx, id)
		if f == nil {
			return good, err
		}
		select {
		case <-f.done:
		case <-ctx.Done():
			return Credential{}, fmt.Errorf("secret %q: %w", id, context.Cause(ctx))
		}
	}
}

// look answers from memory, with a flight to wait for, or with the last failure while the source is not to be asked.
func (c *Cache) look(ctx context.Context, id string) (Credential, *flight, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	now := time.Now()
	e := c.entryLocked(id)
	switch {
	case e.good != nil && !c.tooOldLocked(e, now):
		return *e.good, nil, nil
	case e.flight != nil:
		return Credential{}, e.flight, nil
	case e.failure != nil && now.Before(e.due):
		return Credential{}, nil, e.failure
	}
	// Others may come to wait for the same request, so it outlives this caller.
	return Credential{}, c.startLocked(context.WithoutCancel(ctx), e), nil
}

func (c *Cache) entryLocked(id string) *cached {
	e := c.mu.entries[id]
	if e == nil {
		e = &cached{id: id}
		c.mu.entries[id] = e
	}
	return e
}

func (c *Cache) tooOldLocked(e *cached, now time.Time) bool {
	return c.opts.MaxAge > 0 && now.Sub(e.fetched) >= c.opts.MaxAge
}

// startLocked begins to fetch the current version. The request has its own time limit too.
func (c *Cache) startLocked(ctx context.Context, e *cached) *flight {
	f := &flight{done: make(chan struct{})}
	e.flight = f
	go func() {
		got, err := c.fetch(ctx, e.id, Current)
		c.land(e, got, err)
		close(f.done)
	}()
	return f
}

func (c *Cache) fetch(ctx context.Context, id string, stage Stage) (Credential, error) {
	ctx, stop := context.WithTimeout(ctx, c.opts.FetchTimeout)
	defer stop()
	got, err := c.source.Fetch(ctx, id, stage)
	if err != nil {
		return Credential{}, fmt.Errorf("secret %q: %w", id, err)
	}
	return got, nil
}

// land takes over the outcome of a fetch.
func (c *Cache) land(e *cached, got Credential, err error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	now := time.Now()
	e.flight = nil
	if err != nil {
		c.failedLocked(e, err, now)
	} else {
		c.fetchedLocked(e, got, now)
	}
	c.wakeRun()
}

func (c *Cache) failedLocked(e *cached, err error, now time.Time) {
	news := e.failure == nil || e.failure.Error() != err.Error()
	e.failure = err
	e.due = now.Add(c.backoff(e.failures))
	e.failures++
	if news && e.good != nil {
		c.log.Warn("secret cannot be refreshed, the last good value stays in use", zap.String("secret", e.id), zap.Error(err))
	}
}

func (c *Cache) fetchedLocked(e *cached, got Credential, now time.Time) {
	recovered := e.failure != nil
	e.failure, e.failures, e.fetched = nil, 0, now
	e.due = now.Add(c.opts.RefreshInterval - time.Duration(c.opts.Random()*float64(c.opts.RefreshInterval)/10))
	if e.outdated != nil && e.outdated.Equal(got) {
		return // the database has the other version already, and this one is behind
	}
	e.outdated = nil
	first := e.good == nil
	changed := !first && !e.good.Equal(got)
	switch {
	case changed:
		c.takeLocked(e, got)
		c.log.Info("secret has changed", zap.String("secret", e.id))
	case first:
		e.good = &got
	}
	if recovered && !changed {
		c.log.Info("secret can be read now", zap.String("secret", e.id))
	}
	if first && recovered {
		c.announceLocked()
	}
}

// takeLocked makes a credential the good one and tells of it.
func (c *Cache) takeLocked(e *cached, next Credential) {
	e.before, e.good, e.changedAt = e.good, &next, time.Now()
	c.announceLocked()
}

func (c *Cache) announceLocked() {
	close(c.mu.changed)
	c.mu.changed = make(chan struct{})
}

// backoff is the pause after so many failures before this one.
func (c *Cache) backoff(failures int) time.Duration {
	d := c.opts.BackoffMin
	for range failures {
		if d >= c.opts.BackoffMax/2 {
			d = c.opts.BackoffMax
			break
		}
		d *= 2
	}
	return d - time.Duration(c.opts.Random()*float64(d)/2)
}

// Versions implements Rotator.
func (c *Cache) Versions(ctx context.Context, id string) ([]Credential, error) {
	good, err := c.Get(ctx, id)
	if err != nil {
		return nil, err
	}
	list := []Credential{good}
	c.mu.Lock()
	defer c.mu.Unlock()
	e := c.mu.entries[id]
	if e == nil {
		return list, nil
	}
	if e.outdated != nil && !contains(list, *e.outdated) {
		list = append(list, *e.outdated)
	}
	if e.before != nil && time.Since(e.changedAt) < c.opts.Grace && !contains(list, *e.before) {
		list = append(list, *e.before)
	}
	return list, nil
}

// Changed implements Store.
func (c *Cache) Changed() <-chan struct{} {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.mu.changed
}

// Retain forgets all secrets but those named: after a reload, those that no user has anymore.
func (c *Cache) Retain(ids []string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	maps.DeleteFunc(c.mu.entries, func(id string, _ *cached) bool { return !slices.Contains(ids, id) })
}

// Failures lists the secrets that could not be fetched when that was last tried, ordered by ID.
func (c *Cache) Failures() []Failure {
	c.mu.Lock()
	defer c.mu.Unlock()
	now := time.Now()
	var list []Failure
	for id, e := range c.mu.entries {
		if e.failure != nil {
			list = append(list, Failure{ID: id, Err: e.failure, Stale: e.good != nil && !c.tooOldLocked(e, now)})
		}
	}
	slices.SortFunc(list, func(a, b Failure) int { return cmp.Compare(a.ID, b.ID) })
	return list
}

// ErrNoOther means that there is no other credential to try.
var ErrNoOther = errors.New("no other password to try")
