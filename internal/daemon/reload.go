// SPDX-License-Identifier: Apache-2.0

package daemon

import (
	"context"
	"os"
	"os/signal"
	"sync"
	"syscall"
	"time"

	"go.uber.org/zap"

	"github.com/rdsproxy/rdsproxy/pkg/admin"
	"github.com/rdsproxy/rdsproxy/pkg/config"
)

// reloads remembers how the last reading of the configuration went.
type reloads struct {
	mu   sync.Mutex
	info admin.Reload
}

func (r *reloads) done(err error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.info.OK, r.info.Time = err == nil, time.Now()
	if err == nil {
		r.info.Succeeded = r.info.Time
	}
}

func (r *reloads) last() admin.Reload {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.info
}

// reloadOnSignal reads the configuration again at each SIGHUP, until ctx ends.
func (g *graph) reloadOnSignal(ctx context.Context) error {
	hup := make(chan os.Signal, 1)
	signal.Notify(hup, syscall.SIGHUP)
	defer signal.Stop(hup)
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-hup:
			g.reload(ctx)
		}
	}
}

// reload takes over a new configuration, or keeps the old one and says why.
func (g *graph) reload(ctx context.Context) {
	next, err := g.opts.Load()
	if err == nil {
		err = g.apply(ctx, next)
	}
	g.reloads.done(err)
	if err != nil {
		g.log.Error("The new configuration was not taken over; the old one stays in force.", zap.Error(err))
		return
	}
	g.log.Info("The new configuration is in force.")
}

// warnOfRestart names the changed settings that a reload cannot carry out.
func (g *graph) warnOfRestart(old, next *config.Config) {
	for _, c := range config.NeedsRestart(config.Diff(old, next)) {
		g.log.Warn("A changed setting waits for a restart.", zap.String("setting", c.Path))
	}
}
