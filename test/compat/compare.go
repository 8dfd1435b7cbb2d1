// SPDX-License-Identifier: Apache-2.0

package compat

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"time"
)

// Difference is a test that ended differently through the proxy.
type Difference struct {
	Test            Test
	Direct, Proxied Outcome
}

func (d Difference) String() string { return fmt.Sprintf("%s %s->%s", d.Test, d.Direct, d.Proxied) }

// Differences compares two runs. A test with subtests that ran in both and differ
// is not named itself, and neither is a subtest that is missing because of what
// its parent did.
func Differences(direct, proxied Run) []Difference {
	differs := make(map[Test]bool)
	for _, r := range []Run{direct, proxied} {
		for t := range r {
			if direct.outcome(t) != proxied.outcome(t) {
				differs[t] = true
			}
		}
	}
	explained := make(map[Test]bool)
	for t := range differs {
		for p, ok := t.parent(); ok; p, ok = p.parent() {
			switch {
			case !differs[p]:
			case direct[t] == nil || proxied[t] == nil:
				explained[t] = true
			default:
				explained[p] = true
			}
		}
	}
	var all []Difference
	for t := range differs {
		if !explained[t] {
			all = append(all, Difference{t, direct.outcome(t), proxied.outcome(t)})
		}
	}
	slices.SortFunc(all, func(a, b Difference) int {
		return cmp.Or(cmp.Compare(a.Test.Package, b.Test.Package), cmp.Compare(a.Test.Name, b.Test.Name))
	})
	return all
}

// Judge holds differences against the list for a version of PostgreSQL. It gives
// those that are not in it and the entries that were not met.
func Judge(found []Difference, list []Entry, version int) (unknown []Difference, unmet []Entry) {
	met := make(map[Difference]bool)
	for _, e := range list {
		if !e.applies(version) || e.Slow {
			continue
		}
		d := Difference{e.Test, e.Direct, e.Proxied}
		if slices.Contains(found, d) {
			met[d] = true
		} else if !e.Varies && e.Direct != e.Proxied {
			unmet = append(unmet, e)
		}
	}
	for _, d := range found {
		if !met[d] {
			unknown = append(unknown, d)
		}
	}
	return unknown, unmet
}

// slowTests are the top-level tests of a package that the list says to leave out.
func slowTests(list []Entry, pkg string) []string {
	var names []string
	for _, e := range list {
		if e.Slow && e.Test.Package == pkg {
			names = append(names, e.Test.top())
		}
	}
	return names
}

// counts tells how many tests ended how.
func (r Run) counts() string {
	n := make(map[Outcome]int)
	for _, res := range r {
		n[res.Outcome]++
	}
	return fmt.Sprintf("%d passed, %d failed, %d skipped, %d unfinished", n[Passed], n[Failed], n[Skipped], n[Unfinished])
}

// failedBoth names the tests that fail both ways, which show nothing about the
// proxy.
func failedBoth(direct, proxied Run) []string {
	var names []string
	for t, d := range direct {
		if d.Outcome == Failed && proxied.outcome(t) == Failed {
			names = append(names, t.String())
		}
	}
	slices.Sort(names)
	return names
}

// slower names the n top-level tests that took most longer through the proxy.
func slower(direct, proxied Run, n int) string {
	type extra struct {
		test            Test
		direct, proxied time.Duration
	}
	var all []extra
	for t, p := range proxied {
		if d := direct[t]; d != nil && t.Name == t.top() {
			all = append(all, extra{t, d.Elapsed, p.Elapsed})
		}
	}
	slices.SortFunc(all, func(a, b extra) int {
		return cmp.Or(cmp.Compare(b.proxied-b.direct, a.proxied-a.direct), cmp.Compare(a.test.String(), b.test.String()))
	})
	var text strings.Builder
	for _, e := range all[:min(n, len(all))] {
		fmt.Fprintf(&text, "\n  %s: %s instead of %s", e.test, e.proxied.Round(time.Millisecond), e.direct.Round(time.Millisecond))
	}
	return text.String()
}
