// SPDX-License-Identifier: Apache-2.0

package suites

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"os/exec"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"
)

// suite is a module with tests of its own.
type suite struct {
	module, version string
	packages        []string
	// skip are patterns of tests that do not run at all, with the reason.
	skip map[string]string
}

// results are the outcomes by test: "pass", "fail" or "skip".
type results map[string]string

// fetch downloads the module into the module cache and returns its folder.
func (s suite) fetch(t *testing.T) string {
	t.Helper()
	out, err := exec.Command("go", "mod", "download", "-json", s.module+"@"+s.version).Output()
	var info struct{ Dir, Error string }
	if jsonErr := json.Unmarshal(out, &info); jsonErr != nil || info.Dir == "" {
		t.Fatalf("%s@%s: %v %s", s.module, s.version, errors.Join(err, jsonErr), info.Error)
	}
	return info.Dir
}

// run runs the suite with the given variables and reports each test's outcome and
// what it printed. Names are "folder Test/case", the module's own folder left out.
func (s suite) run(ctx context.Context, t *testing.T, env ...string) (results, map[string]string) {
	t.Helper()
	args := []string{"test", "-json", "-count=1", "-p=1", "-timeout=10m", "-mod=mod"}
	if len(s.skip) > 0 {
		args = append(args, "-skip="+strings.Join(slices.Sorted(maps.Keys(s.skip)), "|"))
	}
	cmd := exec.CommandContext(ctx, "go", append(args, s.packages...)...)
	cmd.Dir = s.fetch(t)
	for _, v := range os.Environ() {
		if !strings.HasPrefix(v, "PG") { // PGHOST and its kin
			cmd.Env = append(cmd.Env, v)
		}
	}
	cmd.Env = append(cmd.Env, env...)
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	stdout, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	got, output, err := s.collect(stdout)
	waitErr := cmd.Wait() // an error, too, when a test failed
	if err != nil || len(got) == 0 {
		t.Fatalf("%v, %v: %d results\n%s", err, waitErr, len(got), stderr.Bytes())
	}
	return got, output
}

// collect reads the events of `go test -json`.
func (s suite) collect(r io.Reader) (results, map[string]string, error) {
	got, output := results{}, map[string]string{}
	lines := bufio.NewReader(r)
	for {
		line, err := lines.ReadBytes('\n')
		if errors.Is(err, io.EOF) {
			return got, output, nil
		}
		if err != nil {
			return nil, nil, err
		}
		var e struct{ Action, Package, Test, Output string }
		if err := json.Unmarshal(line, &e); err != nil {
			return nil, nil, fmt.Errorf("%q: %w", line, err)
		}
		name := s.name(e.Package, e.Test)
		switch e.Action {
		case "output":
			if len(output[name]) < maxOutput {
				output[name] += e.Output
			}
		case "pass", "fail", "skip":
			if e.Test != "" {
				got[name] = e.Action
			}
		case "build-fail":
			return nil, nil, fmt.Errorf("%s does not build", e.Package)
		}
	}
}

// maxOutput is how much is kept of what one test prints.
const maxOutput = 4000

// temporary matches the parts of a test's name that differ from run to run.
var temporary = regexp.MustCompile(`/tmp/[^/]*/`)

func (s suite) name(pkg, test string) string {
	folder := strings.TrimPrefix(strings.TrimPrefix(pkg, s.module), "/")
	return strings.TrimSpace(folder + " " + temporary.ReplaceAllString(test, "/tmp/"))
}

// compare holds the outcomes against each other and against the known differences.
// A test that panics or runs into the suite's time limit shows as others that are missing.
func compare(t *testing.T, direct, proxied results, output, known map[string]string) {
	t.Helper()
	names := map[string]bool{}
	for n := range direct {
		names[n] = true
	}
	for n := range proxied {
		names[n] = true
	}
	differences := 0
	for _, n := range slices.Sorted(maps.Keys(names)) {
		reason, isKnown := known[n]
		switch same := direct[n] == proxied[n]; {
		case same && isKnown:
			t.Errorf("%s: no difference any more (%s); known for: %s", n, direct[n], reason)
		case !same && !isKnown:
			differences++
			t.Errorf("%s: %q on the database, %q through the proxy\n%s", n, direct[n], proxied[n], output[n])
		case !same:
			differences++
		}
	}
	counts := map[string]int{}
	for _, outcome := range proxied {
		counts[outcome]++
	}
	t.Logf("%d tests through the proxy: %v; %d differences", len(proxied), counts, differences)
}

func limit(t *testing.T, d time.Duration) context.Context {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), d)
	t.Cleanup(cancel)
	return ctx
}
