// SPDX-License-Identifier: Apache-2.0

package sqlscan

import "testing"

// scan classifies a text given as a whole.
func scan(text string) Result {
	var s Scanner
	s.Reset(false)
	s.Write([]byte(text))
	return s.Result()
}

// scanEscapes does so for a session with standard_conforming_strings off.
func scanEscapes(text string) Result {
	var s Scanner
	s.Reset(true)
	s.Write([]byte(text))
	return s.Result()
}

// checkCuts compares the result of the whole text with that of the text cut in
// two at every byte, and with that of single bytes.
func checkCuts(t *testing.T, text string, escapes bool) {
	t.Helper()
	p := []byte(text)
	var s Scanner
	s.Reset(escapes)
	s.Write(p)
	want := s.Result()

	// A long text is cut at its ends only, lest the check be quadratic.
	const most = 300
	for i := range p {
		if i > most && i < len(p)-most {
			continue
		}
		s.Reset(escapes)
		s.Write(p[:i])
		s.Write(p[i:])
		if got := s.Result(); got != want {
			t.Fatalf("%q cut at %d: %+v, whole: %+v", text, i, got, want)
		}
	}
	s.Reset(escapes)
	for i := range p {
		s.Write(p[i : i+1])
	}
	if got := s.Result(); got != want {
		t.Fatalf("%q byte by byte: %+v, whole: %+v", text, got, want)
	}
	if again := s.Result(); again != want {
		t.Fatalf("%q: second Result %+v, first %+v", text, again, want)
	}
}

type effectCase struct {
	text string
	want Effects
}

func checkEffects(t *testing.T, cases []effectCase) {
	t.Helper()
	for _, c := range cases {
		if got := scan(c.text).Effects; got != c.want {
			t.Errorf("%q: effects %v, want %v", c.text, got, c.want)
		}
		checkCuts(t, c.text, false)
		checkCuts(t, c.text, true)
	}
}
