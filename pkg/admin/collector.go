// SPDX-License-Identifier: Apache-2.0

package admin

import (
	"fmt"
	"slices"
	"strconv"
	"time"
	"unicode/utf8"

	"github.com/prometheus/client_golang/prometheus"
)

// collector turns a snapshot into metrics at each scrape. Nothing is counted in between: the counters are the daemon's own.
type collector struct{ source Source }

// Describe implements prometheus.Collector.
func (collector) Describe(out chan<- *prometheus.Desc) {
	for _, m := range catalogue {
		out <- m.desc
	}
}

// Collect implements prometheus.Collector. The registry calls it on a goroutine of its own, where a panic would end the
// daemon; it fails the scrape instead.
func (c collector) Collect(out chan<- prometheus.Metric) {
	defer func() {
		if v := recover(); v != nil {
			out <- prometheus.NewInvalidMetric(buildInfo.desc, fmt.Errorf("panic while collecting: %v", v))
		}
	}()
	s := c.source.Snapshot()
	e := emitter{out}
	e.daemon(s)
	for _, p := range s.Endpoints {
		e.endpoint(p)
	}
	for _, g := range s.TargetGroups {
		e.targetGroup(g)
	}
}

type emitter struct{ out chan<- prometheus.Metric }

func (e emitter) number(m *metric, v float64, labels ...string) {
	kind := prometheus.GaugeValue
	if m.kind == "counter" {
		kind = prometheus.CounterValue
	}
	e.send(m, func() (prometheus.Metric, error) { return prometheus.NewConstMetric(m.desc, kind, v, clean(labels)...) })
}

func (e emitter) count(m *metric, v uint64, labels ...string) { e.number(m, float64(v), labels...) }

func (e emitter) flag(m *metric, v bool, labels ...string) {
	if v {
		e.number(m, 1, labels...)
	} else {
		e.number(m, 0, labels...)
	}
}

func (e emitter) time(m *metric, t time.Time, labels ...string) {
	if t.IsZero() {
		e.number(m, 0, labels...)
		return
	}
	e.number(m, float64(t.UnixMilli())/1e3, labels...)
}

// byTLS sends one number per value of the label tls, which is the last.
func (e emitter) byTLS(m *metric, v ByTLS, labels ...string) {
	e.count(m, v.TLS, append(slices.Clip(labels), "yes")...)
	e.count(m, v.Plain, append(slices.Clip(labels), "no")...)
}

// byReason sends one number per reason, the last label.
func (e emitter) byReason(m *metric, v map[string]uint64, labels ...string) {
	for reason, n := range v {
		e.count(m, n, append(slices.Clip(labels), reason)...)
	}
}

func (e emitter) latency(m *metric, l Latency, labels ...string) {
	e.send(m, func() (prometheus.Metric, error) {
		return prometheus.NewConstSummary(m.desc, l.Count, l.SumSeconds, nil, clean(labels)...)
	})
}

func (e emitter) histogram(m *metric, h Histogram, labels ...string) {
	e.send(m, func() (prometheus.Metric, error) {
		if len(h.Counts) != len(h.Bounds)+1 {
			return nil, fmt.Errorf("histogram of %d bounds with %d counts", len(h.Bounds), len(h.Counts))
		}
		buckets := make(map[float64]uint64, len(h.Bounds))
		var total uint64
		for i, bound := range h.Bounds {
			total += h.Counts[i]
			buckets[bound] = total
		}
		total += h.Counts[len(h.Bounds)]
		return prometheus.NewConstHistogram(m.desc, total, h.SumSeconds, buckets, clean(labels)...)
	})
}

func (e emitter) send(m *metric, build func() (prometheus.Metric, error)) {
	built, err := build()
	if err != nil {
		built = prometheus.NewInvalidMetric(m.desc, err)
	}
	e.out <- built
}

// clean makes labels fit for the format. Names of databases come from clients, and need not be UTF-8.
func clean(labels []string) []string {
	for i, l := range labels {
		if !utf8.ValidString(l) {
			labels[i] = strconv.Quote(l)
		}
	}
	return labels
}

