// SPDX-License-Identifier: Apache-2.0

package compat

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/rdsproxy/rdsproxy/test/daemonproc"
	"github.com/rdsproxy/rdsproxy/test/pgserver"
)

func TestMain(m *testing.M) { os.Exit(daemonproc.Main(m)) }

// suite is the tests of one module.
type suite struct {
	module   Module
	packages []string // relative to the module
	// skip is a regular expression for top-level tests to leave out, or "".
	skip string
	// expected is the list of differences, a file name in expected/.
	expected string
	// needs is a test that has to pass both ways, or the suite has not met its server;
	// the zero value is none.
	needs Test
	// environment gives the variables that point the tests to a database.
	environment func(w way) []string
}

// way is one of the two ways to a database.
type way struct {
	host string
	port int
	// files is a folder with what stack has put there.
	files string
	name  string
}

// stack is two equal databases, one of them behind a daemon.
type stack struct {
	direct, proxied way
	version         int
	server          string // "" is PostgreSQL
}

// run runs a suite both ways and compares. What is not as expected is run again,
// alone and several times, and counts if it is so more often than not: many tests of drivers rely on
// what happens within some milliseconds.
func (s suite) run(t *testing.T, st stack) {
	t.Helper()
	list, err := ReadExpected(filepath.Join("expected", s.expected))
	if err != nil {
		t.Fatal(err)
	}
	pattern := os.Getenv("RDSPROXY_TEST_COMPAT_RUN")
	if pattern != "" || os.Getenv("RDSPROXY_TEST_COMPAT_SLOW") == "1" {
		for i := range list {
			list[i].Slow = false
		}
	}
	programs := s.build(t)
	first := s.both(t, st, programs, func(pkg string) selection {
		return selection{run: pattern, skip: either(s.skip, oneOf(slowTests(list, pkg)))}
	})
	found := Differences(first.direct, first.proxied)
	unknown, unmet := Judge(found, list, st.version)
	if s.needs != (Test{}) && pattern == "" && (first.direct.outcome(s.needs) != Passed || first.proxied.outcome(s.needs) != Passed) {
		t.Errorf("%s: %s directly, %s through the proxy\n%s", s.needs,
			first.direct.outcome(s.needs), first.proxied.outcome(s.needs), output(first.proxied, s.needs))
	}
	t.Logf("%s on %s %d\n  directly:          %s\n  through the proxy: %s\n  %d differences, %d of them not expected",
		s.module, cmp.Or(st.server, "PostgreSQL"), st.version, first.direct.counts(), first.proxied.counts(), len(found), len(unknown))
	if names := failedBoth(first.direct, first.proxied); len(names) > 0 {
		t.Logf("failed both ways:\n  %s", strings.Join(names, "\n  "))
	}
	t.Logf("most time lost through the proxy:%s", slower(first.direct, first.proxied, 8))
	if pattern != "" {
		unmet = nil
	}
	if len(unknown)+len(unmet) > 0 {
		s.repeat(t, st, programs, list, unknown, unmet)
	}
}

// repeat runs the tests in doubt again and fails for what is still not as expected.
func (s suite) repeat(t *testing.T, st stack, programs []program, list []Entry, unknown []Difference, unmet []Entry) {
	t.Helper()
	doubtful := make(map[string][]string)
	for _, d := range unknown {
		doubtful[d.Test.Package] = append(doubtful[d.Test.Package], d.Test.top())
	}
	for _, e := range unmet {
		doubtful[e.Test.Package] = append(doubtful[e.Test.Package], e.Test.top())
	}
	const often = 3
	programs = slices.DeleteFunc(slices.Clone(programs), func(p program) bool { return doubtful[p.pkg] == nil })
	again := s.both(t, st, programs, func(pkg string) selection {
		return selection{run: oneOf(doubtful[pkg]), count: often}
	})
	stillUnknown, stillUnmet := Judge(Differences(again.direct, again.proxied), list, st.version)
	for _, d := range stillUnknown {
		t.Errorf("%s is not in expected/%s\n--- directly\n%s--- through the proxy\n%s",
			d, s.expected, output(again.direct, d.Test), output(again.proxied, d.Test))
	}
	for _, d := range unknown {
		if !slices.Contains(stillUnknown, d) {
			t.Logf("%s did not repeat itself", d)
		}
	}
	for _, e := range unmet {
		if slices.Contains(stillUnmet, e) {
			t.Errorf("expected/%s:%d: %s ends with %s directly and %s through the proxy",
				s.expected, e.Line, e.Test, again.direct.outcome(e.Test), again.proxied.outcome(e.Test))
		}
	}
}

