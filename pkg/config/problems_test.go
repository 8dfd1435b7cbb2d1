// SPDX-License-Identifier: Apache-2.0

package config_test

import (
	"flag"
	"os"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/rogpeppe/go-internal/txtar"

	"github.com/rdsproxy/rdsproxy/pkg/config"
)

var update = flag.Bool("update", false, "write the golden files anew")

// TestProblems compares what Parse says of each configuration in testdata/problems.txtar.
func TestProblems(t *testing.T) {
	const golden = "testdata/problems.txtar"
	archive, err := txtar.ParseFile(golden)
	if err != nil {
		t.Fatal(err)
	}
	want := map[string]string{}
	var fresh []txtar.File
	for _, f := range archive.Files {
		if name, ok := strings.CutSuffix(f.Name, ".out"); ok {
			want[name] = string(f.Data)
		}
	}
	for _, f := range archive.Files {
		name, ok := strings.CutSuffix(f.Name, ".yaml")
		if !ok {
			continue
		}
		t.Run(name, func(t *testing.T) {
			_, err := config.Parse(config.Options{File: "proxy.yaml", Text: f.Data})
			if err == nil {
				t.Fatal("accepted")
			}
			got := err.Error() + "\n"
			if strings.Contains(got, "hunter2") {
				t.Errorf("shows a password: %s", got)
			}
			fresh = append(fresh, f, txtar.File{Name: name + ".out", Data: []byte(got)})
			if d := cmp.Diff(want[name], got); d != "" && !*update {
				t.Error(d)
			}
		})
	}
	if *update {
		archive.Files = fresh
		if err := os.WriteFile(golden, txtar.Format(archive), 0o644); err != nil {
			t.Fatal(err)
		}
	}
}

func TestEnvironmentProblems(t *testing.T) {
	tests := []struct {
		name    string
		environ []string
		want    string
	}{
		{
			"unknown",
			[]string{"RDSPROXY_LOG_LEVL=debug"},
			"configuration: RDSPROXY_LOG_LEVL: unknown environment variable; did you mean RDSPROXY_LOG_LEVEL?",
		},
		{
			"a section is not a variable",
			[]string{"RDSPROXY_LOG=debug"},
			"configuration: RDSPROXY_LOG: unknown environment variable; did you mean RDSPROXY_LOG_LEVEL?",
		},
		{
			"out of range",
			[]string{"RDSPROXY_LOOPS=9999"},
			"configuration: RDSPROXY_LOOPS: loops: 9999 is out of range; use 0 to 1024",
		},
		{
			"not a network",
			[]string{"RDSPROXY_ALLOWED_CLIENT_NETWORKS=10.0.0.0/8,x"},
			`configuration: RDSPROXY_ALLOWED_CLIENT_NETWORKS: allowed_client_networks[1]: "x" is not a network; write it like 10.0.0.0/8 or 2001:db8::/32`,
		},
		{
			"not YAML",
			[]string{"RDSPROXY_AUTH=["},
			"configuration: RDSPROXY_AUTH: is not YAML: line 1: did not find expected node content; mend the syntax",
		},
		{
			"not a list",
			[]string{"RDSPROXY_AUTH=app"},
			"configuration: RDSPROXY_AUTH: auth: wants a list; begin each entry with a hyphen",
		},
		{
			"in a list",
			[]string{"RDSPROXY_AUTH=[{user: a, secrt: b}]"},
			"configuration: RDSPROXY_AUTH: auth[0].secrt: unknown key; did you mean secret?",
		},
		{
			"takes the place of what the file says",
			[]string{"RDSPROXY_AUTH=[{user: a, secret: b}, {user: a, secret: c}]"},
			`configuration: RDSPROXY_AUTH: auth[1].user: "a" is there twice; remove one`,
		},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			_, err := config.Parse(config.Options{File: "proxy.yaml", Text: []byte(minimal), Environ: tt.environ})
			if err == nil {
				t.Fatal("accepted")
			}
			if d := cmp.Diff(tt.want, err.Error()); d != "" {
				t.Error(d)
			}
		})
	}
}
