// SPDX-License-Identifier: Apache-2.0

package secret

import (
	"cmp"
	"context"
	"fmt"
	"maps"
	"path/filepath"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"go.uber.org/zap"
)

// DefaultPollInterval is how often files are read again even if nothing told of a change.
const DefaultPollInterval = 10 * time.Second

// FileOptions set up a FileStore. The zero FileOptions work.
type FileOptions struct {
	// PollInterval takes the place of DefaultPollInterval when above zero. Reading again finds what the system's
	// notification misses: network file systems, links to other folders, folders that were replaced.
	PollInterval time.Duration
	// PollOnly does without the system's notification.
	PollOnly bool
	// Log gets a line when a secret changes, and when it cannot be refreshed; nil means no log.
	Log *zap.Logger
}

// FileStore keeps each secret in a file of its own. The id of a secret is the absolute path of a file with JSON (see
// Decode), or of a folder with the files username and password.
//
// A file that cannot be read anymore, or that is being written, does not take its credential away: the last good value stays
// until there is a new one. To shut a user out, take the user out of the configuration.
type FileStore struct {
	pollInterval time.Duration
	pollOnly     bool
	log          *zap.Logger

	// added wakes Run after an entry was made.
	added chan struct{}

	mu struct { // nothing slow is done under it
		sync.Mutex
		entries map[string]*entry
		changed chan struct{}
	}
}

// entry is one secret, from the first Get for it on.
type entry struct {
	path string
	good atomic.Pointer[Credential] // nil until it was read once
	// before is what good was before the last change; nil if nothing.
	before atomic.Pointer[earlier]
	// failure of the last reading; nil after a good one.
	failure atomic.Pointer[error]
	// busy holds one token while somebody reads the file and changes this entry.
	busy chan struct{}
	// warned about who may read the file; guarded by busy.
	warned bool
}

// earlier is a credential that another one has taken the place of.
type earlier struct {
	Credential
	until time.Time
}

var _ Rotator = (*FileStore)(nil)

// NewFileStore makes a store. Changes are noticed while Run runs.
func NewFileStore(o FileOptions) *FileStore {
	s := &FileStore{
		pollInterval: o.PollInterval,
		pollOnly:     o.PollOnly,
		log:          cmp.Or(o.Log, zap.NewNop()),
		added:        make(chan struct{}, 1),
	}
	if s.pollInterval <= 0 {
		s.pollInterval = DefaultPollInterval
	}
	s.mu.entries = map[string]*entry{}
	s.mu.changed = make(chan struct{})
	return s
}

// Get implements Store. A reading that has begun is not cut short by ctx, only the waiting for another caller's.
func (s *FileStore) Get(ctx context.Context, id string) (Credential, error) {
	if !filepath.IsAbs(id) {
		return Credential{}, fmt.Errorf("secret %q: %w here: the name is not an absolute path", id, ErrUnsupported)
	}
	e := s.entry(filepath.Clean(id))
	if c := e.good.Load(); c != nil {
		return *c, nil
	}
	select {
	case e.busy <- struct{}{}:
		defer func() { <-e.busy }()
	case <-ctx.Done():
		return Credential{}, fmt.Errorf("secret %q: %w", id, context.Cause(ctx))
	}
	if c := e.good.Load(); c != nil {
		return *c, nil
	}
	if err := s.read(e); err != nil {
		return Credential{}, err
	}
	return *e.good.Load(), nil
}

// Refused implements Rotator: the file is read at once, and what it held before is tried too.
func (s *FileStore) Refused(ctx context.Context, id string, refused Credential) ([]Credential, error) {
	if _, err := s.Get(ctx, id); err != nil {
		return nil, err
	}
	e := s.entry(filepath.Clean(id))
	s.refresh(e)
	var list []Credential
	candidates := []Credential{*e.good.Load()}
	if b := e.before.Load(); b != nil {
		candidates = append(candidates, b.Credential)
	}
	for _, c := range candidates {
		if c.Username == refused.Username && !c.Equal(refused) && !contains(list, c) {
			list = append(list, c)
		}
	}
	if len(list) == 0 {
		return nil, fmt.Errorf("secret %q: %w", id, ErrNoOther)
	}
	return list, nil
}