// results are those of one run in each way.
type results struct{ direct, proxied Run }

func (s suite) both(t *testing.T, st stack, programs []program, which func(pkg string) selection) results {
	t.Helper()
	r := results{Run{}, Run{}}
	var both sync.WaitGroup
	both.Go(func() { s.oneWay(t, programs, r.direct, st.direct, which) })
	both.Go(func() { s.oneWay(t, programs, r.proxied, st.proxied, which) })
	both.Wait()
	if t.Failed() {
		t.FailNow()
	}
	return r
}

// oneWay runs the packages in lanes, two at a time: most of their time is waiting.
func (s suite) oneWay(t *testing.T, programs []program, all Run, w way, which func(pkg string) selection) {
	env := s.environment(w)
	queue := make(chan program, len(programs))
	for _, p := range programs {
		queue <- p
	}
	close(queue)
	var mu sync.Mutex // guards all
	var lanes sync.WaitGroup
	for range 2 {
		lanes.Go(func() {
			for p := range queue {
				start := time.Now()
				r := Run{}
				if err := p.run(t.Context(), r, env, which(p.pkg)); err != nil {
					t.Error(err)
				}
				t.Logf("%s %s: %s", w.name, p.pkg, time.Since(start).Round(time.Second))
				mu.Lock()
				maps.Copy(all, r)
				mu.Unlock()
			}
		})
	}
	lanes.Wait()
}

func output(r Run, t Test) string {
	if r[t] == nil {
		return ""
	}
	const most = 4000
	text := r[t].Output.String()
	if len(text) > most {
		text = text[:most] + "…\n"
	}
	return text
}

// build compiles the tests of all packages.
func (s suite) build(t *testing.T) []program {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Minute)
	defer cancel()
	dir := copyOf(t, s.module)
	var programs []program
	for _, pkg := range s.packages {
		path, err := buildTests(ctx, dir, pkg)
		if err != nil {
			t.Fatal(err)
		}
		programs = append(programs, program{pkg: pkg, path: path, dir: dir})
	}
	return programs
}

func copyOf(t *testing.T, m Module) string {
	t.Helper()
	dir, err := m.Copy(t.Context())
	if errors.Is(err, errUnavailable) && os.Getenv("CI") != "true" {
		t.Skip(err)
	}
	if err != nil {
		t.Fatal(err)
	}
	return dir
}

// users are the roles that log in, with one password for all.
func users(password string, names ...string) []daemonproc.User {
	var all []daemonproc.User
	for _, n := range names {
		all = append(all, daemonproc.User{Name: n, Password: password})
	}
	return all
}

// psql runs scripts on a database as the superuser.
func psql(t *testing.T, pg *pgserver.Server, database string, scripts ...string) {
	t.Helper()
	tools := pgserver.RequireTools(t)
	for _, script := range scripts {
		cmd := goCommand(t.Context(), filepath.Dir(script), "version")
		cmd.Path = filepath.Join(tools.BinDir, "psql")
		cmd.Args = []string{"psql", "-X", "-q", "-v", "ON_ERROR_STOP=1", "-h", pg.Dir, "-p", fmt.Sprint(pg.Port), "-U", pgserver.Superuser, "-d", database, "-f", script}
		if out, err := cmd.CombinedOutput(); err != nil {
			t.Fatalf("psql -f %s: %v\n%s", script, err, out)
		}
	}
}
