// SPDX-License-Identifier: Apache-2.0

package admin_test

import (
	"bytes"
	"flag"
	"fmt"
	"net/http/httptest"
	"os"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promhttp"
	"github.com/prometheus/client_golang/prometheus/testutil/promlint"
	dto "github.com/prometheus/client_model/go"

	"github.com/rdsproxy/rdsproxy/pkg/admin"
)

var update = flag.Bool("update", false, "write the golden files anew")

// gather scrapes the collector; the registry checks names, labels and doubles.
func gather(t *testing.T, s *source) []*dto.MetricFamily {
	t.Helper()
	r := prometheus.NewPedanticRegistry()
	r.MustRegister(admin.NewCollector(s))
	families, err := r.Gather()
	if err != nil {
		t.Fatal(err)
	}
	return families
}

// TestExposition compares the whole text that Prometheus gets.
func TestExposition(t *testing.T) {
	r := prometheus.NewPedanticRegistry()
	r.MustRegister(admin.NewCollector(&source{snapshot: full()}))
	w := httptest.NewRecorder()
	promhttp.HandlerFor(r, promhttp.HandlerOpts{ErrorHandling: promhttp.HTTPErrorOnError}).
		ServeHTTP(w, httptest.NewRequest("GET", "/metrics", nil))
	got := w.Body.Bytes()
	const golden = "testdata/metrics.txt"
	if *update {
		if err := os.WriteFile(golden, got, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(golden)
	if err != nil {
		t.Fatal(err)
	}
	if d := cmp.Diff(string(want), string(got)); d != "" {
		t.Error(d)
	}
	problems, err := promlint.New(bytes.NewReader(got)).Lint()
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range problems {
		t.Errorf("%s: %s", p.Metric, p.Text)
	}
}

// TestCatalogue proves that the catalogue is what the collector exposes: the same names, types and labels, no more, no less.
func TestCatalogue(t *testing.T) {
	exposed := map[string]*dto.MetricFamily{}
	for _, f := range gather(t, &source{snapshot: full()}) {
		exposed[f.GetName()] = f
	}
	for _, m := range admin.Catalogue() {
		f := exposed[m.Name]
		if f == nil {
			t.Errorf("%s is not exposed", m.Name)
			continue
		}
		delete(exposed, m.Name)
		if got := strings.ToLower(f.GetType().String()); got != m.Type {
			t.Errorf("%s is a %s, the catalogue says %s", m.Name, got, m.Type)
		}
		if f.GetHelp() != m.Help {
			t.Errorf("%s: help differs", m.Name)
		}
		labels := map[string]bool{}
		for _, l := range f.GetMetric()[0].GetLabel() {
			labels[l.GetName()] = true
		}
		for _, l := range m.Labels {
			if !labels[l] {
				t.Errorf("%s has no label %s", m.Name, l)
			}
			delete(labels, l)
		}
		for l := range labels {
			t.Errorf("%s has a label %s that is not in the catalogue", m.Name, l)
		}
	}
	for name := range exposed {
		t.Errorf("%s is exposed but not in the catalogue", name)
	}
}

func TestNamesFollowConventions(t *testing.T) {
	for _, m := range admin.Catalogue() {
		if !strings.HasPrefix(m.Name, "rdsproxy_") || !strings.HasSuffix(m.Help, ".") {
			t.Errorf("%s: %q", m.Name, m.Help)
		}
		if total := strings.HasSuffix(m.Name, "_total"); total != (m.Type == "counter") {
			t.Errorf("%s is a %s", m.Name, m.Type)
		}
		if timed := strings.HasSuffix(m.Name, "_seconds"); timed != (m.Type == "summary" || m.Type == "histogram") &&
			!strings.Contains(m.Name, "time") && m.Name != "rdsproxy_target_lag_seconds" && m.Name != "rdsproxy_failover_last_duration_seconds" {
			t.Errorf("%s is a %s", m.Name, m.Type)
		}
	}
}

// rdsMetrics is every metric that Amazon RDS Proxy publishes.
var rdsMetrics = []string{
	"AvailabilityPercentage", "ClientConnections", "ClientConnectionsClosed", "ClientConnectionsNoTLS", "ClientConnectionsReceived",
	"ClientConnectionsSetupFailedAuth", "ClientConnectionsSetupSucceeded", "ClientConnectionsTLS", "DatabaseConnectionRequests",
	"DatabaseConnectionRequestsWithTLS", "DatabaseConnections", "DatabaseConnectionsBorrowLatency",
	"DatabaseConnectionsCurrentlyBorrowed", "DatabaseConnectionsCurrentlyInTransaction",
	"DatabaseConnectionsCurrentlySessionPinned", "DatabaseConnectionsSetupFailed", "DatabaseConnectionsSetupSucceeded",
	"DatabaseConnectionsWithTLS", "MaxDatabaseConnectionsAllowed", "QueryDatabaseResponseLatency", "QueryRequests",
	"QueryRequestsNoTLS", "QueryRequestsTLS", "QueryResponseLatency",
}

func TestEveryMetricOfRDSProxyHasACounterpart(t *testing.T) {
	named := map[string]bool{}
	for _, m := range admin.Catalogue() {
		for _, r := range m.RDS {
			named[r] = true
		}
	}
	for _, r := range rdsMetrics {
		if !named[r] {
			t.Errorf("%s has no counterpart", r)
		}
		delete(named, r)
	}
	for r := range named {
		t.Errorf("%s is no metric of RDS Proxy", r)
	}
}

// TestDocument keeps docs/metrics.md equal to the catalogue; -update writes it.
func TestDocument(t *testing.T) {
	const file = "../../docs/metrics.md"
	const begin, end = "<!-- begin catalogue -->\n", "<!-- end catalogue -->\n"
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	head, rest, ok := strings.Cut(string(text), begin)
	if !ok {
		t.Fatalf("%s has no line %s", file, begin)
	}
	old, tail, ok := strings.Cut(rest, end)
	if !ok {
		t.Fatalf("%s has no line %s", file, end)
	}
	fresh := document()
	if *update {
		if err := os.WriteFile(file, []byte(head+begin+fresh+end+tail), 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	if d := cmp.Diff(fresh, old); d != "" {
		t.Errorf("stale, run go test ./pkg/admin -run TestDocument -update\n%s", d)
	}
}

func document() string {
	var b strings.Builder
	b.WriteString("| Metric | Type | Labels | What it is | In RDS Proxy |\n|---|---|---|---|---|\n")
	for _, m := range admin.Catalogue() {
		fmt.Fprintf(&b, "| `%s` | %s | %s | %s | %s |\n",
			m.Name, m.Type, strings.Join(m.Labels, ", "), m.Help, strings.Join(m.RDS, ", "))
	}
	return b.String()
}

// TestEmptySnapshot is a daemon that has just begun.
func TestEmptySnapshot(t *testing.T) {
	for _, f := range gather(t, &source{}) {
		if strings.Contains(f.GetName(), "timestamp") && f.GetMetric()[0].GetGauge().GetValue() != 0 {
			t.Errorf("%s of a zero time: %v", f.GetName(), f)
		}
	}
	s := &source{snapshot: admin.Snapshot{Endpoints: []admin.Endpoint{{Name: "a", BorrowLatency: admin.Histogram{
		Bounds: admin.BorrowBounds[:], Counts: make([]uint64, len(admin.BorrowBounds)+1),
	}}}, TargetGroups: []admin.TargetGroup{{Name: "b"}}}}
	gather(t, s)
}

func TestBorrowBoundsGrow(t *testing.T) {
	for i := 1; i < len(admin.BorrowBounds); i++ {
		if admin.BorrowBounds[i] <= admin.BorrowBounds[i-1] {
			t.Errorf("bound %d", i)
		}
	}
}

// TestHostileNames: a client chooses the name of its database.
func TestHostileNames(t *testing.T) {
	s := full()
	s.TargetGroups[0].Pools = []admin.Pool{
		{User: "app", Database: "a\xff"}, {User: "app", Database: "a\xfe"}, {User: "a\"\n\\", Database: "{}=,"}, {User: "", Database: ""},
	}
	n := 0
	for _, f := range gather(t, &source{snapshot: s}) {
		if f.GetName() == "rdsproxy_pool_waiting" {
			n = len(f.GetMetric())
		}
	}
	if n != 4 {
		t.Errorf("%d pools", n)
	}
}

func TestManyPools(t *testing.T) {
	s := full()
	s.TargetGroups[0].Pools = nil
	for i := range 2 * admin.MaxPools {
		s.TargetGroups[0].Pools = append(s.TargetGroups[0].Pools, admin.Pool{User: "app", Database: fmt.Sprint(i), Waiting: uint64(i)})
	}
	for _, f := range gather(t, &source{snapshot: s}) {
		switch f.GetName() {
		case "rdsproxy_pool_waiting":
			if len(f.GetMetric()) != admin.MaxPools {
				t.Errorf("%d pools", len(f.GetMetric()))
			}
			for _, m := range f.GetMetric() {
				if m.GetGauge().GetValue() < admin.MaxPools {
					t.Errorf("not a busy one: %v", m)
				}
			}
		case "rdsproxy_pools":
			if v := f.GetMetric()[0].GetGauge().GetValue(); v != 2*admin.MaxPools {
				t.Errorf("%v pools", v)
			}
		}
	}
}

// TestFaultySource: a fault of the source fails the scrape, or the one metric, and not the daemon.
func TestFaultySource(t *testing.T) {
	r := prometheus.NewRegistry()
	r.MustRegister(admin.NewCollector(&source{panics: true}))
	if _, err := r.Gather(); err == nil || !strings.Contains(err.Error(), "no snapshot") {
		t.Error(err)
	}
	s := full()
	s.Endpoints[0].BorrowLatency.Counts = nil
	r = prometheus.NewRegistry()
	r.MustRegister(admin.NewCollector(&source{snapshot: s}))
	families, err := r.Gather()
	if err == nil || !strings.Contains(err.Error(), "histogram of 2 bounds with 0 counts") {
		t.Error(err)
	}
	if len(families) != len(admin.Catalogue())-1 {
		t.Errorf("%d families", len(families))
	}
}
