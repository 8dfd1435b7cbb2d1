// SPDX-License-Identifier: Apache-2.0

package daemon

import (
	"context"
	"crypto/tls"
	"fmt"
	"net"
	"sync/atomic"
	"time"

	"go.uber.org/zap"

	"github.com/rdsproxy/rdsproxy/pkg/config"
	"github.com/rdsproxy/rdsproxy/pkg/proxy"
	"github.com/rdsproxy/rdsproxy/pkg/secret"
)

// cleanupTimeout bounds the cleaning of a database connection after its client.
const cleanupTimeout = 15 * time.Second

// graph is the running daemon: its parts, and the configuration in force.
type graph struct {
	opts  Options
	log   *zap.Logger
	level zap.AtomicLevel
	conf  atomic.Pointer[config.Config]

	reloads reloads
	store   *secret.FileStore
	users   *users
	proxy   *proxy.Proxy
	targets []*targetGroup
	points  []*endpoint
}

type targetGroup struct {
	conf  config.TargetGroup
	group *proxy.TargetGroup
}

type endpoint struct {
	name        string
	certificate certificate
	running     *proxy.Endpoint // nil before listen
}

func (g *graph) config() *config.Config  { return g.conf.Load() }
func (g *graph) authList() []config.Auth { return g.config().Auth }

// build makes all parts; nothing listens yet.
func build(cfg *config.Config, opts Options, log *zap.Logger, level zap.AtomicLevel) (*graph, error) {
	g := &graph{opts: opts, log: log, level: level}
	g.conf.Store(cfg)
	g.reloads.done(nil)
	g.store = secret.NewFileStore(secret.FileOptions{Log: log})
	g.users = newUsers(g.store, log)
	g.users.set(context.Background(), cfg.Auth) // files only, at the start of the process
	for _, e := range cfg.Endpoints {
		p := &endpoint{name: e.Name}
		if err := p.certificate.set(e.TLS); err != nil {
			return nil, fmt.Errorf("endpoints[%s].%w", e.Name, err)
		}
		g.points = append(g.points, p)
	}
	var err error
	if g.proxy, err = proxy.New(proxy.Options{Loops: cfg.Loops, Log: log}, proxySettings(cfg)); err != nil {
		return nil, err
	}
	for _, t := range cfg.TargetGroups {
		o, err := g.targetOptions(t)
		if err != nil {
			g.proxy.Close()
			return nil, fmt.Errorf("target_groups[%s].%w", t.Name, err)
		}
		g.targets = append(g.targets, &targetGroup{conf: t, group: g.proxy.AddTargetGroup(o)})
	}
	return g, nil
}

func proxySettings(cfg *config.Config) proxy.Settings {
	return proxy.Settings{
		IdleClientTimeout: cfg.IdleClientTimeout, LoginTimeout: cfg.LoginTimeout, CleanupTimeout: cleanupTimeout,
		MaxClients: cfg.MaxClientConnections, MaxUnauthenticated: cfg.MaxUnauthenticatedConnections,
		RequireTLS: cfg.RequireTLS, Admits: cfg.AllowsClient,
	}
}

// targetOptions turns a target group's configuration into what the proxy needs.
// It reads the CA file.
func (g *graph) targetOptions(t config.TargetGroup) (proxy.TargetOptions, error) {
	dialer, err := newDialer(t)
	if err != nil {
		return proxy.TargetOptions{}, err
	}
	return proxy.TargetOptions{
		Name: t.Name, Dialer: dialer,
		MaxConnections: t.MaxConnections, MaxConnectionsPercent: t.MaxConnectionsPercent,
		MaxIdlePercent: t.MaxIdleConnectionsPercent,
		BorrowTimeout:  t.ConnectionBorrowTimeout, ConnectTimeout: t.ConnectTimeout,
		MaxLifetime: t.MaxConnectionLifetime, IdleTimeout: t.IdleConnectionTimeout,
		MaxStatements: t.MaxPreparedStatements, Passwords: g.users.password,
		TLS: t.TLS.Mode != config.TLSDisable, InitQuery: t.InitQuery != "",
	}, nil
}

