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

// adminTargets are the members of a group. The connections are to one of them.
func adminTargets(t proxy.TargetStats, f *follower) []admin.Target {
	known, at, _ := f.status()
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
			serving(&one, t, known.Writer == at)
		}
		list = append(list, one)
	}
	if !used {
		one := admin.Target{Name: at, Role: strings.ToLower(string(failover.RoleUnknown)), State: string(failover.StateRegistering)}
		serving(&one, t, false)
		list = append(list, one)
	}
	return list
}

// serving adds what the proxy knows of the member that its connections lead to.
func serving(one *admin.Target, t proxy.TargetStats, writer bool) {
	p := &t.Pool
	one.Closed = make(map[string]uint64)
	for _, r := range pool.CloseReasons() {
		one.Closed[r.String()] = p.Closed[r]
	}
	one.Closed["lost"] = p.Lost
	all := uint64(p.Idle + p.Borrowed + p.Dedicated + p.Closing)
	tls := min(t.OpenTLS, all)
	one.Connections = admin.ByTLS{TLS: tls, Plain: all - tls}
	one.Borrowed, one.Dedicated = uint64(p.Borrowed+p.Dedicated), uint64(p.Dedicated)
	one.InTransaction, one.Pinned = t.InTransaction, t.Pinned
	one.Requests, one.SetupSucceeded, one.SetupFailed = byTLS(t.Requests), t.Opened, t.Failed
	one.Response = latency(t.Response)
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
