// SPDX-License-Identifier: Apache-2.0

package config_test

import (
	"net/netip"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/rdsproxy/rdsproxy/pkg/config"
)

func TestDiff(t *testing.T) {
	const two = `
endpoints: [{name: a, listen: "127.0.0.1:1", target_group: x}, {name: b, listen: "127.0.0.1:2", target_group: y}]
target_groups: [{name: x, writer: db}, {name: y, writer: db}]
auth: [{user: app, secret: s}, {user: job, secret: s}]
allowed_client_networks: [10.0.0.0/8]
`
	tests := []struct {
		name   string
		change func(*config.Config)
		want   []config.Change
	}{
		{"nothing", func(*config.Config) {}, nil},
		{"order of lists", func(c *config.Config) {
			slices.Reverse(c.Endpoints)
			slices.Reverse(c.TargetGroups)
			slices.Reverse(c.Auth)
		}, nil},
		{"scalars", func(c *config.Config) { c.Loops, c.IdleClientTimeout, c.RequireTLS = 7, time.Hour, true }, []config.Change{
			{Path: "idle_client_timeout", Reload: config.Live},
			{Path: "require_tls", Reload: config.NewConnections},
			{Path: "loops", Reload: config.Restart},
		}},
		{"in sections", func(c *config.Config) { c.Log.Level, c.Log.Format = config.LogDebug, config.LogConsole }, []config.Change{
			{Path: "log.level", Reload: config.Live},
			{Path: "log.format", Reload: config.Restart},
		}},
		{"in lists", func(c *config.Config) {
			c.Endpoints[1].TLS.MinVersion = "1.3"
			c.TargetGroups[0].Writer.Port = 1
			c.TargetGroups[1].TCP.KeepaliveCount = 9
			c.Auth[0].Secret = "/other"
		}, []config.Change{
			{Path: "endpoints[b].tls.min_version", Reload: config.NewConnections},
			{Path: "target_groups[x].writer", Reload: config.Live},
			{Path: "target_groups[y].tcp.keepalive_count", Reload: config.NewConnections},
			{Path: "auth[app].secret", Reload: config.Live},
		}},
		{"added and removed", func(c *config.Config) {
			c.Endpoints = c.Endpoints[:1]
			c.Auth[1].User = "other"
		}, []config.Change{
			{Path: "endpoints[b]", Reload: config.Restart},
			{Path: "auth[job]", Reload: config.Live},
			{Path: "auth[other]", Reload: config.Live},
		}},
		{"lists of values", func(c *config.Config) {
			c.AllowedClientNetworks = append(c.AllowedClientNetworks, netip.MustParsePrefix("192.0.2.0/24"))
			c.TargetGroups[0].Members = []config.Address{{Host: "a", Port: 1}}
			c.TargetGroups[0].SessionPinningFilters = []string{"X"}
			c.TargetGroups[1].SessionPinningFilters = []string{}
		}, []config.Change{
			{Path: "target_groups[x].members", Reload: config.Live},
			{Path: "target_groups[x].session_pinning_filters", Reload: config.NewConnections},
			{Path: "allowed_client_networks", Reload: config.NewConnections},
		}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			before, after := parse(t, two), parse(t, two)
			tt.change(after)
			got := config.Diff(before, after)
			if d := cmp.Diff(tt.want, got); d != "" {
				t.Error(d)
			}
			for _, c := range config.NeedsRestart(got) {
				if c.Reload != config.Restart {
					t.Errorf("%s needs no restart", c.Path)
				}
			}
		})
	}
}

func TestNeedsRestart(t *testing.T) {
	changes := []config.Change{{Path: "a", Reload: config.Live}, {Path: "b", Reload: config.Restart}, {Path: "c", Reload: config.NewConnections}}
	got := config.NeedsRestart(changes)
	if d := cmp.Diff([]config.Change{{Path: "b", Reload: config.Restart}}, got); d != "" {
		t.Error(d)
	}
	if changes[0].Path != "a" {
		t.Error("the argument was changed")
	}
}
