// SPDX-License-Identifier: Apache-2.0

package daemon

import (
	"strings"

	"github.com/rdsproxy/rdsproxy/pkg/admin"
	"github.com/rdsproxy/rdsproxy/pkg/failover"
	"github.com/rdsproxy/rdsproxy/pkg/pool"
	"github.com/rdsproxy/rdsproxy/pkg/proxy"
	"github.com/rdsproxy/rdsproxy/pkg/target"
)

// adminFailover tells how a group follows its writer.
func adminFailover(t *targetGroup) admin.Failover {
	known, _, n := t.follower.status()
	return admin.Failover{
		Writer: known.Writer, Cause: known.Cause, Since: known.Changed, Paused: t.group.Paused(),
		Count: n.count, WithoutWriterSeconds: n.without.Seconds(), LastSeconds: n.last.Seconds(),
	}
}

// adminTargets are the members of a group. Connections for writing are to one of them,
// those for reading to others.
func adminTargets(f *follower, writer *proxy.TargetStats, stats map[*proxy.TargetGroup]*proxy.TargetStats) []admin.Target {
	known, at, _ := f.status()
	readers := f.readerGroups()
	var list []admin.Target
	used := false
	for _, m := range known.Members {
		one := admin.Target{
			Name: m.Address, Role: strings.ToLower(string(m.Role)), Available: m.Health.State == failover.StateAvailable,
			State: string(m.Health.State), Reason: string(m.Health.Reason), Description: m.Health.Description,
			Since: m.Since,
		}
		if m.Lag != failover.UnknownLag {
			seconds := m.Lag.Seconds()
			one.LagSeconds = &seconds
		}
		if m.Address == at {
			used = true
			serving(&one, writer)
			noteErrors(&one, writer, known.Writer == at)
		}
		if t := stats[readers[m.Address]]; t != nil {
			serving(&one, t)
		}
		list = append(list, one)
	}
	if !used {
		one := admin.Target{Name: at, Role: strings.ToLower(string(failover.RoleUnknown)), State: string(failover.StateRegistering)}
		serving(&one, writer)
		list = append(list, one)
	}
	return list
}

// serving adds the figures of connections to a member.
func serving(one *admin.Target, t *proxy.TargetStats) {
	p := &t.Pool
	if one.Closed == nil {
		one.Closed, one.Pinned, one.SetupFailed = make(map[string]uint64), make(map[string]uint64), make(map[string]uint64)
	}
	for _, r := range pool.CloseReasons() {
		one.Closed[r.String()] += p.Closed[r]
	}
	one.Closed["lost"] += p.Lost
	for reason, n := range t.Pinned {
		one.Pinned[reason] += n
	}
	for reason, n := range t.Failed {
		one.SetupFailed[reason] += n
	}
	all := uint64(p.Idle + p.Borrowed + p.Dedicated + p.Closing)
	tls := min(t.OpenTLS, all)
	one.Connections.TLS += tls
	one.Connections.Plain += all - tls
	one.Borrowed += uint64(p.Borrowed + p.Dedicated)
	one.Dedicated += uint64(p.Dedicated)
	one.InTransaction += t.InTransaction
	requests := byTLS(t.Requests)
	one.Requests.TLS += requests.TLS
	one.Requests.Plain += requests.Plain
	one.SetupSucceeded += t.Opened
	response := latency(t.Response)
	one.Response.Count += response.Count
	one.Response.SumSeconds += response.SumSeconds
}

// noteErrors adds to the health of the member that the writer's connections lead to
// what the proxy has met there.
func noteErrors(one *admin.Target, t *proxy.TargetStats, writer bool) {
	switch {
	case !writer:
	case t.LastError != nil && !t.NoWriter:
		one.Available, one.State = false, string(failover.StateUnavailable)
		one.Reason, one.Description = unavailableReason(t.LastError), t.LastError.Error()
	case one.State != string(failover.StateAvailable):
		// Clients are served; only what it is cannot be asked.
		one.Available, one.State, one.Reason = true, string(failover.StateAvailable), ""
	}
}

// tellOfSecrets adds to a target's health which secrets are wrong. Without any that
// is right, nobody can log in there.
func tellOfSecrets(t *admin.Target, all bool, detail string) {
	if detail == "" {
		return
	}
	if all && t.Available {
		t.Available, t.State, t.Reason = false, "UNAVAILABLE", "AUTH_FAILURE"
	}
	if t.Description != "" {
		t.Description += "; "
	}
	t.Description += detail
}

// unavailableReason is RDS Proxy's word (TargetHealth.Reason) for an error.
func unavailableReason(err error) string {
	if proxy.IsNoCredentials(err) {
		return "AUTH_FAILURE"
	}
	if e, ok := target.ServerError(err); ok {
		if e.Code[:min(2, len(e.Code))] == "28" {
			return "AUTH_FAILURE"
		}
		return "CONNECTION_FAILED"
	}
	if e, ok := target.MySQLServerError(err); ok {
		if e.State == "28000" {
			return "AUTH_FAILURE"
		}
		return "CONNECTION_FAILED"
	}
	return "UNREACHABLE"
}
