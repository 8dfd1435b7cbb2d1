// SPDX-License-Identifier: Apache-2.0

package config_test

import (
	"errors"
	"os"
	"strings"
	"testing"

	"github.com/rogpeppe/go-internal/txtar"

	"github.com/rdsproxy/rdsproxy/pkg/config"
)

// FuzzParse: whatever the text, Parse neither panics nor fails without a reason, and what it accepts holds the promises of
// the struct.
func FuzzParse(f *testing.F) {
	archive, err := txtar.ParseFile("testdata/problems.txtar")
	if err != nil {
		f.Fatal(err)
	}
	for _, file := range archive.Files {
		f.Add(file.Data, "RDSPROXY_LOOPS", "3")
	}
	example, err := os.ReadFile(exampleFile)
	if err != nil {
		f.Fatal(err)
	}
	f.Add(example, "RDSPROXY_AUTH", "[{user: a, secret: b}]")
	f.Add([]byte(minimal), "RDSPROXY_ALLOWED_CLIENT_NETWORKS", "10.0.0.0/8,::1")
	f.Fuzz(func(t *testing.T, text []byte, name, value string) {
		c, err := config.Parse(config.Options{File: "/etc/f.yaml", Text: text, Environ: []string{name + "=" + value}})
		if err != nil {
			var e *config.Error
			if !errors.As(err, &e) || len(e.Problems) == 0 || c != nil {
				t.Fatalf("%T %v %v", err, err, c)
			}
			for _, p := range e.Problems {
				if p.What == "" || p.Do == "" || strings.Contains(p.Path, "\n") && !strings.Contains(string(text)+value, "\n") {
					t.Errorf("%+v", p)
				}
			}
			return
		}
		checkPromises(t, c)
	})
}

func checkPromises(t *testing.T, c *config.Config) {
	t.Helper()
	if len(c.Endpoints) == 0 || len(c.TargetGroups) == 0 || len(c.Auth) == 0 || c.MaxClientConnections < 1 || c.IdleClientTimeout <= 0 {
		t.Errorf("incomplete: %+v", c)
	}
	for _, e := range c.Endpoints {
		if _, ok := c.TargetGroup(e.TargetGroup); !ok || e.TLS.Enabled() != (e.TLS.KeyFile != "") || (c.RequireTLS && !e.TLS.Enabled()) {
			t.Errorf("%+v", e)
		}
	}
	for _, g := range c.TargetGroups {
		if g.Writer.Host == "" && len(g.Members) == 0 || (g.Writer.Host == "") != (g.Writer.Port == 0) || g.Discovery == "" || g.MaxIdleConnectionsPercent > g.MaxConnectionsPercent ||
			g.MaxConnectionsPercent < 1 || g.MaxConnectionsPercent > 100 || g.ConnectTimeout <= 0 || g.TLS.Mode == "" {
			t.Errorf("%+v", g)
		}
	}
	for _, a := range c.Auth {
		if a.User == "" || !strings.HasPrefix(a.Secret, "/") || strings.Contains(a.User+a.Secret, "\x00") {
			t.Errorf("%+v", a)
		}
	}
	if len(config.Diff(c, c)) != 0 {
		t.Error("differs from itself")
	}
}
