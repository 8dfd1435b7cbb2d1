// SPDX-License-Identifier: Apache-2.0

package secret

import (
	"context"
	"fmt"
	"time"

	"go.uber.org/zap"
)

// Rotator is a Store that knows what else to try when a database refuses a password.
type Rotator interface {
	Store
	// Refused is told that the database refused a credential that Get returned for id. It asks the source at once, and returns
	// what to try instead, in this order: the current version, the one that a rotation has pending, the one before the current.
	// None of them is the refused one; when nothing is left, the error is ErrNoOther, and when the source cannot be asked, that
	// error. Whoever then logs in calls Accepted.
	//
	// Calls for one secret share one request, and for a short time its outcome: a password that is really wrong costs the
	// source next to nothing.
	Refused(ctx context.Context, id string, refused Credential) ([]Credential, error)
	// Accepted is told that the database took a credential that Refused returned. Get returns it from then on, until the
	// current version is another one.
	Accepted(id string, taken Credential)
	// Versions returns what a client may prove that it knows: what Get returns first, then, while a rotation is under way, what
	// the source calls current though the database does not take it, and for a short time what was good before the last change.
	// Clients and databases learn of a rotation one after the other.
	Versions(ctx context.Context, id string) ([]Credential, error)
}

var _ Rotator = (*Cache)(nil)

// forced is one forced refresh. Its outcome is there once done is closed.
type forced struct {
	done       chan struct{}
	candidates []Credential // current, pending, previous, as far as there are any
	err        error        // why the current one is not among them
}

// Refused implements Rotator.
func (c *Cache) Refused(ctx context.Context, id string, refused Credential) ([]Credential, error) {
	r := c.force(ctx, id)
	select {
	case <-r.done:
	case <-ctx.Done():
		return nil, fmt.Errorf("secret %q: %w", id, context.Cause(ctx))
	}
	var list []Credential
	for _, candidate := range append(c.now(id), r.candidates...) {
		// A password for another user is not another try but another login.
		if candidate.Username == refused.Username && !candidate.Equal(refused) && !contains(list, candidate) {
			list = append(list, candidate)
		}
	}
	switch {
	case len(list) > 0:
		return list, nil
	case r.err != nil:
		return nil, r.err
	}
	return nil, fmt.Errorf("secret %q: %w", id, ErrNoOther)
}

// now is what Get returns now, if it returns anything.
func (c *Cache) now(id string) []Credential {
	c.mu.Lock()
	defer c.mu.Unlock()
	if e := c.mu.entries[id]; e != nil && e.good != nil {
		return []Credential{*e.good}
	}
	return nil
}

func contains(list []Credential, one Credential) bool {
	for _, other := range list {
		if other.Equal(one) {
			return true
		}
	}
	return false
}

// force begins a forced refresh, or finds one that is under way or has just ended.
func (c *Cache) force(ctx context.Context, id string) *forced {
	c.mu.Lock()
	defer c.mu.Unlock()
	e := c.entryLocked(id)
	if e.forced != nil && (e.forcedAt.IsZero() || time.Since(e.forcedAt) < c.opts.ForceInterval) {
		return e.forced
	}
	r := &forced{done: make(chan struct{})}
	e.forced, e.forcedAt = r, time.Time{}
	go func() {
		c.ask(context.WithoutCancel(ctx), e, r)
		c.mu.Lock()
		e.forcedAt = time.Now()
		c.mu.Unlock()
		close(r.done)
	}()
	return r
}

// ask fetches all versions. That there is no pending or previous one is the rule.
func (c *Cache) ask(ctx context.Context, e *cached, r *forced) {
	c.log.Info("the database refuses a password, asking for its secret", zap.String("secret", e.id))
	current, err := c.fetch(ctx, e.id, Current)
	if err == nil {
		r.candidates = append(r.candidates, current)
	}
	r.err = err
	c.landForced(e, current, err)
	if pending, err := c.fetch(ctx, e.id, Pending); err == nil {
		r.candidates = append(r.candidates, pending)
	}
	c.mu.Lock()
	before := e.before
	c.mu.Unlock()
	if before != nil {
		r.candidates = append(r.candidates, *before)
	} else if previous, err := c.fetch(ctx, e.id, Previous); err == nil {
		r.candidates = append(r.candidates, previous)
	}
}

// landForced takes over the current version as a fetch in the background would; a failure changes nothing about when that
// one is due.
func (c *Cache) landForced(e *cached, current Credential, err error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if err != nil {
		if e.failure == nil {
			c.log.Warn("secret cannot be refreshed, the last good value stays in use", zap.String("secret", e.id), zap.Error(err))
		}
		return
	}
	c.fetchedLocked(e, current, time.Now())
	c.wakeRun()
}

// Accepted implements Rotator.
func (c *Cache) Accepted(id string, taken Credential) {
	c.mu.Lock()
	defer c.mu.Unlock()
	e := c.mu.entries[id]
	if e == nil || e.good == nil || e.good.Equal(taken) {
		return
	}
	switch {
	case e.outdated == nil:
		e.outdated = e.good // what the source calls current is not in force at the database, yet or anymore
	case e.outdated.Equal(taken):
		e.outdated = nil // now it is
	}
	c.takeLocked(e, taken)
	c.log.Info("the database takes another version of a secret than the current one", zap.String("secret", id))
}
