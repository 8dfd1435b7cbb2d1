// SPDX-License-Identifier: Apache-2.0

package daemon

import (
	"context"
	"crypto/rand"
	"crypto/rsa"
	"fmt"
	"net"
	"sync"
	"sync/atomic"
	"time"

	"go.uber.org/zap"

	"github.com/rdsproxy/rdsproxy/pkg/config"
	"github.com/rdsproxy/rdsproxy/pkg/iam"
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
	store   *secret.Stores
	gate    atomic.Pointer[iam.Gate] // nil: no tokens
	users   *users
	proxy   *proxy.Proxy

	// rsaKey is what MySQL's clients without TLS encrypt passwords with; nil if no
	// endpoint is one of MySQL or MariaDB.
	rsaKey *rsa.PrivateKey

	// changing is held while the parts below are opened or changed. The lists
	// themselves stay as they were built.
	changing sync.Mutex
	targets  []*targetGroup
	points   []*endpoint
}

type targetGroup struct {
	plan     *plan
	group    *proxy.TargetGroup
	follower *follower
}

type endpoint struct {
	conf        config.Endpoint
	target      *proxy.TargetGroup
	of          *targetGroup
	readers     *proxy.Readers // nil unless it is a read-only one
	engine      config.Engine
	certificate certificate
	running     *proxy.Endpoint // nil before listen
	port        uint16          // 0 before listen
}

func (g *graph) config() *config.Config { return g.conf.Load() }
func (g *graph) wanted() wanted         { return wantedOf(g.config()) }

// build makes all parts; nothing listens yet.
func build(ctx context.Context, cfg *config.Config, opts Options, log *zap.Logger, level zap.AtomicLevel) (*graph, error) {
	g := &graph{opts: opts, log: log, level: level}
	g.conf.Store(cfg)
	g.reloads.done(nil)
	var err error
	if g.store, err = NewSecrets(ctx, cfg, log); err != nil {
		return nil, err
	}
	gate, err := NewGate(cfg.IAM, g.store, opts.STS)
	if err != nil {
		return nil, err
	}
	g.gate.Store(gate)
	g.users = newUsers(g.store, log)
	g.users.refresh(ctx, g.wanted)
	g.users.rotated = g.rotated
	if g.proxy, err = proxy.New(proxy.Options{Loops: cfg.Loops, Log: log}, proxySettings(cfg)); err != nil {
		return nil, err
	}
	if err := g.buildParts(ctx, cfg); err != nil {
		g.proxy.Close()
		return nil, err
	}
	return g, nil
}

func (g *graph) buildParts(ctx context.Context, cfg *config.Config) error {
	groups := make(map[string]*targetGroup)
	for _, conf := range cfg.TargetGroups {
		p, err := g.newPlan(ctx, conf)
		if err != nil {
			return err
		}
		if err := p.checkWatching(); err != nil {
			return err
		}
		group := g.proxy.AddTargetGroup(p.options(p.first(), nil))
		groups[conf.Name] = &targetGroup{p, group, newFollower(group, p, g.log)}
		g.targets = append(g.targets, groups[conf.Name])
	}
	for _, conf := range cfg.Endpoints {
		l, err := loadCertificate(conf.TLS)
		if err != nil {
			return fmt.Errorf("endpoints[%s].%w", conf.Name, err)
		}
		group, _ := cfg.TargetGroup(conf.TargetGroup)
		of := groups[conf.TargetGroup]
		p := &endpoint{conf: conf, of: of, target: of.group, engine: group.Engine}
		if conf.Role == config.ReadOnly {
			p.readers = of.follower.addReadOnly(g.proxy, conf)
			p.target = p.readers.Lobby()
		}
		if group.Engine != config.PostgreSQL && g.rsaKey == nil {
			if g.rsaKey, err = rsa.GenerateKey(rand.Reader, 2048); err != nil {
				return fmt.Errorf("RSA key: %w", err)
			}
		}
		p.certificate.install(l)
		g.points = append(g.points, p)
	}
	return nil
}

func proxySettings(cfg *config.Config) proxy.Settings {
	return proxy.Settings{
		IdleClientTimeout: cfg.IdleClientTimeout, LoginTimeout: cfg.LoginTimeout, CleanupTimeout: cleanupTimeout,
		MaxClients: cfg.MaxClientConnections, MaxUnauthenticated: cfg.MaxUnauthenticatedConnections,
		RequireTLS: cfg.RequireTLS, Admits: cfg.AllowsClient,
	}
}

func (g *graph) endpointOptions(p *endpoint) proxy.EndpointOptions {
	my := mysqlUsers{g.users, p.engine}
	return proxy.EndpointOptions{
		Name: p.conf.Name, Target: p.target, Readers: p.readers, Users: g.users, UnknownMethod: g.users.usualMethod, Barred: g.users.barred,
		MySQL: proxy.MySQLEndpoint{
			Users: my, UnknownMethod: my.usualMySQLMethod, AnyUser: my.anyUser, Key: g.rsaKey, MariaDB: p.engine == config.MariaDB,
		},
		TLS: p.certificate.current.Load, IAM: g.gate.Load, Names: addresses(p.conf, p.port),
		KeepAlive: proxy.KeepAlive{
			Idle: p.conf.TCP.KeepaliveIdle, Interval: p.conf.TCP.KeepaliveInterval, Count: p.conf.TCP.KeepaliveCount,
			UserTimeout: p.conf.TCP.UserTimeout,
		},
	}
}

func portOf(a net.Addr) uint16 {
	if t, ok := a.(*net.TCPAddr); ok {
		return t.AddrPort().Port()
	}
	return 0
}

// rotated has the connections of a user replaced whose password has changed, some
// time from now.
func (g *graph) rotated(user string) {
	for _, t := range g.targets {
		if conf, ok := g.config().TargetGroup(t.group.Name()); ok {
			time.AfterFunc(conf.RetireAfterRotation, func() { t.retireUser(user) })
		}
	}
}

// retireUser replaces the connections of a user, to the writer and to the readers.
func (t *targetGroup) retireUser(user string) {
	t.group.RetireUser(user)
	for _, group := range t.follower.readerGroups() {
		group.RetireUser(user)
	}
}

// watch starts to look for the writers.
func (g *graph) watch() error {
	g.changing.Lock()
	defer g.changing.Unlock()
	for _, t := range g.targets {
		if err := t.follower.start(); err != nil {
			return err
		}
	}
	return nil
}

// unwatch ends that.
func (g *graph) unwatch() {
	g.changing.Lock()
	defer g.changing.Unlock()
	for _, t := range g.targets {
		t.follower.retire()
	}
}

// listen opens all endpoints, or none.
func (g *graph) listen(ctx context.Context) error {
	g.changing.Lock()
	defer g.changing.Unlock()
	var listeners []net.Listener
	for _, p := range g.points {
		l, err := (&net.ListenConfig{}).Listen(ctx, "tcp", p.conf.Listen)
		if err != nil {
			for _, open := range listeners {
				_ = open.Close()
			}
			return fmt.Errorf("endpoints[%s].listen: %w", p.conf.Name, err)
		}
		listeners = append(listeners, l)
	}
	for i, p := range g.points {
		p.port = portOf(listeners[i].Addr())
		p.running = g.proxy.AddEndpoint(listeners[i], g.endpointOptions(p))
		g.log.Info("The endpoint is open.", zap.String("endpoint", p.conf.Name), zap.Stringer("listen", listeners[i].Addr()))
	}
	return nil
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
