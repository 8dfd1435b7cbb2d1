// SPDX-License-Identifier: Apache-2.0

package myscan

import "testing"

// FuzzScanner checks on any text that cuts do not change the result, that the
// result is sound, and that nothing panics.
func FuzzScanner(f *testing.F) {
	for i, text := range []string{
		"SELECT a FROM t WHERE b = 12345 AND c LIKE 'x\\'%' -- c",
		"SELECT GET_LOCK('a', 1e5), @@session.pseudo_thread_id, @`a` := 1.5 /*!50000 x */ # c",
		"CREATE PROCEDURE p() BEGIN IF a THEN SELECT CASE b WHEN 1 THEN 2 END; END IF; END; KILL QUERY 5",
		"SET STATEMENT a = 1 FOR SELECT CONNECTION_ID() AS `x``y` LIMIT 1;",
		"SET NAMES 'utf8', @@global.x = 1, session_track_schema = ON; INSERT INTO t VALUES (LAST_INSERT_ID(1), ROW_COUNT())",
		"/*M! SELECT */ 1e-- x\n; SELECT /*+ BKA(`a`) */ $a, 1.INTO@x, é('a')",
	} {
		f.Add(text, uint8(i))
		f.Add(text, uint8(ModeANSIQuotes|ModeMariaDB))
	}
	f.Fuzz(func(t *testing.T, text string, bits uint8) {
		if len(text) > 500 {
			return
		}
		mode := Mode(bits)
		checkCuts(t, text, mode)
		r := scan(text, mode)
		if r.Effects >= effectEnd || r.Effects&EffectUnknown != 0 && (r.Effects.Releases() != 0 || r.NumCalls != 0) {
			t.Fatalf("%q: %+v", text, r)
		}
		last := 0
		for _, c := range r.Calls[:r.NumCalls] {
			if c.Kind == CallNone || c.Start < last || c.End <= c.Start || c.End > len(text) {
				t.Fatalf("%q: %+v", text, r)
			}
			last = c.End
		}
		if k := r.Kill; k.Start > k.End || k.End > len(text) || (k.Form == KillQuery || k.Form == KillConnection) != (k.End > 0) {
			t.Fatalf("%q: %+v", text, r)
		}
	})
}
