// SPDX-License-Identifier: Apache-2.0

package config

import (
	"fmt"
	"strings"
)

// Problem is one thing wrong with a configuration.
type Problem struct {
	// Source is where the text stands: "proxy.yaml:12", "RDSPROXY_LOOPS", "--loops"; empty when a value is missing
	// altogether, or clashes with another.
	Source string
	// Path of the setting, such as "endpoints[0].listen"; empty when the text as a whole is meant.
	Path string
	// What is wrong, and what to Do about it.
	What, Do string
}

// String is "where: what; do this".
func (p Problem) String() string {
	var b strings.Builder
	for _, where := range []string{p.Source, p.Path} {
		if where != "" {
			b.WriteString(where)
			b.WriteString(": ")
		}
	}
	b.WriteString(p.What)
	if p.Do != "" {
		b.WriteString("; ")
		b.WriteString(p.Do)
	}
	return b.String()
}

// Error is what Parse returns for a configuration that cannot be used. It never quotes the value of a setting that could
// hold a secret.
type Error struct {
	// Problems are all that were found, in the order of the text; at least one.
	Problems []Problem
}

// Error has one line per problem.
func (e *Error) Error() string {
	lines := make([]string, len(e.Problems))
	for i, p := range e.Problems {
		lines[i] = p.String()
	}
	if len(lines) == 1 {
		return "configuration: " + lines[0]
	}
	return fmt.Sprintf("configuration: %d problems\n  %s", len(lines), strings.Join(lines, "\n  "))
}

// collector gathers problems, and remembers where each setting was read so that a later check can name the place.
type collector struct {
	problems []Problem
	sources  map[string]string
	bad      map[string]bool
}

func newCollector() *collector {
	return &collector{sources: map[string]string{}, bad: map[string]bool{}}
}

// seen notes where the value of path stands. A later layer replaces the place of an earlier one.
func (c *collector) seen(path, source string) { c.sources[path] = source }

// given says whether the setting was written down anywhere.
func (c *collector) given(path string) bool { return c.sources[path] != "" }

// add notes a problem with the setting at path, at the place where the setting stands.
func (c *collector) add(path, what, do string) {
	c.addAt(c.source(path), path, what, do)
}

// addAt notes a problem. Only the first one per setting is kept, and none inside of a section that is bad as a whole: they
// would follow from it.
func (c *collector) addAt(source, path, what, do string) {
	if path != "" {
		if c.isBad(path) {
			return
		}
		c.bad[path] = true
	}
	c.problems = append(c.problems, Problem{Source: source, Path: path, What: what, Do: do})
}

// excuse keeps quiet from now on about what is wrong or missing at path because of a problem already told. The empty path
// is everything.
func (c *collector) excuse(path string) { c.bad[path] = true }

func (c *collector) isBad(path string) bool {
	for ; path != ""; path = parent(path) {
		if c.bad[path] {
			return true
		}
	}
	return c.bad[""]
}

// parent of "a.b[0].c" is "a.b[0]", of that "a.b", and of "a" "".
func parent(path string) string { return path[:max(strings.LastIndexAny(path, ".["), 0)] }

// source is the place of the setting, or of the nearest section around it that has one.
func (c *collector) source(path string) string {
	for ; path != ""; path = parent(path) {
		if s := c.sources[path]; s != "" {
			return s
		}
	}
	return ""
}

func (c *collector) err() error {
	if len(c.problems) == 0 {
		return nil
	}
	return &Error{Problems: c.problems}
}
