// SPDX-License-Identifier: Apache-2.0

package iam

import (
	"container/list"
	"context"
	"crypto/sha256"
	"sync"
	"time"
)

// answer is what is known of a token.
type answer struct {
	arn     string
	failure *Rejection // nil if there is an arn
	// until is when it has to be asked again; zero is at once.
	until time.Time
}

// answers keeps what was answered, bounded: what was used longest ago makes room. Tokens are kept as hashes. A token that
// is being asked for is asked for once, however many logins wait.
type answers struct {
	most int

	mu struct { // nothing slow is done under it
		sync.Mutex
		entries map[[sha256.Size]byte]*list.Element
		order   list.List // of *asked, the latest first
	}
}

// asked is one token.
type asked struct {
	key    [sha256.Size]byte
	done   chan struct{} // closed when answer is there
	answer answer
}

func newAnswers(most int) *answers {
	a := &answers{most: most}
	a.mu.entries = map[[sha256.Size]byte]*list.Element{}
	return a
}

// get returns the answer for a token, from memory or by ask. ask runs in a goroutine that ends by its own time limit: it
// outlives the first caller, for others may wait for it too.
func (a *answers) get(ctx context.Context, token string, now func() time.Time, ask func(context.Context) answer) (string, *Rejection) {
	e, first := a.entry(sha256.Sum256([]byte(token)), now())
	if first {
		go func() {
			ctx, stop := context.WithTimeout(context.WithoutCancel(ctx), stsTimeout)
			defer stop()
			got := ask(ctx)
			e.answer = got
			close(e.done)
			if got.until.IsZero() {
				a.drop(e)
			}
		}()
	}
	select {
	case <-e.done:
		return e.answer.arn, e.answer.failure
	case <-ctx.Done():
		return "", &Rejection{Reason: Unavailable, Detail: "no answer of STS in time", Err: context.Cause(ctx)}
	}
}

// entry finds what is known or being asked, or begins anew.
func (a *answers) entry(key [sha256.Size]byte, now time.Time) (e *asked, first bool) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if at := a.mu.entries[key]; at != nil {
		e := at.Value.(*asked)
		if e.fresh(now) {
			a.mu.order.MoveToFront(at)
			return e, false
		}
		a.mu.order.Remove(at)
	} else if a.mu.order.Len() >= a.most {
		oldest := a.mu.order.Back()
		delete(a.mu.entries, oldest.Value.(*asked).key)
		a.mu.order.Remove(oldest)
	}
	e = &asked{key: key, done: make(chan struct{})}
	a.mu.entries[key] = a.mu.order.PushFront(e)
	return e, true
}

// fresh says whether an entry is being asked for, or still true.
func (e *asked) fresh(now time.Time) bool {
	select {
	case <-e.done:
		return now.Before(e.answer.until)
	default:
		return true
	}
}

// drop forgets an answer that is not to be kept.
func (a *answers) drop(e *asked) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if at := a.mu.entries[e.key]; at != nil && at.Value.(*asked) == e {
		a.mu.order.Remove(at)
		delete(a.mu.entries, e.key)
	}
}
