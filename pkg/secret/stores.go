// SPDX-License-Identifier: Apache-2.0

package secret

import (
	"context"
	"slices"
	"sync"
)

// Stores is one store of two: files, and AWS Secrets Manager behind its Cache. The id of a secret tells which of them has it.
type Stores struct {
	files   *FileStore
	manager *Cache // nil if there is none

	mu struct {
		sync.Mutex
		changed chan struct{}
	}
}

var _ Rotator = (*Stores)(nil)

// NewStores joins two stores. manager may be nil: then secrets in AWS Secrets Manager are an error.
func NewStores(files *FileStore, manager *Cache) *Stores {
	s := &Stores{files: files, manager: manager}
	s.mu.changed = make(chan struct{})
	return s
}

func (s *Stores) of(id string) Rotator {
	if s.manager != nil && InSecretsManager(id) {
		return s.manager
	}
	return s.files
}

// Get implements Store.
func (s *Stores) Get(ctx context.Context, id string) (Credential, error) {
	return s.of(id).Get(ctx, id)
}

// Refused implements Rotator.
func (s *Stores) Refused(ctx context.Context, id string, refused Credential) ([]Credential, error) {
	return s.of(id).Refused(ctx, id, refused)
}

// Versions implements Rotator.
func (s *Stores) Versions(ctx context.Context, id string) ([]Credential, error) {
	return s.of(id).Versions(ctx, id)
}

// Accepted implements Rotator.
func (s *Stores) Accepted(id string, taken Credential) { s.of(id).Accepted(id, taken) }

// Changed implements Store. It tells of changes while Run runs.
func (s *Stores) Changed() <-chan struct{} {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.mu.changed
}

// Retain forgets all secrets but those named.
func (s *Stores) Retain(ids []string) {
	s.files.Retain(slices.DeleteFunc(slices.Clone(ids), InSecretsManager))
	if s.manager != nil {
		s.manager.Retain(ids)
	}
}

// Failures lists the secrets that cannot be had now: files first, each kind ordered by ID.
func (s *Stores) Failures() []Failure {
	list := s.files.Failures()
	if s.manager != nil {
		list = append(list, s.manager.Failures()...)
	}
	return list
}

// Run keeps both stores up to date until ctx ends.
func (s *Stores) Run(ctx context.Context) {
	var both sync.WaitGroup
	defer both.Wait()
	both.Go(func() { s.files.Run(ctx) })
	var manager <-chan struct{} // for ever silent if there is none
	if s.manager != nil {
		both.Go(func() { s.manager.Run(ctx) })
	}
	for {
		// The channels are taken first and announced for afterwards, so no change falls in between.
		files := s.files.Changed()
		if s.manager != nil {
			manager = s.manager.Changed()
		}
		s.announce()
		select {
		case <-ctx.Done():
			return
		case <-files:
		case <-manager:
		}
	}
}

func (s *Stores) announce() {
	s.mu.Lock()
	defer s.mu.Unlock()
	close(s.mu.changed)
	s.mu.changed = make(chan struct{})
}
