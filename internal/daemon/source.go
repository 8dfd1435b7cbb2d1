// SPDX-License-Identifier: Apache-2.0

package daemon

import (
	"context"
	"errors"
	"slices"
	"time"

	"github.com/rdsproxy/rdsproxy/pkg/admin"
	"github.com/rdsproxy/rdsproxy/pkg/config"
	"github.com/rdsproxy/rdsproxy/pkg/pool"
	"github.com/rdsproxy/rdsproxy/pkg/proxy"
)

// loopsAnswerWithin is how long a snapshot waits for the event loops' numbers.
const loopsAnswerWithin = time.Second

// adminShutdown bounds the end of the admin listener.
const adminShutdown = 2 * time.Second

// serveAdmin runs the admin listener until ctx ends.
func (g *graph) serveAdmin(ctx context.Context) error {
	conf := g.config().Admin
	if conf.Listen == "" {
		<-ctx.Done()
		return nil
	}
	s, err := admin.Listen(ctx, admin.Options{
		Listen: conf.Listen, AllowRemote: conf.AllowRemote, Pprof: conf.Pprof, Source: g, Log: g.log,
	})
	if err != nil {
		return err
	}
	served := make(chan error, 1)
	go func() { served <- s.Serve() }()
	select {
	case err := <-served:
		return err
	case <-ctx.Done():
	}
	end, stop := context.WithTimeout(context.Background(), adminShutdown) // ctx has ended
	defer stop()
	return errors.Join(s.Shutdown(end), <-served)
}

// Ready implements admin.Source.
func (g *graph) Ready() []admin.Check {
	s := g.proxy.Stats(loopsAnswerWithin)
	checks := []admin.Check{{Name: "draining", OK: !s.Draining}}
	broken, detail := g.users.trouble()
	checks = append(checks, admin.Check{
		// One bad secret keeps its user out, not everybody.
		Name: "secrets", OK: broken < len(g.config().Auth), Detail: detail,
	}, admin.Check{Name: "endpoints", OK: len(s.Endpoints) == len(g.points)})
	for _, t := range s.Targets {
		if !g.isWriters(t.Group) {
			continue
		}
		c := admin.Check{Name: "target_group/" + t.Name, OK: true}
		switch {
		// Clients are better off waiting here than being sent away: the borrow queue is
		// what bridges a failover.
		case t.NoWriter:
			c.Detail = t.LastError.Error()
		case t.LastError != nil:
			c.Detail = "the database cannot be reached: " + t.LastError.Error()
		}
		checks = append(checks, c)
	}
	return checks
}

// isWriters tells whether a target group of the proxy is one of the configuration, and
// not one of readers.
func (g *graph) isWriters(group *proxy.TargetGroup) bool {
	return slices.ContainsFunc(g.targets, func(t *targetGroup) bool { return t.group == group })
}

// Snapshot implements admin.Source.
func (g *graph) Snapshot() admin.Snapshot {
	s := g.proxy.Stats(loopsAnswerWithin)
	out := admin.Snapshot{
		Version: g.opts.Version, Started: s.Started, Draining: s.Draining, Loops: s.Loops,
		Reload: g.reloads.last(), SecretsFailing: g.users.failing(), SessionPanics: s.Panics,
	}
	for _, e := range s.Endpoints {
		out.Endpoints = append(out.Endpoints, adminEndpoint(e, g.roleOf(e.Name)))
	}
	broken, detail := g.users.trouble()
	stats := make(map[*proxy.TargetGroup]*proxy.TargetStats, len(s.Targets))
	for i := range s.Targets {
		stats[s.Targets[i].Group] = &s.Targets[i]
	}
	g.changing.Lock()
	defer g.changing.Unlock()
	for _, t := range g.targets {
		group := adminTargetGroup(t, stats)
		for j := range group.Targets {
			tellOfSecrets(&group.Targets[j], broken == len(g.config().Auth), detail)
		}
		out.TargetGroups = append(out.TargetGroups, group)
	}
	return out
}

