// SPDX-License-Identifier: Apache-2.0

package daemon

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"slices"
	"sync"
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

// reloadOn reads the configuration again at each signal, until ctx ends.
func (g *graph) reloadOn(ctx context.Context, hup <-chan os.Signal) error {
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

// apply puts a new configuration in force. It prepares everything that can fail
// before it changes anything.
//
// Secrets are read at the end, when the rest is in force already: they may take
// their time, and nobody else is to wait for them.
func (g *graph) apply(ctx context.Context, next *config.Config) error {
	if err := g.change(ctx, next); err != nil {
		return err
	}
	g.users.refresh(ctx, g.wanted)
	return nil
}

func (g *graph) change(ctx context.Context, next *config.Config) error {
	g.changing.Lock()
	defer g.changing.Unlock()
	gate, err := NewGate(next.IAM, g.store, g.opts.STS)
	if err != nil {
		return err
	}
	targets, err := g.prepareTargets(ctx, next)
	if err != nil {
		return err
	}
	points, err := g.preparePoints(next)
	if err != nil {
		return err
	}
	for _, c := range config.NeedsRestart(config.Diff(g.config(), next)) {
		g.log.Warn("A changed setting waits for a restart.", zap.String("setting", c.Path))
	}
	g.conf.Store(next)
	g.gate.Store(gate)
	g.level.SetLevel(zapLevel(next.Log.Level))
	g.proxy.SetSettings(proxySettings(next))
	for _, change := range targets {
		change()
	}
	for _, change := range points {
		change()
	}
	return nil
}

// prepareTargets makes the changes of the target groups. What only a restart can
// change stays as it is.
func (g *graph) prepareTargets(ctx context.Context, next *config.Config) (changes []func(), err error) {
	for _, t := range g.targets {
		conf, ok := next.TargetGroup(t.plan.conf.Name)
		if !ok {
			continue // removed; clients may still be there
		}
		conf.Engine = t.plan.conf.Engine
		p, err := g.newPlan(ctx, conf)
		if err != nil {
			return nil, err
		}
		if err := p.checkWatching(); err != nil {
			return nil, err
		}
		changes = append(changes, func() { g.changeTarget(t, p) })
	}
	return changes, nil
}

// changeTarget puts a plan in force. The members are watched on, unless they may be
// others.
func (g *graph) changeTarget(t *targetGroup, p *plan) {
	was := t.plan
	t.plan = p
	retire := p.conf.TLS != was.conf.TLS || !bytes.Equal(p.ca, was.ca) || p.conf.InitQuery != was.conf.InitQuery
	if p.watchedAlike(was) {
		t.follower.update(p, retire)
		return
	}
	t.follower = t.follower.successor(p, retire)
	if err := t.follower.start(); err != nil { // the plan was checked
		g.log.Error("The members of a target group are not watched.", zap.String("target_group", p.conf.Name), zap.Error(err))
	}
}

// preparePoints does the same for the endpoints.
func (g *graph) preparePoints(next *config.Config) (changes []func(), err error) {
	for _, p := range g.points {
		i := slices.IndexFunc(next.Endpoints, func(e config.Endpoint) bool { return e.Name == p.conf.Name })
		if i < 0 {
			continue
		}
		conf := next.Endpoints[i]
		l, err := loadCertificate(conf.TLS)
		if err != nil {
			return nil, fmt.Errorf("endpoints[%s].%w", conf.Name, err)
		}
		conf.Listen, conf.TargetGroup, conf.Role = p.conf.Listen, p.conf.TargetGroup, p.conf.Role
		changes = append(changes, func() {
			p.conf = conf
			p.certificate.install(l)
			if p.readers != nil {
				p.of.follower.changeReadOnly(conf)
			}
			if p.running != nil {
				p.running.Update(g.endpointOptions(p))
			}
		})
	}
	return changes, nil
}