func (e emitter) daemon(s Snapshot) {
	e.number(buildInfo, 1, s.Version)
	e.time(startTime, s.Started)
	e.flag(draining, s.Draining)
	e.number(loops, float64(s.Loops))
	e.flag(reloadOK, s.Reload.OK)
	e.time(reloadAt, s.Reload.Succeeded)
	e.number(secretsFailing, float64(s.SecretsFailing))
	e.count(sessionPanics, s.SessionPanics)
}

func (e emitter) endpoint(p Endpoint) {
	e.byTLS(clientConnections, p.ClientConnections, p.Name)
	e.count(clientUnauthenticated, p.Unauthenticated, p.Name)
	e.count(clientWaiting, p.Waiting, p.Name)
	e.count(clientReceived, p.Received, p.Name)
	e.count(clientSucceeded, p.SetupSucceeded, p.Name)
	e.byReason(clientFailed, p.SetupFailed, p.Name)
	e.byReason(clientClosed, p.Closed, p.Name)
	e.histogram(borrowLatency, p.BorrowLatency, p.Name)
	e.count(borrowTimeouts, p.BorrowTimeouts, p.Name)
	e.byTLS(queryRequests, p.SimpleQueries, p.Name, "simple")
	e.byTLS(queryRequests, p.ExtendedQueries, p.Name, "extended")
	e.latency(queryLatency, p.QueryResponse, p.Name)
	e.latency(queryDatabaseLatency, p.DatabaseResponse, p.Name)
	e.byReason(interrupted, p.Interrupted, p.Name)
	e.byReason(cancelRequests, p.CancelRequests, p.Name)
}

func (e emitter) targetGroup(g TargetGroup) {
	e.count(maxConnections, g.MaxConnections, g.Name)
	e.count(maxAllowed, g.MaxConnectionsAllowed, g.Name)
	e.count(borrows, g.Borrows, g.Name)
	e.count(waited, g.Waited, g.Name)
	e.count(replayed, g.Replayed, g.Name)
	e.count(moved, g.Moved, g.Name)
	e.byReason(pins, g.Pins, g.Name)
	e.count(unpins, g.Unpins, g.Name)
	e.number(pools, float64(len(g.Pools)), g.Name)
	e.count(failovers, g.Failover.Count, g.Name)
	e.number(withoutWriter, g.Failover.WithoutWriterSeconds, g.Name)
	e.number(lastFailover, g.Failover.LastSeconds, g.Name)
	e.flag(paused, g.Failover.Paused, g.Name)
	for _, t := range g.Targets {
		e.target(t, g.Name, t.Name, t.Role)
	}
	for _, p := range busiestPools(g.Pools) {
		e.pool(p, g.Name)
	}
}

func (e emitter) target(t Target, labels ...string) {
	e.flag(targetAvailable, t.Available, labels...)
	e.number(targetHealth, 1, append(slices.Clip(labels), t.State, t.Reason)...)
	if t.LagSeconds != nil {
		e.number(targetLag, *t.LagSeconds, labels...)
	}
	e.byTLS(databaseConnections, t.Connections, labels...)
	e.count(databaseBorrowed, t.Borrowed, labels...)
	e.count(databaseInTransaction, t.InTransaction, labels...)
	e.byReason(databasePinned, t.Pinned, labels...)
	e.count(databaseDedicated, t.Dedicated, labels...)
	e.byTLS(databaseRequests, t.Requests, labels...)
	e.count(databaseSucceeded, t.SetupSucceeded, labels...)
	e.byReason(databaseFailed, t.SetupFailed, labels...)
	e.byReason(databaseClosed, t.Closed, labels...)
	e.latency(targetLatency, t.Response, labels...)
}

func (e emitter) pool(p Pool, group string) {
	for _, s := range []struct {
		state string
		n     uint64
	}{
		{"idle", p.Idle}, {"borrowed", p.Borrowed}, {"dedicated", p.Dedicated}, {"opening", p.Opening}, {"closing", p.Closing},
	} {
		e.count(poolConnections, s.n, group, p.User, p.Database, s.state)
	}
	e.count(poolWaiting, p.Waiting, group, p.User, p.Database)
}
