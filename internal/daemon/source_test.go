// SPDX-License-Identifier: Apache-2.0

package daemon

import (
	"testing"

	"github.com/rdsproxy/rdsproxy/pkg/admin"
)

// TestTargetHealth: secrets that are wrong are a part of a target's health; without any that is right it is of no use.
func TestTargetHealth(t *testing.T) {
	const detail = `user app: secret "app.json": not found`
	up := admin.Target{Available: true, State: "AVAILABLE"}
	down := admin.Target{State: "UNAVAILABLE", Reason: "UNREACHABLE", Description: "connection refused"}
	for _, tt := range []struct {
		name   string
		was    admin.Target
		all    bool
		detail string
		want   admin.Target
	}{
		{"nothing wrong", up, false, "", up},
		{"one of several", up, false, detail, admin.Target{Available: true, State: "AVAILABLE", Description: detail}},
		{"all", up, true, detail, admin.Target{State: "UNAVAILABLE", Reason: "AUTH_FAILURE", Description: detail}},
		{"down as well", down, true, detail, admin.Target{
			State: "UNAVAILABLE", Reason: "UNREACHABLE", Description: "connection refused; " + detail,
		}},
	} {
		got := tt.was
		tellOfSecrets(&got, tt.all, tt.detail)
		if got.Available != tt.want.Available || got.State != tt.want.State || got.Reason != tt.want.Reason || got.Description != tt.want.Description {
			t.Errorf("%s: %+v", tt.name, got)
		}
	}
}
