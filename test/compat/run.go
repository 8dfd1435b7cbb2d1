// SPDX-License-Identifier: Apache-2.0

package compat

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"time"

	"github.com/rdsproxy/rdsproxy/test/pgserver"
)

// packageLimit bounds the run of one package's tests.
const packageLimit = 4 * time.Minute

// Test names a test or subtest of a suite.
type Test struct{ Package, Name string }

func (t Test) String() string { return t.Package + " " + t.Name }

// parent is the test that t is a subtest of.
func (t Test) parent() (Test, bool) {
	i := strings.LastIndexByte(t.Name, '/')
	if i < 0 {
		return Test{}, false
	}
	return Test{t.Package, t.Name[:i]}, true
}

// top is the top-level test that t belongs to.
func (t Test) top() string {
	name, _, _ := strings.Cut(t.Name, "/")
	return name
}

// Outcome is how a test ended.
type Outcome string

// The outcomes. A test is Unfinished when the program ended before it, and Absent
// when it was not run.
const (
	Passed     Outcome = "pass"
	Failed     Outcome = "fail"
	Skipped    Outcome = "skip"
	Unfinished Outcome = "unfinished"
	Absent     Outcome = "absent"
)

// Result is one test's outcome with the text that it printed. Of a test that ran
// several times, the outcome is Failed if it failed more often than not.
type Result struct {
	Outcome Outcome
	Elapsed time.Duration
	Output  strings.Builder

	ended, failed int // times
}

// Run is the results of one run of a suite.
type Run map[Test]*Result

func (r Run) outcome(t Test) Outcome {
	if res := r[t]; res != nil {
		return res.Outcome
	}
	return Absent
}

// program is the compiled tests of one package.
type program struct {
	pkg  string // relative to the module
	path string
	dir  string // to run it in
}

// run runs the tests with nothing but env in the environment, besides what any
// program needs, and notes their results in r. That tests fail is no error.
func (p program) run(ctx context.Context, r Run, env []string, which selection) error {
	ctx, cancel := context.WithTimeout(ctx, packageLimit+30*time.Second)
	defer cancel()
	cmd := exec.CommandContext(ctx, "go", "tool", "test2json", "-t", "-p", p.pkg, p.path,
		"-test.v=test2json", "-test.timeout", packageLimit.String(),
		"-test.run", which.run, "-test.skip", which.skip, "-test.count", strconv.Itoa(max(1, which.count)))
	cmd.Dir = filepath.Join(p.dir, p.pkg)
	cmd.Env = append(plainEnvironment(), env...)
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	stdout, err := cmd.StdoutPipe()
	if err != nil {
		return fmt.Errorf("tests of %s: %w", p.pkg, err)
	}
	if err := pgserver.StartTied(cmd); err != nil {
		return fmt.Errorf("tests of %s: %w", p.pkg, err)
	}
	parseErr := r.read(stdout)
	err = cmd.Wait() // test2json fails when tests fail, as it should
	if parseErr != nil {
		return fmt.Errorf("tests of %s: %w", p.pkg, parseErr)
	}
	if ctx.Err() != nil {
		return fmt.Errorf("tests of %s: %w", p.pkg, ctx.Err())
	}
	if len(r) == 0 {
		return fmt.Errorf("tests of %s: no result: %w\n%s", p.pkg, err, stderr.Bytes())
	}
	return nil
}

// selection picks top-level tests of a package by regular expressions. Empty ones
// run all and skip none.
type selection struct {
	run, skip string
	count     int // how often each is run; 0 is once
}

// oneOf is a pattern of exactly these top-level tests.
func oneOf(names []string) string {
	if len(names) == 0 {
		return ""
	}
	quoted := make([]string, len(names))
	for i, n := range names {
		quoted[i] = regexp.QuoteMeta(n)
	}
	return "^(" + strings.Join(quoted, "|") + ")$"
}

// either joins two regular expressions, of which each may be empty for none.
func either(a, b string) string {
	if a == "" || b == "" {
		return a + b
	}
	return a + "|" + b
}

func plainEnvironment() []string {
	env := []string{"LC_ALL=C.UTF-8", "TZ=UTC"}
	for _, name := range []string{"PATH", "HOME", "TMPDIR", "GOROOT", "GOCACHE", "GOFLAGS", "XDG_CACHE_HOME"} {
		if v, ok := os.LookupEnv(name); ok {
			env = append(env, name+"="+v)
		}
	}
	return env
}

// event is one line of test2json.
type event struct {
	Action, Package, Test, Output string
	Elapsed                       float64 // seconds
}

// tempDir is what testing.T.TempDir makes, which some suites use in names of
// subtests, and which is never the same twice.
var tempDir = regexp.MustCompile(`/(Test\w*?)\d+/\d{3}/`)

// read adds the results that a stream of events tells.
func (r Run) read(from io.Reader) error {
	lines := bufio.NewReader(from)
	for {
		line, err := lines.ReadBytes('\n')
		if len(bytes.TrimSpace(line)) > 0 {
			var e event
			if err := json.Unmarshal(line, &e); err != nil {
				return fmt.Errorf("event %q: %w", line, err)
			}
			r.note(e)
		}
		if err == io.EOF {
			return nil
		}
		if err != nil {
			return err
		}
	}
}

func (r Run) note(e event) {
	if e.Test == "" {
		return
	}
	t := Test{e.Package, tempDir.ReplaceAllString(e.Test, "/$1/")}
	res := r[t]
	if res == nil {
		res = &Result{Outcome: Unfinished}
		r[t] = res
	}
	switch e.Action {
	case "output":
		res.Output.WriteString(e.Output)
	case "pass", "fail", "skip":
		res.ended++
		if e.Action == "fail" {
			res.failed++
		}
		switch often := 2*res.failed > res.ended; {
		case often:
			res.Outcome = Failed
		case e.Action != "fail":
			res.Outcome = Outcome(e.Action)
		case res.Outcome == Failed:
			res.Outcome = Passed
		}
		res.Elapsed += time.Duration(e.Elapsed * float64(time.Second))
	}
}
