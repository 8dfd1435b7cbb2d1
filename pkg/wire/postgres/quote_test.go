// SPDX-License-Identifier: Apache-2.0

package postgres_test

import (
	"strings"
	"testing"

	"github.com/rdsproxy/rdsproxy/pkg/wire/postgres"
)

func TestQuoteLiteral(t *testing.T) {
	for in, want := range map[string]string{
		"":              `''`,
		"a":             `'a'`,
		"it's":          `'it''s'`,
		"''":            `''''''`,
		"a\x00'; drop":  `'a'`,
		`\`:             ` $q$\$q$`,
		`\'; drop`:      ` $q$\'; drop$q$`,
		`\$`:            ` $q$\$$q$`,
		`\$q`:           ` $q0_$\$q$q0_$`,
		`\$q$`:          ` $q0_$\$q$$q0_$`,
		`\$q0_`:         ` $q1_$\$q0_$q1_$`,
		`\$q$q0_$q1_$x`: ` $q2_$\$q$q0_$q1_$x$q2_$`,
		"\x83\\":        " $q$\x83\\$q$", // a letter of SJIS
	} {
		if got := postgres.QuoteLiteral(in); got != want {
			t.Errorf("%q: %s, want %s", in, got, want)
		}
	}
}

func TestQuoteIdent(t *testing.T) {
	for in, want := range map[string]string{
		"":        `""`,
		"a b":     `"a b"`,
		`a"b`:     `"a""b"`,
		`"`:       `""""`,
		"a\x00\"": `"a"`,
		`a\"`:     `"a\"""`,
	} {
		if got := postgres.QuoteIdent(in); got != want {
			t.Errorf("%q: %s, want %s", in, got, want)
		}
	}
}

// scanLiteral reads a string constant as the lexer of PostgreSQL does; escapes says whether a backslash in '…' is one
// (standard_conforming_strings off).
func scanLiteral(sql string, escapes bool) (value, rest string, ok bool) {
	sql = strings.TrimPrefix(sql, " ")
	if strings.HasPrefix(sql, "$") {
		end := strings.IndexByte(sql[1:], '$')
		if end < 0 {
			return "", "", false
		}
		tag := sql[:end+2]
		return cut3(strings.Cut(sql[len(tag):], tag))
	}
	if !strings.HasPrefix(sql, "'") {
		return "", "", false
	}
	var b strings.Builder
	for i := 1; i < len(sql); i++ {
		switch {
		case sql[i] == '\'' && i+1 < len(sql) && sql[i+1] == '\'':
			i++
		case sql[i] == '\'':
			return b.String(), sql[i+1:], true
		case sql[i] == '\\' && escapes:
			return "", "", false
		}
		b.WriteByte(sql[i])
	}
	return "", "", false
}

func cut3(a, b string, ok bool) (string, string, bool) { return a, b, ok }

func FuzzQuote(f *testing.F) {
	for _, s := range []string{"", "it's", `\`, `\$q$`, `\$q0_$q1_`, "\x83\\'", `$q$`, "'\\''"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		plain, _, _ := strings.Cut(s, "\x00")
		for _, escapes := range []bool{false, true} {
			got, rest, ok := scanLiteral(postgres.QuoteLiteral(s)+" tail", escapes)
			if !ok || got != plain || rest != " tail" {
				t.Fatalf("%q becomes %s, which reads %q, %q (%v)", s, postgres.QuoteLiteral(s), got, rest, ok)
			}
		}
		id := postgres.QuoteIdent(s)
		if id[0] != '"' || id[len(id)-1] != '"' || strings.ReplaceAll(id[1:len(id)-1], `""`, `"`) != plain {
			t.Fatalf("%q becomes %s", s, id)
		}
	})
}
