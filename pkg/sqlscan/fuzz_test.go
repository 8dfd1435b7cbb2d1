// SPDX-License-Identifier: Apache-2.0

package sqlscan

import "testing"

// FuzzScanner checks on any text that cuts do not change the result, that the
// result is sound, and that nothing panics.
func FuzzScanner(f *testing.F) {
	for _, text := range []string{
		"SELECT abalance FROM pgbench_accounts WHERE aid = 12345",
		`SELECT E'a\'' -- c` + "\n'\\'; SET x = 1;' , U&'x' UESCAPE '!', b'01', N'x', \"a\"\"b\"",
		"SELECT $a$ $b$ $a; $a$, $1, $$x$$; /* /* */ */ LISTEN a",
		"DO $x$ BEGIN UPDATE t SET a = 1; <<l>> SET LOCAL a = 2; /* $x */ END $x$ LANGUAGE plpgsql",
		"DO 'BEGIN PERFORM nextval(''s''); END'; SELECT set_config('a', 'b', 't'\n\n'rue')",
		"EXPLAIN (ANALYZE, FORMAT json) CREATE TEMP TABLE t ON COMMIT DROP AS EXECUTE p(1)",
		"DECLARE c CURSOR WITH HOLD FOR SELECT 1e5$a$ FROM pg_temp_1.t; DEALLOCATE PREPARE \"a\"\"b\"",
	} {
		f.Add(text, false)
		f.Add(text, true)
	}
	f.Fuzz(func(t *testing.T, text string, escapes bool) {
		if len(text) > 2000 {
			return
		}
		checkCuts(t, text, escapes)
		var s Scanner
		s.Reset(escapes)
		s.Write([]byte(text))
		r := s.Result()
		if r.Effects >= effectEnd {
			t.Fatalf("%q: effects %b", text, r.Effects)
		}
		if r.Effects&EffectUnknown != 0 && r.Effects.Releases() != 0 {
			t.Fatalf("%q: releases %v", text, r.Effects)
		}
		if r.NameStart > r.NameEnd || r.NameEnd > len(text) || (r.NameStart < 0) != (r.NameEnd < 0) {
			t.Fatalf("%q: name %d to %d", text, r.NameStart, r.NameEnd)
		}
		if (r.First == CommandNone) != (r.Statements == 0) && r.Effects&EffectUnknown == 0 {
			t.Fatalf("%q: %d statements, first %v", text, r.Statements, r.First)
		}
	})
}
