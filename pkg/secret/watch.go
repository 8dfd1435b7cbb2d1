// SPDX-License-Identifier: Apache-2.0

package secret

import (
	"context"
	"path/filepath"
	"time"

	"github.com/fsnotify/fsnotify"
	"go.uber.org/zap"
)

// settle is how long after the first sign of a change files are read: a change comes as several events, and a program that
// writes a file in place gets the time to finish.
const settle = 100 * time.Millisecond

// Run follows the files of the secrets that were asked for, until ctx ends. It never gives up: without the system's
// notification it polls.
func (s *FileStore) Run(ctx context.Context) {
	w := s.newWatch()
	defer w.close()
	poll := time.NewTicker(s.pollInterval)
	defer poll.Stop()
	touched := map[string]bool{}
	// What changed between the first reading and the watch is found by reading once more.
	follow := func() {
		for _, folder := range w.follow(s.entries()) {
			touched[folder] = true
		}
	}
	follow()
	quiet := time.NewTimer(settle)
	defer quiet.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-s.added:
			follow()
			quiet.Reset(settle)
		case e := <-w.events:
			if len(touched) == 0 {
				quiet.Reset(settle)
			}
			touched[filepath.Dir(e.Name)] = true
			touched[e.Name] = true
		case err := <-w.errors:
			s.log.Warn("file notification failed, reading all secrets", zap.Error(err))
			s.refreshAll()
		case <-quiet.C:
			s.refreshTouched(touched)
			clear(touched)
		case <-poll.C:
			w.forget()
			w.follow(s.entries())
			s.refreshAll()
		}
	}
}

func (s *FileStore) refreshAll() {
	for _, e := range s.entries() {
		s.refresh(e)
	}
}

// refreshTouched reads the secrets in folders where something happened. Reading one too many is harmless.
func (s *FileStore) refreshTouched(folders map[string]bool) {
	for _, e := range s.entries() {
		if folders[filepath.Dir(e.path)] || folders[e.path] {
			s.refresh(e)
		}
	}
}

// watch is the system's notification, or nothing where that cannot be had: then its channels never deliver.
type watch struct {
	log      *zap.Logger
	notifier *fsnotify.Watcher
	events   <-chan fsnotify.Event
	errors   <-chan error
	followed map[string]bool
}

func (s *FileStore) newWatch() *watch {
	w := &watch{log: s.log, followed: map[string]bool{}}
	if s.pollOnly {
		return w
	}
	n, err := fsnotify.NewWatcher()
	if err != nil {
		s.log.Warn("no file notification, secrets are polled", zap.Error(err), zap.Duration("interval", s.pollInterval))
		return w
	}
	w.notifier, w.events, w.errors = n, n.Events, n.Errors
	return w
}

// follow watches the folders of the entries, and returns those that are new. Folders are watched rather than files: a file
// that is replaced by renaming, or through the link that Kubernetes swaps, is another one afterwards.
func (w *watch) follow(entries []*entry) (fresh []string) {
	if w.notifier == nil {
		return nil
	}
	for _, e := range entries {
		// The path itself matters if it is a folder; of a file, the folder around it tells more.
		for _, folder := range []string{filepath.Dir(e.path), e.path} {
			if w.followed[folder] {
				continue
			}
			w.followed[folder] = true
			fresh = append(fresh, folder)
			if err := w.notifier.Add(folder); err != nil && folder != e.path {
				w.log.Debug("folder is not watched, its secrets are polled", zap.String("folder", folder), zap.Error(err))
			}
		}
	}
	return fresh
}

// forget makes the next follow watch all folders anew: one that was replaced is not watched anymore.
func (w *watch) forget() { clear(w.followed) }

func (w *watch) close() {
	if w.notifier != nil {
		// It fails only when it is closed already.
		_ = w.notifier.Close()
	}
}
