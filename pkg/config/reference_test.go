// SPDX-License-Identifier: Apache-2.0

package config_test

import (
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"os"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"go.yaml.in/yaml/v3"

	"github.com/rdsproxy/rdsproxy/pkg/config"
)

const (
	exampleFile = "../../configs/rdsproxy.example.yaml"
	// iamFile has the lists filled in that are empty there.
	iamFile = "../../configs/rdsproxy.iam.example.yaml"
)

// TestExampleIsAccepted also proves that the example states the defaults: it means the same as the shortest configuration.
func TestExampleIsAccepted(t *testing.T) {
	text, err := os.ReadFile(exampleFile)
	if err != nil {
		t.Fatal(err)
	}
	got := parse(t, string(text))
	want := parse(t, strings.Replace(minimal, "App", "app", 1))
	if d := cmp.Diff(want, got, comparePrefixes, cmpopts.EquateEmpty()); d != "" {
		t.Error(d)
	}
}

// TestIAMExampleIsAccepted also proves that it shows only what the other example cannot.
func TestIAMExampleIsAccepted(t *testing.T) {
	text, err := os.ReadFile(iamFile)
	if err != nil {
		t.Fatal(err)
	}
	c := parse(t, string(text))
	if len(c.IAM.OwnKeys) != 1 || len(c.IAM.STS.Mappings) != 1 || len(c.IAM.WebIdentity) != 1 || len(c.IAM.WebIdentity[0].Mappings) != 1 {
		t.Errorf("%+v", c.IAM)
	}
}

// TestExampleExplains proves that each setting is in the example, under a comment.
func TestExampleExplains(t *testing.T) {
	explained := map[string]bool{}
	explain(explained, document(t, exampleFile), "", false)
	inLists := map[string]bool{}
	explain(inLists, document(t, iamFile), "", false)
	for path, told := range inLists {
		if isInIAMList(path) {
			explained[path] = told
		}
	}
	for _, f := range config.Reference() {
		told, there := explained[f.Path]
		switch {
		case !there:
			t.Errorf("%s is not in the example", f.Path)
		case !told:
			t.Errorf("%s has no comment above it", f.Path)
		}
		delete(explained, f.Path)
	}
	for path := range explained {
		t.Errorf("%s is in the example, but is no setting", path)
	}
}

// explain notes the path of each key and whether a comment stands above it, or above the section around it.
func explain(found map[string]bool, n *yaml.Node, path string, told bool) {
	switch n.Kind {
	case yaml.MappingNode:
		for i := 0; i < len(n.Content); i += 2 {
			key := n.Content[i]
			full := strings.TrimPrefix(path+"."+key.Value, ".")
			// The comment above the first key of a list's entry belongs to the entry.
			here := told || key.HeadComment != "" || (i == 0 && n.HeadComment != "")
			// A section is explained by what is in it.
			found[full] = here || n.Content[i+1].Kind == yaml.MappingNode
			explain(found, n.Content[i+1], full, key.HeadComment != "" && n.Content[i+1].Kind == yaml.MappingNode)
		}
	case yaml.SequenceNode:
		for _, e := range n.Content {
			explain(found, e, path+"[]", false)
		}
	}
}

// isInIAMList says whether a setting is inside of a list that the first example leaves empty.
func isInIAMList(path string) bool {
	return strings.HasPrefix(path, "iam.") && strings.Contains(path, "[]")
}

func document(t *testing.T, file string) *yaml.Node {
	t.Helper()
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	var doc yaml.Node
	if err := yaml.Unmarshal(text, &doc); err != nil {
		t.Fatal(err)
	}
	return doc.Content[0]
}

// TestExampleTellsReload proves that the example's marks agree with the table, for each comment that has a mark.
func TestExampleTellsReload(t *testing.T) {
	marks, inLists := map[string]config.Reload{}, map[string]config.Reload{}
	reloadMarks(marks, document(t, exampleFile), "", "")
	reloadMarks(inLists, document(t, iamFile), "", "")
	for path, mark := range inLists {
		if isInIAMList(path) {
			marks[path] = mark
		}
	}
	for _, f := range config.Reference() {
		if f.Type == "section" || f.Type == "list" {
			continue
		}
		if marks[f.Path] != f.Reload {
			t.Errorf("%s: the example says %q, the table %q", f.Path, marks[f.Path], f.Reload)
		}
	}
}

