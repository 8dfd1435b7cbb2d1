// SPDX-License-Identifier: Apache-2.0

package daemonproc

import (
	"strings"
	"testing"
)

func TestSumSamples(t *testing.T) {
	const text = `# HELP a_total What a counts.
# TYPE a_total counter
a_total{user="x",reason="set"} 3
a_total{user="y",reason="set"} 4
a_total{user="x",reason="a } b"} 5e0
a_total_more 100
b 7
`
	for _, test := range []struct {
		name   string
		labels []string
		want   float64
	}{
		{"a_total", nil, 12},
		{"a_total", []string{`user="x"`}, 8},
		{"a_total", []string{`user="x"`, `reason="set"`}, 3},
		{"a_total", []string{`user="z"`}, 0},
		{"b", nil, 7},
		{"a", nil, 0},
		{"missing", nil, 0},
	} {
		got, err := sumSamples(strings.NewReader(text), test.name, test.labels)
		if err != nil || got != test.want {
			t.Errorf("%s%v: got %v, %v, want %v", test.name, test.labels, got, err, test.want)
		}
	}
	if _, err := sumSamples(strings.NewReader("a x\n"), "a", nil); err == nil {
		t.Error("no error for a value that is no number")
	}
}

func TestLineWith(t *testing.T) {
	const log = "one\n  WARNING: DATA RACE\nthree\n"
	if line, ok := lineWith(log, "DATA RACE"); !ok || line != "WARNING: DATA RACE" {
		t.Errorf("got %q, %v", line, ok)
	}
	if _, ok := lineWith(log, "panic"); ok {
		t.Error("found what is not there")
	}
}
