// SPDX-License-Identifier: Apache-2.0

package state

import (
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
)

// script is steps of several clients, in the order in which they are run.
//
//	a: SELECT 1                a Query of client a
//	a.parse s SELECT $1        a message of the extended protocol; "-" is the unnamed one
//	a.bind p s 'x' NULL        parameters are in single quotes, or NULL
//	a.describe-statement s     or describe-portal p
//	a.execute p 0              at most so many rows, 0 for all
//	a.close-statement s        or close-portal p
//	a.sync                     a Sync, and all that has been answered up to then
//	a.login search_path=x      its start-up parameters, as its first step
//	a.quit                     its end
//	~a: RESET x                a step with another result through the proxy
//	@pool 2                    database connections that it needs; 1 without the line
//
// A line goes on in the next one if that begins with a blank.
type script struct {
	name  string
	pool  int
	steps []step
}

// step is one line of a script.
type step struct {
	line                int
	client, verb, words string
	differs             bool // known to, see docs/compatibility.md
}

func (s step) String() string {
	if s.verb == "" {
		return fmt.Sprintf("%d %s: %s", s.line, s.client, s.words)
	}
	return fmt.Sprintf("%d %s.%s %s", s.line, s.client, s.verb, s.words)
}

// scripts reads those in testdata.
func scripts(t *testing.T) (all []script) {
	t.Helper()
	files, err := filepath.Glob(filepath.Join("testdata", "*.txt"))
	if err != nil || len(files) == 0 {
		t.Fatalf("no scripts: %v", err)
	}
	for _, f := range files {
		s, err := readScript(f)
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, s)
	}
	return all
}

func readScript(file string) (script, error) {
	text, err := os.ReadFile(file)
	if err != nil {
		return script{}, err
	}
	s := script{name: strings.TrimSuffix(filepath.Base(file), ".txt"), pool: 1}
	for i, line := range strings.Split(strings.ReplaceAll(string(text), "\n ", "\x00 "), "\n") {
		// The number is that of the file's line only as long as no line before it went on.
		line = strings.TrimSpace(strings.ReplaceAll(line, "\x00", "\n"))
		if line == "" || line[0] == '#' {
			continue
		}
		if n, ok := strings.CutPrefix(line, "@pool "); ok {
			if s.pool, err = strconv.Atoi(n); err != nil {
				return s, err
			}
			continue
		}
		st, ok := parseStep(line)
		if !ok {
			return s, fmt.Errorf("%s:%d: %q is no step", file, i+1, line)
		}
		st.line = i + 1
		s.steps = append(s.steps, st)
	}
	return s, nil
}

func parseStep(line string) (step, bool) {
	line, differs := strings.CutPrefix(line, "~")
	end := strings.IndexAny(line, ":.")
	if end <= 0 || strings.ContainsAny(line[:end], " \t") {
		return step{}, false
	}
	st := step{client: line[:end], differs: differs}
	if line[end] == ':' {
		st.words = strings.TrimSpace(line[end+1:])
		return st, true
	}
	st.verb, st.words, _ = strings.Cut(line[end+1:], " ")
	_, known := verbs[st.verb]
	return st, known
}