func (g *graph) endpointOptions(e config.Endpoint, p *endpoint) proxy.EndpointOptions {
	o := proxy.EndpointOptions{
		Name: e.Name, Users: g.users, UnknownMethod: g.users.usualMethod,
		TLS: func() *tls.Config { return p.certificate.current.Load() },
		KeepAlive: proxy.KeepAlive{
			Idle: e.TCP.KeepaliveIdle, Interval: e.TCP.KeepaliveInterval, Count: e.TCP.KeepaliveCount,
			UserTimeout: e.TCP.UserTimeout,
		},
	}
	for _, t := range g.targets {
		if t.conf.Name == e.TargetGroup {
			o.Target = t.group
		}
	}
	return o
}

// listen opens all endpoints, or none.
func (g *graph) listen(ctx context.Context) error {
	cfg := g.config()
	var listeners []net.Listener
	for _, e := range cfg.Endpoints {
		l, err := (&net.ListenConfig{}).Listen(ctx, "tcp", e.Listen)
		if err != nil {
			for _, open := range listeners {
				_ = open.Close()
			}
			return fmt.Errorf("endpoints[%s].listen: %w", e.Name, err)
		}
		listeners = append(listeners, l)
	}
	for i, e := range cfg.Endpoints {
		p := g.points[i]
		p.running = g.proxy.AddEndpoint(listeners[i], g.endpointOptions(e, p))
		g.log.Info("The endpoint is open.", zap.String("endpoint", e.Name), zap.Stringer("listen", listeners[i].Addr()))
	}
	return nil
}

// apply puts a new configuration in force. It prepares everything that can fail
// before it changes anything.
func (g *graph) apply(ctx context.Context, next *config.Config) error {
	old := g.config()
	options := make([]proxy.TargetOptions, len(g.targets))
	confs := make([]config.TargetGroup, len(g.targets))
	for i, t := range g.targets {
		conf, ok := next.TargetGroup(t.conf.Name)
		if !ok {
			conf = t.conf // waits for a restart
		}
		conf.Writer, conf.Engine = t.conf.Writer, t.conf.Engine
		o, err := g.targetOptions(conf)
		if err != nil {
			return fmt.Errorf("target_groups[%s].%w", conf.Name, err)
		}
		options[i], confs[i] = o, conf
	}
	certs := make([]certificate, len(g.points))
	for i, p := range g.points {
		if e, ok := endpointNamed(next, p.name); ok {
			if err := certs[i].set(e.TLS); err != nil {
				return fmt.Errorf("endpoints[%s].%w", e.Name, err)
			}
		}
	}
	g.warnOfRestart(old, next)
	g.conf.Store(next)
	g.level.SetLevel(zapLevel(next.Log.Level))
	g.users.set(ctx, next.Auth)
	for i, t := range g.targets {
		retire := confs[i].TLS != t.conf.TLS || confs[i].InitQuery != t.conf.InitQuery
		t.conf = confs[i]
		t.group.Update(options[i], retire)
	}
	for _, p := range g.points {
		if e, ok := endpointNamed(next, p.name); ok {
			if err := p.certificate.set(e.TLS); err != nil {
				g.log.Error("The certificate changed while it was being loaded.", zap.Error(err))
			}
			if p.running != nil {
				e.TargetGroup = targetOf(old, p.name)
				p.running.Update(g.endpointOptions(e, p))
			}
		}
	}
	g.proxy.SetSettings(proxySettings(next))
	return nil
}

func endpointNamed(cfg *config.Config, name string) (config.Endpoint, bool) {
	for _, e := range cfg.Endpoints {
		if e.Name == name {
			return e, true
		}
	}
	return config.Endpoint{}, false
}

// targetOf is the target group that an endpoint has had since the start.
func targetOf(cfg *config.Config, name string) string {
	e, _ := endpointNamed(cfg, name)
	return e.TargetGroup
}

// followCertificates keeps the certificates up to date until ctx ends.
func (g *graph) followCertificates(ctx context.Context) {
	done := make(chan struct{})
	for _, p := range g.points {
		go func() {
			p.certificate.follow(ctx, g.log)
			done <- struct{}{}
		}()
	}
	for range g.points {
		<-done
	}
}