// Versions implements Rotator.
func (s *FileStore) Versions(ctx context.Context, id string) ([]Credential, error) {
	c, err := s.Get(ctx, id)
	if err != nil {
		return nil, err
	}
	list := []Credential{c}
	if b := s.entry(filepath.Clean(id)).before.Load(); b != nil && time.Since(b.until) < DefaultGrace && !contains(list, b.Credential) {
		list = append(list, b.Credential)
	}
	return list, nil
}

// Accepted implements Rotator. There is nothing to do: the file tells what the password is.
func (s *FileStore) Accepted(string, Credential) {}

// Changed implements Store.
func (s *FileStore) Changed() <-chan struct{} {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.mu.changed
}

// Retain forgets all secrets but those named: after a reload, those that no user has anymore.
func (s *FileStore) Retain(ids []string) {
	keep := map[string]bool{}
	for _, id := range ids {
		keep[filepath.Clean(id)] = true
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	maps.DeleteFunc(s.mu.entries, func(path string, _ *entry) bool { return !keep[path] })
}

// Failure is a secret whose last reading failed.
type Failure struct {
	ID string
	// Err as Get returns it.
	Err error
	// Stale says that an older value is in use; otherwise there is none.
	Stale bool
}

// Failures lists the secrets that cannot be read now, ordered by ID.
func (s *FileStore) Failures() []Failure {
	var list []Failure
	for _, e := range s.entries() {
		if err := e.failure.Load(); err != nil {
			list = append(list, Failure{ID: e.path, Err: *err, Stale: e.good.Load() != nil})
		}
	}
	return list
}

// entry finds or makes the entry of a path.
func (s *FileStore) entry(path string) *entry {
	s.mu.Lock()
	defer s.mu.Unlock()
	e := s.mu.entries[path]
	if e == nil {
		e = &entry{path: path, busy: make(chan struct{}, 1)}
		s.mu.entries[path] = e
		select {
		case s.added <- struct{}{}:
		default:
		}
	}
	return e
}

// entries in the order of their paths.
func (s *FileStore) entries() []*entry {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.SortedFunc(maps.Values(s.mu.entries), func(a, b *entry) int { return cmp.Compare(a.path, b.path) })
}

// refresh reads a secret again.
func (s *FileStore) refresh(e *entry) {
	e.busy <- struct{}{}
	defer func() { <-e.busy }()
	// The failure is kept in the entry, and logged when it is new.
	_ = s.read(e)
}

// read reads the file of an entry and takes over what is new. The caller holds the token of e.busy.
func (s *FileStore) read(e *entry) error {
	c, exposed, err := readSecret(e.path)
	old := e.good.Load()
	if err != nil {
		err = fmt.Errorf("secret %q: %w", e.path, err)
		if last := e.failure.Swap(&err); old != nil && (last == nil || (*last).Error() != err.Error()) {
			s.log.Warn("secret cannot be refreshed, the last good value stays in use", zap.String("secret", e.path), zap.Error(err))
		}
		return err
	}
	if exposed != "" && !e.warned {
		s.log.Warn("everybody on this machine may read a secret; chmod o-r it", zap.String("secret", e.path), zap.String("file", exposed))
	}
	e.warned = exposed != ""
	recovered := e.failure.Swap(nil) != nil
	changed := old != nil && !old.Equal(c)
	if changed {
		e.before.Store(&earlier{*old, time.Now()})
	}
	if old == nil || changed {
		e.good.Store(&c)
	}
	switch {
	case changed:
		s.log.Info("secret has changed", zap.String("secret", e.path))
	case recovered:
		s.log.Info("secret can be read now", zap.String("secret", e.path))
	}
	if changed || (recovered && old == nil) {
		s.announce()
	}
	return nil
}

func (s *FileStore) announce() {
	s.mu.Lock()
	defer s.mu.Unlock()
	close(s.mu.changed)
	s.mu.changed = make(chan struct{})
}