// reloadMarks notes the mark of each key: that of its own comment, or of the nearest section around it.
func reloadMarks(marks map[string]config.Reload, n *yaml.Node, path string, around config.Reload) {
	switch n.Kind {
	case yaml.MappingNode:
		for i := 0; i < len(n.Content); i += 2 {
			key := n.Content[i]
			full := strings.TrimPrefix(path+"."+key.Value, ".")
			comment := key.HeadComment
			if i == 0 {
				comment += n.HeadComment
			}
			marks[full] = around
			for _, r := range []config.Reload{config.Live, config.NewConnections, config.Restart} {
				if strings.HasSuffix(comment, "["+string(r)+"]") {
					marks[full] = r
				}
			}
			reloadMarks(marks, n.Content[i+1], full, marks[full])
		}
	case yaml.SequenceNode:
		for _, e := range n.Content {
			reloadMarks(marks, e, path+"[]", around)
		}
	}
}

// TestReferenceDocument keeps docs/configuration.md equal to the table; -update writes it.
func TestReferenceDocument(t *testing.T) {
	const file = "../../docs/configuration.md"
	const begin, end = "<!-- begin reference -->\n", "<!-- end reference -->\n"
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
	fresh := referenceTable()
	if *update {
		if err := os.WriteFile(file, []byte(head+begin+fresh+end+tail), 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	if d := cmp.Diff(fresh, old); d != "" {
		t.Errorf("stale, run go test ./pkg/config -run TestReferenceDocument -update\n%s", d)
	}
}

func referenceTable() string {
	var b strings.Builder
	b.WriteString("| Setting | Type | Default | Allowed | On reload | What it is |\n|---|---|---|---|---|---|\n")
	for _, f := range config.Reference() {
		fmt.Fprintf(&b, "| `%s` | %s | %s | %s | %s | %s |\n", f.Path, f.Type, f.Default, f.Allowed, f.Reload, f.Help)
	}
	return b.String()
}

func TestReferenceNames(t *testing.T) {
	byPath := map[string]config.Field{}
	for _, f := range config.Reference() {
		byPath[f.Path] = f
	}
	want := []config.Field{
		{
			Path: "idle_client_timeout", Type: "duration", Default: "30m", Allowed: "1s to 8h", Reload: config.Live,
			Env: "RDSPROXY_IDLE_CLIENT_TIMEOUT", Flag: "idle-client-timeout", Help: "Closes a client connection that has sent nothing for so long.",
		},
		{
			Path: "log.format", Type: "text", Default: "json", Allowed: "json, console", Reload: config.Restart,
			Env: "RDSPROXY_LOG_FORMAT", Flag: "log-format", Help: "Shape of log lines.",
		},
		{Path: "auth", Type: "list", Reload: config.Live, Env: "RDSPROXY_AUTH", Help: "Who may log in, and with which secret."},
		{
			Path: "target_groups[].tls.server_name", Type: "text", Default: "the member's host name", Reload: config.NewConnections,
			Help: "Name sent to and verified in the database's certificate.",
		},
	}
	for _, w := range want {
		if d := cmp.Diff(w, byPath[w.Path]); d != "" {
			t.Error(d)
		}
	}
}

// TestReferenceIsSound checks what every row owes its readers.
func TestReferenceIsSound(t *testing.T) {
	envs, flags := map[string]string{}, map[string]string{}
	for _, f := range config.Reference() {
		if !strings.HasSuffix(f.Help, ".") || strings.Contains(f.Help, "|") {
			t.Errorf("%s: help is no sentence fit for a table: %q", f.Path, f.Help)
		}
		switch f.Reload {
		case config.Live, config.NewConnections, config.Restart:
		default:
			t.Errorf("%s: does not say whether it reloads", f.Path)
		}
		if f.Env != "" && envs[f.Env] != "" {
			t.Errorf("%s and %s share %s", f.Path, envs[f.Env], f.Env)
		}
		if f.Flag != "" && flags[f.Flag] != "" {
			t.Errorf("%s and %s share --%s", f.Path, flags[f.Flag], f.Flag)
		}
		envs[f.Env], flags[f.Flag] = f.Path, f.Path
	}
}

// TestStructsAreDocumented proves that each type of config.go and iam.go has a doc comment.
func TestStructsAreDocumented(t *testing.T) {
	file, err := parser.ParseFile(token.NewFileSet(), "config.go", nil, parser.ParseComments)
	if err != nil {
		t.Fatal(err)
	}
	iam, err := parser.ParseFile(token.NewFileSet(), "iam.go", nil, parser.ParseComments)
	if err != nil {
		t.Fatal(err)
	}
	for _, d := range append(file.Decls, iam.Decls...) {
		g, ok := d.(*ast.GenDecl)
		if !ok || g.Tok != token.TYPE {
			continue
		}
		if g.Doc == nil {
			t.Errorf("%s has no doc comment", g.Specs[0].(*ast.TypeSpec).Name)
		}
	}
}
