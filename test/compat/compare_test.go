// SPDX-License-Identifier: Apache-2.0

package compat

import (
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
)

// runOf makes a run from "package test outcome" lines.
func runOf(t *testing.T, lines ...string) Run {
	t.Helper()
	r := Run{}
	for _, l := range lines {
		f := strings.Fields(l)
		r[Test{f[0], f[1]}] = &Result{Outcome: Outcome(f[2])}
	}
	return r
}

func TestReadEvents(t *testing.T) {
	const stream = `{"Action":"start","Package":"p"}
{"Action":"run","Package":"p","Test":"TestA"}
{"Action":"output","Package":"p","Test":"TestA","Output":"hello\n"}
{"Action":"run","Package":"p","Test":"TestA/sub"}
{"Action":"fail","Package":"p","Test":"TestA/sub","Elapsed":0.5}
{"Action":"fail","Package":"p","Test":"TestA","Elapsed":0.75}
{"Action":"run","Package":"p","Test":"TestB"}
{"Action":"skip","Package":"p","Test":"TestB"}
{"Action":"run","Package":"p","Test":"TestC"}
{"Action":"run","Package":"p","Test":"TestD/file=/tmp/TestD12345/001/x"}
{"Action":"pass","Package":"p","Test":"TestD/file=/tmp/TestD12345/001/x"}
{"Action":"fail","Package":"p"}`
	r := Run{}
	if err := r.read(strings.NewReader(stream)); err != nil {
		t.Fatal(err)
	}
	want := map[Test]Outcome{
		{"p", "TestA"}: Failed, {"p", "TestA/sub"}: Failed, {"p", "TestB"}: Skipped, {"p", "TestC"}: Unfinished,
		{"p", "TestD/file=/tmp/TestD/x"}: Passed,
	}
	got := make(map[Test]Outcome)
	for test := range r {
		got[test] = r.outcome(test)
	}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("got %v, want %v", got, want)
	}
	if text := r[Test{"p", "TestA"}].Output.String(); text != "hello\n" {
		t.Errorf("output %q", text)
	}
	if got := r.counts(); got != "1 passed, 2 failed, 1 skipped, 1 unfinished" {
		t.Error(got)
	}
	if err := (Run{}).read(strings.NewReader("PASS\n")); err == nil {
		t.Error("no error for what is no event")
	}
}

func TestOutcomeOfSeveralTimes(t *testing.T) {
	for actions, want := range map[string]Outcome{
		"pass pass pass": Passed, "fail pass pass": Passed, "pass fail pass": Passed, "pass fail fail": Failed,
		"fail pass fail": Failed, "fail fail pass": Failed, "skip skip skip": Skipped, "fail fail fail": Failed,
	} {
		r := Run{}
		for a := range strings.FieldsSeq(actions) {
			r.note(event{Action: "run", Package: "p", Test: "T"})
			r.note(event{Action: a, Package: "p", Test: "T"})
		}
		if got := r.outcome(Test{"p", "T"}); got != want {
			t.Errorf("%s: %s, want %s", actions, got, want)
		}
	}
}

func TestDifferences(t *testing.T) {
	for _, test := range []struct {
		name            string
		direct, proxied []string
		want            []string
	}{
		{"equal", []string{"p A pass", "p B fail"}, []string{"p A pass", "p B fail"}, nil},
		{"one", []string{"p A pass"}, []string{"p A fail"}, []string{"p A pass->fail"}},
		{"other package", []string{"p A pass", "q A pass"}, []string{"p A pass", "q A skip"}, []string{"q A pass->skip"}},
		{
			"subtest tells",
			[]string{"p A pass", "p A/x pass", "p A/y pass"},
			[]string{"p A fail", "p A/x pass", "p A/y fail"},
			[]string{"p A/y pass->fail"},
		},
		{
			"grandchild tells",
			[]string{"p A pass", "p A/x pass", "p A/x/z pass"},
			[]string{"p A fail", "p A/x fail", "p A/x/z fail"},
			[]string{"p A/x/z pass->fail"},
		},
		{
			"parent tells", []string{"p A pass", "p A/x pass", "p A/y pass"}, []string{"p A fail"}, []string{"p A pass->fail"},
		},
		{"missing", []string{"p A pass"}, nil, []string{"p A pass->absent"}},
		{"new", nil, []string{"p A pass"}, []string{"p A absent->pass"}},
		{
			"missing subtest of an equal parent",
			[]string{"p A pass", "p A/x pass"},
			[]string{"p A pass"},
			[]string{"p A/x pass->absent"},
		},
		{"sorted", []string{"q A pass", "p B pass", "p A pass"}, []string{"q A fail", "p B fail", "p A fail"}, []string{
			"p A pass->fail", "p B pass->fail", "q A pass->fail",
		}},
	} {
		var got []string
		for _, d := range Differences(runOf(t, test.direct...), runOf(t, test.proxied...)) {
			got = append(got, d.String())
		}
		if !reflect.DeepEqual(got, test.want) {
			t.Errorf("%s: %q, want %q", test.name, got, test.want)
		}
	}
}

