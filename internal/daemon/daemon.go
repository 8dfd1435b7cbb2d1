// SPDX-License-Identifier: Apache-2.0

// Package daemon builds the running proxy from its configuration and ties the
// lives of its parts together. It is the only package that knows all the
// others.
package daemon

import (
	"context"
	"io"
	"net/http"
	"os"
	"os/signal"
	"syscall"

	"github.com/oklog/run"
	"go.uber.org/zap"

	"github.com/rdsproxy/rdsproxy/pkg/config"
	"github.com/rdsproxy/rdsproxy/pkg/netloop"
)

// Options is what the command line hands to Run.
type Options struct {
	// Load reads and checks the configuration; called at the start and at each reload.
	Load func() (*config.Config, error)
	// Version is shown in the log and on the admin listener.
	Version string
	// Stdout and Stderr are the process's own. Logs go to Stderr.
	Stdout, Stderr io.Writer
	// STS takes the place of the way to AWS STS: for tests.
	STS http.RoundTripper
}

// Run is the life of the daemon. It returns when ctx has ended and the drain is over (nil), or on a failure. An error of
// Load at the start is returned wrapped.
//
// SIGHUP reads the configuration again. Once ctx has ended, SIGTERM or SIGINT ends the drain at once.
func Run(ctx context.Context, opts Options) error {
	cfg, err := opts.Load()
	if err != nil {
		return err
	}
	log, level := newLogger(cfg.Log, opts.Stderr)
	defer func() { _ = log.Sync() }() // standard error may not be syncable
	log.Info("rdsproxy starts.", zap.String("version", opts.Version), zap.Int("pid", os.Getpid()))

	if err := netloop.ScheduleInBatches(); err != nil {
		log.Debug("The process is scheduled like any other.", zap.Error(err))
	}
	warnOfFiles(cfg, log)
	hup := make(chan os.Signal, 1)
	signal.Notify(hup, syscall.SIGHUP) // from now on: by default it ends the process
	defer signal.Stop(hup)
	g, err := build(ctx, cfg, opts, log, level)
	if err != nil {
		return err
	}
	defer g.proxy.Close()
	defer g.unwatch()
	if err := g.watch(); err != nil {
		return err
	}

	var group run.Group
	addActor(&group, func(ctx context.Context) error { g.store.Run(ctx); return nil })
	addActor(&group, func(ctx context.Context) error { return g.users.watch(ctx, g.wanted) })
	addActor(&group, func(ctx context.Context) error { g.followCertificates(ctx); return nil })
	addActor(&group, func(ctx context.Context) error { return g.reloadOn(ctx, hup) })
	addActor(&group, g.serveAdmin)
	serving, stopServing := context.WithCancel(ctx)
	group.Add(func() error {
		if err := g.listen(serving); err != nil {
			return err
		}
		<-serving.Done()
		if ctx.Err() != nil {
			g.drain()
		}
		return nil
	}, func(error) { stopServing() })
	err = group.Run()
	log.Info("rdsproxy ends.", zap.Error(err))
	return err
}

// spareFiles are for database connections, files and all else but clients.
const spareFiles = 200

// warnOfFiles says so if the system does not let in as many clients as are wanted:
// with no file left nobody gets in, and no database connection can be opened.
func warnOfFiles(cfg *config.Config, log *zap.Logger) {
	need := uint64(cfg.MaxClientConnections) + uint64(cfg.MaxUnauthenticatedConnections) + spareFiles
	if most, known := fileLimit(); known && most < need {
		log.Warn("The process may have too few files open for its clients: raise the limit (ulimit -n, LimitNOFILE), or lower max_client_connections.",
			zap.Uint64("limit", most), zap.Uint64("needed", need))
	}
}

// addActor runs f until another actor ends.
func addActor(group *run.Group, f func(context.Context) error) {
	ctx, stop := context.WithCancel(context.Background()) // its end is the interrupt function's business
	group.Add(func() error { return f(ctx) }, func(error) { stop() })
}

// drain lets clients finish, up to drain_timeout or the next signal.
func (g *graph) drain() {
	cfg := g.config()
	g.log.Info("Draining: no new clients; transactions may end.", zap.Duration("drain_timeout", cfg.DrainTimeout))
	ctx, stop := context.WithTimeout(context.Background(), cfg.DrainTimeout) // the daemon's own context has ended
	defer stop()
	ctx, stopSignals := signal.NotifyContext(ctx, syscall.SIGTERM, os.Interrupt)
	defer stopSignals()
	g.proxy.Drain(ctx)
}
