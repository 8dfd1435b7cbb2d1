// SPDX-License-Identifier: Apache-2.0

package sqlscan

import (
	"strings"
	"testing"
)

func TestWords(t *testing.T) {
	seen := map[string]bool{}
	tokens := map[token]bool{}
	longest := 0
	for _, w := range words {
		if seen[w.text] {
			t.Errorf("%s is listed twice", w.text)
		}
		seen[w.text] = true
		tokens[w.tok] = true
		longest = max(longest, len(w.text))
		for _, spelling := range []string{w.text, strings.ToUpper(w.text), strings.ToUpper(w.text[:1]) + w.text[1:]} {
			// At the end of the memory and in front of more of it.
			if got := lookup([]byte(spelling), 0, len(spelling)); got != w.tok {
				t.Errorf("%s at the end: token %d, want %d", spelling, got, w.tok)
			}
			padded := []byte("xx" + spelling + " and something else")
			if got := lookup(padded, 2, 2+len(spelling)); got != w.tok {
				t.Errorf("%s: token %d, want %d", spelling, got, w.tok)
			}
			for _, other := range []string{spelling + "x", "x" + spelling, spelling[1:], spelling[:len(spelling)-1] + "_"} {
				if got := lookup([]byte(other), 0, len(other)); got == w.tok && !seen[other] && w.tok != idTemp {
					t.Errorf("%s is taken for %s", other, w.text)
				}
			}
		}
	}
	if longest != longestWord {
		t.Errorf("the longest word has %d bytes, longestWord says %d", longest, longestWord)
	}
	for tok := kwAll; tok < tokenEnd; tok++ {
		if !tokens[tok] {
			t.Errorf("no word has the token %d", tok)
		}
	}
	for tok := firstLead; tok <= lastLead; tok++ {
		if leadCommands[tok] == CommandNone {
			t.Errorf("the leading keyword %d has no command", tok)
		}
	}
}

func TestLookupTempSchemas(t *testing.T) {
	for text, want := range map[string]token{
		"pg_temp": idTemp, "pg_temp_1": idTemp, "PG_TEMP_33": idTemp, "pg_temp_": tokWord, "pg_tempo": tokWord,
		"pg_temple_1": tokWord, "": tokWord, strings.Repeat("x", 100): tokWord,
	} {
		if got := lookup([]byte(text), 0, len(text)); got != want {
			t.Errorf("%q: token %d, want %d", text, got, want)
		}
	}
}
