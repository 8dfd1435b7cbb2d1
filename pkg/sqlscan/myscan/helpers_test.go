// SPDX-License-Identifier: Apache-2.0

package myscan

import "testing"

// scan classifies a text given as a whole.
func scan(text string, mode Mode) Result {
	var s Scanner
	s.Reset(mode)
	s.Write([]byte(text))
	return s.Result()
}

// checkCuts compares the result of the whole text with that of the text cut in
// two at every byte, and with that of single bytes.
func checkCuts(t *testing.T, text string, mode Mode) {
	t.Helper()
	p := []byte(text)
	want := scan(text, mode)
	var s Scanner
	for i := range p {
		s.Reset(mode)
		s.Write(p[:i])
		s.Write(p[i:])
		if got := s.Result(); got != want {
			t.Fatalf("%q cut at %d: %+v, whole: %+v", text, i, got, want)
		}
	}
	s.Reset(mode)
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

// checkComments appends a comment without effect to a text that is understood.
func checkComments(t *testing.T, text string, mode Mode) {
	t.Helper()
	want := scan(text, mode)
	if want.Effects&EffectUnknown != 0 {
		return
	}
	for _, comment := range []string{" ", "/**/", " /* ; GET_LOCK('a',1) */", "\n-- @x := 1", "\n# x", "\n--"} {
		if got := scan(text+comment, mode); got != want {
			t.Errorf("%q with %q: %+v, without: %+v", text, comment, got, want)
		}
	}
}

type effectCase struct {
	text string
	want Effects
}

func checkEffects(t *testing.T, mode Mode, cases []effectCase) {
	t.Helper()
	for _, c := range cases {
		if got := scan(c.text, mode).Effects; got != c.want {
			t.Errorf("%q: effects %v, want %v", c.text, got, c.want)
		}
		for _, other := range []Mode{0, ModeANSIQuotes, ModeNoBackslashEscapes | ModeMariaDB, ModeOtherCharset} {
			checkCuts(t, c.text, other)
		}
		checkComments(t, c.text, mode)
	}
}
