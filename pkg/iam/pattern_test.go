// SPDX-License-Identifier: Apache-2.0

package iam

import (
	"regexp"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"
)

// TestMatchTextIsARegexp compares the matcher with the regular expression of the same meaning.
func TestMatchTextIsARegexp(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		pattern := rapid.StringOfN(rapid.RuneFrom([]rune("ab:*?/")), 0, 12, -1).Draw(t, "pattern")
		text := rapid.StringOfN(rapid.RuneFrom([]rune("ab:/")), 0, 12, -1).Draw(t, "text")
		r := "^" + strings.NewReplacer("*", ".*", "?", ".").Replace(pattern) + "$"
		if got, want := matchText(pattern, text), regexp.MustCompile(r).MatchString(text); got != want {
			t.Errorf("%s %s: %t, want %t", pattern, text, got, want)
		}
		// In an ARN, the same but for colons: never more.
		if matchARN(pattern, text) && !matchText(pattern, text) {
			t.Errorf("%s %s: matches as an ARN only", pattern, text)
		}
	})
}

// TestMatchARNByParts compares with the parts one by one, for patterns whose stars stay within their parts.
func TestMatchARNByParts(t *testing.T) {
	part := rapid.StringOfN(rapid.RuneFrom([]rune("ab")), 0, 4, -1)
	globs := rapid.StringOfN(rapid.RuneFrom([]rune("ab*?")), 0, 4, -1).Filter(func(s string) bool { return !strings.HasSuffix(s, "*") })
	rapid.Check(t, func(t *rapid.T) {
		patterns := rapid.SliceOfN(globs, 6, 6).Draw(t, "patterns")
		parts := rapid.SliceOfN(part, 6, 6).Draw(t, "parts")
		want := true
		for i := range parts {
			want = want && matchText(patterns[i], parts[i])
		}
		if got := matchARN(strings.Join(patterns, ":"), strings.Join(parts, ":")); got != want {
			t.Errorf("%t, want %t", got, want)
		}
	})
}

// TestMatchIsBounded: the worst pattern for those that go back takes no longer than others.
func TestMatchIsBounded(t *testing.T) {
	start := time.Now()
	if matchARN("arn:aws:rds-db:"+strings.Repeat("*a", 1000), "arn:aws:rds-db:r:1:"+strings.Repeat("a", 900)+"b") {
		t.Error("matches")
	}
	if d := time.Since(start); d > 5*time.Second {
		t.Errorf("took %v", d)
	}
}

// TestEscape: what is escaped comes back, in one form only.
func TestEscape(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		text := string(rapid.SliceOf(rapid.Byte()).Draw(t, "text"))
		back, ok := unescape(escape(text))
		if !ok || back != text {
			t.Errorf("%q comes back as %q", text, back)
		}
	})
	for _, bad := range []string{"%", "%2", "%g0", "%0g", "a b", "a+b", "a/b", "a:b", "é", "a%", "\x00"} {
		if _, ok := unescape(bad); ok {
			t.Errorf("%q is taken", bad)
		}
	}
}
