// SPDX-License-Identifier: Apache-2.0

package secret

import (
	"context"
	"sync"
	"time"
)

// Run fetches secrets again before they are due, until ctx ends; then it waits for the requests that are under way.
func (c *Cache) Run(ctx context.Context) {
	var flights sync.WaitGroup
	defer flights.Wait()
	timer := time.NewTimer(0)
	defer timer.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-timer.C:
		case <-c.wake:
		}
		timer.Reset(c.startDue(ctx, &flights))
	}
}

// startDue begins to fetch what is due, and returns how long to wait for the next.
func (c *Cache) startDue(ctx context.Context, flights *sync.WaitGroup) time.Duration {
	c.mu.Lock()
	defer c.mu.Unlock()
	now := time.Now()
	next := c.opts.RefreshInterval
	for _, e := range c.mu.entries {
		if e.flight != nil || e.due.IsZero() {
			continue // it wakes Run when it lands
		}
		if wait := e.due.Sub(now); wait > 0 {
			next = min(next, wait)
			continue
		}
		f := c.startLocked(ctx, e)
		flights.Go(func() { <-f.done })
	}
	return next
}

func (c *Cache) wakeRun() {
	select {
	case c.wake <- struct{}{}:
	default:
	}
}