func byTLS(n [2]uint64) admin.ByTLS { return admin.ByTLS{Plain: n[0], TLS: n[1]} }

func latency(l proxy.Latency) admin.Latency {
	return admin.Latency{Count: l.Count, SumSeconds: l.Sum.Seconds()}
}

func histogram(h proxy.Histogram) admin.Histogram {
	out := admin.Histogram{Counts: h.Buckets[:], SumSeconds: h.Sum.Seconds()}
	for _, b := range proxy.LatencyBounds {
		out.Bounds = append(out.Bounds, b.Seconds())
	}
	return out
}

// roleOf is that of an endpoint, which does not change.
func (g *graph) roleOf(endpoint string) config.Role {
	for _, p := range g.points {
		if p.conf.Name == endpoint {
			return p.conf.Role
		}
	}
	return config.ReadWrite
}

func adminEndpoint(e proxy.EndpointStats, role config.Role) admin.Endpoint {
	open := byTLS(e.Open)
	open.Plain += e.Unauthenticated // whether they will use TLS is not known yet
	return admin.Endpoint{
		Name: e.Name, Listen: e.Listen, TargetGroup: e.TargetGroup, Role: string(role),
		ClientConnections: open, Unauthenticated: e.Unauthenticated, Waiting: e.Waiting,
		Received: e.Received, SetupSucceeded: e.Succeeded, SetupFailed: e.Failed, Closed: e.Closed,
		Interrupted: e.Interrupted, BorrowLatency: histogram(e.Borrow), BorrowTimeouts: e.BorrowTimeouts,
		SimpleQueries: byTLS(e.Simple), ExtendedQueries: byTLS(e.Extended),
		QueryResponse: latency(e.Response), DatabaseResponse: latency(e.Database),
		CancelRequests: map[string]uint64{"delivered": e.CancelsDelivered, "unknown_key": e.CancelsUnknown},
	}
}

func adminTargetGroup(of *targetGroup, stats map[*proxy.TargetGroup]*proxy.TargetStats) admin.TargetGroup {
	writer := stats[of.group]
	out := admin.TargetGroup{
		Name: writer.Name, Engine: string(of.plan.conf.Engine), MaxConnections: uint64(writer.MaxConnections),
		MaxConnectionsAllowed: uint64(writer.Pool.Budget),
		Pins:                  make(map[string]uint64),
		Failover:              adminFailover(of), Targets: adminTargets(of.follower, writer, stats),
	}
	pools := make(map[pool.Key]int)
	for _, group := range of.follower.allGroups() {
		t := stats[group]
		if t == nil {
			continue // it has only just been made
		}
		p := &t.Pool
		out.Borrows, out.Waited = out.Borrows+p.Borrows, out.Waited+p.Waited
		out.Replayed, out.Moved, out.Unpins = out.Replayed+p.Replays, out.Moved+p.Moves, out.Unpins+t.Unpins
		for reason, n := range t.Pins {
			out.Pins[reason] += n
		}
		for _, q := range p.Pools {
			i, there := pools[q.Key]
			if !there {
				i = len(out.Pools)
				pools[q.Key] = i
				out.Pools = append(out.Pools, admin.Pool{User: q.User, Database: q.Database})
			}
			addPool(&out.Pools[i], &q)
		}
	}
	return out
}

// addPool adds the connections of a pool at one server.
func addPool(to *admin.Pool, q *pool.PoolStats) {
	to.Idle += uint64(q.Idle)
	to.Borrowed += uint64(q.Borrowed)
	to.Dedicated += uint64(q.Dedicated)
	to.Opening += uint64(q.Dialing)
	to.Closing += uint64(q.Closing)
	to.Waiting += uint64(q.Waiting)
	if q.DialError != nil && to.Error == "" {
		to.Error = q.DialError.Error()
	}
}