func TestJudge(t *testing.T) {
	list := entries(t, `
p A pass->fail # reason
p B pass->fail <18 # reason
p C pass->fail >=18 # reason
p D pass->fail varies # reason
p E pass->fail slow # reason
p F pass->pass slow # reason
`)
	differ := func(names ...string) (all []Difference) {
		for _, n := range names {
			all = append(all, Difference{Test{"p", n}, Passed, Failed})
		}
		return all
	}
	for _, test := range []struct {
		name           string
		found          []Difference
		version        int
		unknown, unmet string
	}{
		{"as expected", differ("A", "B"), 15, "", ""},
		{"as expected of 18", differ("A", "C"), 18, "", ""},
		{"wrong version", differ("A", "C"), 15, "C", "B"},
		{"may differ", differ("A", "B", "D"), 15, "", ""},
		{"unknown", differ("A", "B", "X"), 15, "X", ""},
		{"gone", nil, 15, "", "A B"},
		{"other outcome", append(differ("B"), Difference{Test{"p", "A"}, Passed, Skipped}), 15, "A", "A"},
	} {
		unknown, unmet := Judge(test.found, list, test.version)
		var u, m []string
		for _, d := range unknown {
			u = append(u, d.Test.Name)
		}
		for _, e := range unmet {
			m = append(m, e.Test.Name)
		}
		if strings.Join(u, " ") != test.unknown || strings.Join(m, " ") != test.unmet {
			t.Errorf("%s: unknown %q, unmet %q", test.name, u, m)
		}
	}
	if got := oneOf(slowTests(list, "p")); got != "^(E|F)$" {
		t.Errorf("slow: %s", got)
	}
}

func entries(t *testing.T, text string) []Entry {
	t.Helper()
	file := filepath.Join(t.TempDir(), "list.txt")
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	list, err := ReadExpected(file)
	if err != nil {
		t.Fatal(err)
	}
	return list
}

func TestParseEntry(t *testing.T) {
	e, err := parseEntry("pgconn TestX/a_b pass->fail >=15 <18 varies # why # so")
	want := Entry{
		Test: Test{"pgconn", "TestX/a_b"}, Direct: Passed, Proxied: Failed, From: 15, Before: 18, Varies: true, Reason: "why # so",
	}
	if err != nil || e != want {
		t.Errorf("got %+v, %v", e, err)
	}
	for _, bad := range []string{
		"p A pass->fail", "p A pass->fail # ", "p A # reason", "p A passfail # reason", "p A pass->pass # reason",
		"p A pass->fail sometimes # reason", "p A pass->fail <x # reason", "p A pass->fail >= # reason",
	} {
		if e, err := parseEntry(bad); err == nil {
			t.Errorf("%q: no error, %+v", bad, e)
		}
	}
}

// TestLists reads all lists, also those whose suites do not run here.
func TestLists(t *testing.T) {
	files, err := filepath.Glob("expected/*.txt")
	if err != nil || len(files) == 0 {
		t.Fatal(files, err)
	}
	for _, file := range files {
		list, err := ReadExpected(file)
		if err != nil {
			t.Error(err)
		}
		seen := make(map[string]bool)
		for _, e := range list {
			key := fmt.Sprint(e.Test, e.From, e.Before)
			if seen[key] {
				t.Errorf("%s:%d: %s is there twice", file, e.Line, e.Test)
			}
			seen[key] = true
		}
	}
}

func TestSlower(t *testing.T) {
	direct, proxied := runOf(t, "p A pass", "p B pass", "p B/x pass"), runOf(t, "p A pass", "p B pass", "p B/x pass", "p C pass")
	proxied[Test{"p", "A"}].Elapsed = 1e9
	proxied[Test{"p", "B"}].Elapsed = 3e9
	if got, want := slower(direct, proxied, 5), "\n  p B: 3s instead of 0s\n  p A: 1s instead of 0s"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
}
