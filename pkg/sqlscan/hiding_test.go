// SPDX-License-Identifier: Apache-2.0

package sqlscan

import (
	"strings"
	"testing"
)

// The texts of this file try to hide an effect from the scanner, or to make it
// see the end of a string, comment or statement where the server sees none.

func TestHiddenByQuotes(t *testing.T) {
	checkEffects(t, []effectCase{
		{`SELECT 'a\'; SET x = 1; --'`, EffectSet},
		{`SELECT E'a\''; SET x = 1; --'`, EffectSet},
		{`SELECT E'a\\'; SET x = 1; --'`, EffectSet},
		{`SELECT E'a\'; SET x = 1; --'`, 0},
		{`SELECT e'\\\'; SET x = 1; --'`, 0},
		{`SELECT 'a'';'; SET x = 1; --'`, EffectSet},
		{`SELECT ''''; SET x = 1; --'`, EffectSet},
		{`SELECT fooE'\'; SET x = 1; --'`, EffectSet}, // foo, not an escape string
		{`SELECT 1e'\'; SET x = 1; --'`, 0},           // old servers: 1, escape string
		{`SELECT N'\'; SET x = 1; --'`, EffectSet},
		{`SELECT B'\'; SET x = 1; --'`, EffectSet},
		{`SELECT X'\'; SET x = 1; --'`, EffectSet},
		{`SELECT U&'\'; SET x = 1; --'`, EffectSet},
		{`SELECT u &'\'; SET x = 1; --'`, EffectSet},
		{`SELECT E '\'; SET x = 1; --'`, EffectSet},
		{`SELECT E/**/'\'; SET x = 1; --'`, EffectSet},
		{`SELECT "a'"; SET x = 1; --'`, EffectSet},
		{`SELECT "a""'"; SET x = 1; --'`, EffectSet},
		{`SELECT "a\"; SET x = 1; --"`, EffectSet},
		{`SELECT '"'; SET x = 1; --"`, EffectSet},
		{`SELECT '/*'; SET x = 1; --*/`, EffectSet},
		{`SELECT '--'; SET x = 1`, EffectSet},
		{"SELECT '$$'; SET x = 1; --$$", EffectSet},
		{"SELECT \"$$\"; SET x = 1; --$$", EffectSet},

		// A continued string is read by the rules of its first part.
		{"SELECT E'a'\n'\\'; SET x = 1; --'", 0},
		{"SELECT E'a' -- c'\n \t -- d\n '\\'; SET x = 1; --'", 0},
		{"SELECT E'a'\r'\\'; SET x = 1; --'", 0},
		{"SELECT E'a' '\\'; SET x = 1; --'", EffectSet},
		{"SELECT E'a' /* \n */ '\\'; SET x = 1; --'", EffectSet},
		{"SELECT E'a'\n/**/'\\'; SET x = 1; --'", EffectSet},
		{"SELECT E'a'\n-'\\'; SET x = 1; --'", EffectSet},
		{"SELECT E'a'\nE'\\'; SET x = 1; --'", 0},
		{"SELECT E'a'-'\\'; SET x = 1; --'", EffectSet},
		{"SELECT 'a'\n'\\'; SET x = 1; --'", EffectSet},
		{"SELECT E'a'''\n'\\'; SET x = 1; --'", 0},
		{"SELECT E'a'--\n--\n'\\'; SET x = 1; --'", 0},
	})
}

func TestHiddenByQuotesWithEscapes(t *testing.T) {
	for _, c := range []effectCase{
		{`SELECT 'a\'; SET x = 1; --'`, 0},
		{`SELECT 'a\\'; SET x = 1; --'`, EffectSet},
		{`SELECT N'a\'; SET x = 1; --'`, 0},
		{`SELECT B'1\'; SET x = 1; --'`, EffectSet},
		{"SELECT 'a'\n'\\'; SET x = 1; --'", 0},
		{"SELECT B'1'\n'\\'; SET x = 1; --'", EffectSet},
		{"SELECT 'a' '\\'; SET x = 1; --'", 0},
		{"SELECT $$\\$$; SET x = 1; --'", EffectSet},
		{`SELECT "a\"; SET x = 1; --"`, EffectSet},
		{"SELECT set_config('a', 'b', 't')", 0},
		{`SELECT set_config('a', 'b', '\164')`, EffectSet},
		{"DO 'BEGIN END'", EffectUnknown},
		{"DO $$ BEGIN PERFORM 'a\\'; SET x = 1; --'; END $$", 0},
		{"DO $$ BEGIN PERFORM 'a\\\\'; SET x = 1; --'; \n END $$", EffectSet},
	} {
		if got := scanEscapes(c.text).Effects; got != c.want {
			t.Errorf("%q: effects %v, want %v", c.text, got, c.want)
		}
		checkCuts(t, c.text, true)
	}
}

func TestHiddenByDollars(t *testing.T) {
	checkEffects(t, []effectCase{
		{"SELECT $$ ' $$; SET x = 1; --'", EffectSet},
		{"SELECT $a$ $$ $b$ $A$ $a $a$; SET x = 1; --$a$", EffectSet},
		{"SELECT $a$ $b$a$; SET x = 1; --$a$", EffectSet},
		{"SELECT $a$ $$a$; SET x = 1; --$a$", EffectSet},
		{"SELECT $aa$ $a$aa$; SET x = 1; --$a$", EffectSet},
		{"SELECT $$ $a$$; SET x = 1; --$$", EffectSet},
		{"SELECT $é_1$ $é$ $é_1$; SET x = 1", EffectSet},
		{"SELECT a$b$; SET x = 1; --$b$", EffectSet}, // an identifier
		{"SELECT é$b$; SET x = 1; --$b$", EffectSet},
		{"SELECT a1$$; SET x = 1; --$$", EffectSet},
		{"SELECT 1$b$; SET x = 1; --$b$", 0}, // a number and a string
		{"SELECT $1$b$; SET x = 1; --$b$", 0},
		{"SELECT 1.5$b$; SET x = 1; --$b$", 0},
		{"SELECT 1e+5$b$; SET x = 1; --$b$", 0},
		{"SELECT 1e5$b$; SET x = 1; --$b$", EffectUnknown}, // versions differ
		{"SELECT 1_000$b$; SET x = 1; --$b$", EffectUnknown},
		{"SELECT 0xff$b$; SET x = 1; --$b$", EffectUnknown},
		{"SELECT )$b$; SET x = 1; --$b$", 0},
		{"SELECT \"a\"$b$; SET x = 1; --$b$", 0},
		{"SELECT 'a'$b$; SET x = 1; --$b$", 0},
	})
}

func TestHiddenByComments(t *testing.T) {
	checkEffects(t, []effectCase{
		{"/**/SET x = 1", EffectSet},
		{"-- c\rSET x = 1", EffectSet},
		{"-- c\nSET x = 1", EffectSet},
		{"-- c /*\nSET x = 1 -- */", EffectSet},
		{"/* -- */ SET x = 1", EffectSet},
		{"/* ' */ SET x = 1 --'", EffectSet},
		{"/* $$ */ SET x = 1 --$$", EffectSet},
		{"/* /* */ SET x = 1 */", 0},
		{"/* /* */ */ SET x = 1", EffectSet},
		{"/*/ SET x = 1 */", 0},
		{"/*/*/ SET x = 1 */*/", 0},
		{"/**/*/ SET x = 1", EffectUnknown},
		{"/*//**/*/ SET x = 1", EffectSet},
		{"/* **/ SET x = 1", EffectSet},
		{"/***/ SET x = 1", EffectSet},
		{"/*//*/ SET x = 1 /* */ */ */", 0},
		{"SELECT 1 */* c */ 2; SET x = 1", EffectSet},
		{"SELECT 1 +--'\n2; SET x = 1 --'", EffectSet},
		{"SELECT 1 -/*'*/2; SET x = 1 --'", EffectSet},
		{"SELECT 1 - -2; SET x = 1", EffectSet},
		{"SELECT 1 / /* */ 2; SET x = 1", EffectSet},
		{"SELECT a->'b'; SET x = 1", EffectSet},
		{"SET--\nx = 1", EffectSet},
		{"S/**/ET x = 1", EffectUnknown},
	})
}

func TestHiddenCalls(t *testing.T) {
	checkEffects(t, []effectCase{
		{"SELECT NeXtVaL('s')", EffectSequence},
		{"SELECT nextval\n\t('s')", EffectSequence},
		{"SELECT nextval/* ( */('s')", EffectSequence},
		{"SELECT nextval--(\n('s')", EffectSequence},
		{`SELECT "nextval"('s')`, EffectSequence},
		{`SELECT "nextval" /**/ ('s')`, EffectSequence},
		{"SELECT pg_catalog.nextval('s')", EffectSequence},
		{`SELECT "pg_catalog" . /**/ "nextval" ('s')`, EffectSequence},
		{"SELECT a.pg_catalog.nextval('s')", EffectSequence},
		{"SELECT ('s'::regclass).nextval", EffectSequence},
		{`SELECT x."nextval" FROM to_regclass('s') AS x`, EffectSequence},
		{"SELECT x. /**/ pg_advisory_lock FROM abs(5::bigint) AS x", EffectAdvisoryLock},
		{"SELECT $1.nextval", EffectSequence},
		{"SELECT 1nextval('s')", EffectSequence},
		{"SELECT * FROM nextval('s')", EffectSequence},
		{"SELECT * FROM ROWS FROM (nextval('s'))", EffectSequence},
		{"SELECT 1 WHERE nextval('s')>1", EffectSequence},
		{"SELECT array[nextval('s')]", EffectSequence},
		{"SELECT 1+nextval('s')", EffectSequence},
		{"SELECT 'x'nextval('s')", EffectSequence},
		{"SELECT '';SELECT nextval('s')", EffectSequence},
		{"SELECT nextval_('s'), _nextval('s'), nextval1('s'), nextval$('s'), énextval('s')", 0},
		{"CREATE TABLE t (a int DEFAULT nextval('s')); SELECT nextval('s')", EffectSequence},
		{"CREATE TABLE t AS SELECT a DEFAULT, nextval('s')", EffectSequence},

		// A Turkish server with a single-byte encoding folds these to an i.
		{"SELECT pg_adv\xddsory_lock(1)", EffectAdvisoryLock},
		{"SELECT pg_adv\xa9sory_lock(1)", EffectAdvisoryLock},
		{"SELECT pg_advİsory_lock(1)", EffectAdvisoryLock},
		{"SELECT SET_CONFİG('a', 'b', false)", EffectSet},
		{"SELECT 1 \u0130NTO TEMP t", 0}, // but not keywords
		{"SELECT pg_advïsory_lock(1)", 0},
	})
}

func TestHiddenWords(t *testing.T) {
	checkEffects(t, []effectCase{
		{"set LOCAL.x = 1", EffectSet},
		{"SET local . x = 1", EffectSet},
		{"SET LOCAL/**/.x TO 1", EffectSet},
		{"SET LOCAL = 1", EffectSet},
		{"SET LOCAL TO 1", EffectSet},
		{`SET "local".x = 1`, EffectSet},
		{"SET transaction.x = 1", EffectSet},
		{"SET constraints.x = 1", EffectSet},
		{"SET session.x = 1", EffectSet},
		{"RESET session.x", EffectSet},
		{"RESET session", EffectSet},
		{"SET role.x = 1", EffectRole},
		{"SET SESSION LOCAL.x = 1", EffectSet},
		{"\tSET\vx = 1", EffectSet},
		{"sEt x = 1", EffectSet},
		{"(SET x = 1)", 0}, // to the server an error
		{"SELECT 1\n;\nSET x = 1", EffectSet},
		{"SELECT 1;SET x = 1", EffectSet},
		{"SELECT (1;SET x = 1", EffectSet},
		{"EXPLAIN ANALYZE SELECT 1; EXECUTE p", EffectExecute},
		{"EXPLAIN (format insert) CREATE TEMP TABLE t AS SELECT 1", EffectTemp},
		{"EXPLAIN (a (b), c) EXECUTE p", EffectExecute},
		{"EXPLAIN (ANALYZE) (SELECT 1 INTO TEMP t)", EffectTemp},
		{"CREATE FUNCTION f() RETURNS int BEGIN ATOMIC SELECT 1; END; SET x = 1", EffectSet},
		{"CREATE FUNCTION f() RETURNS int AS $$ BEGIN $$ LANGUAGE plpgsql; LISTEN a", EffectListen},
		{"CREATE RULE r AS ON INSERT TO t DO (SELECT 1; SELECT 2); LOAD 'x'", EffectLoad},
		{"CREATE RULE r AS ON INSERT TO t DO (SELECT 1; RESET ALL)", 0},
		{"PREPARE transaction/**/AS SELECT 1", EffectPrepare},
		{"PREPARE TRANSACTION", EffectPrepare},
		{"DEALLOCATE PREPARE prepare", EffectDeallocate},
		{"DEALLOCATE prepare; SELECT 1", EffectDeallocate},
		{"DECLARE with_hold CURSOR WITH HOLD FOR SELECT 1 WITH", EffectHoldCursor},
		{"DECLARE c CURSOR FOR SELECT 1; DECLARE d CURSOR WITH\nHOLD FOR SELECT 1", EffectHoldCursor},
		{"CREATE/**/TEMP--\nTABLE t (a int)", EffectTemp},
		{"CREATE TEMP TABLE t AS SELECT * FROM x JOIN y ON (ON COMMIT DROP)", EffectTemp},
		{"CREATE TEMP VIEW v AS SELECT 1 ON COMMIT DROP", EffectTemp},
		{`CREATE TEMP TABLE t (a int) "ON" COMMIT DROP`, EffectTemp},
		{"SELECT 1 INTO/**/TEMP t", EffectTemp},
		{"INSERT INTO t SELECT 1 INTO TEMP u", EffectTemp},
		{"SELECT a.insert INTO TEMP t FROM a", EffectTemp},
		{`SELECT 1 "insert" INTO TEMP t`, EffectTemp},
		{`SELECT "pg_temp_12".f()`, EffectTemp},
		{"SELECT PG_TEMP . f()", EffectTemp},
	})
}

func TestLongNames(t *testing.T) {
	long := strings.Repeat("x", 200)
	checkEffects(t, []effectCase{
		{"SELECT " + long + "('s')", 0},
		{"SELECT nextval" + long + "('s')", 0},
		{`SELECT "` + long + `"('s')`, 0},
		{"SET " + long + " = 1", EffectSet},
		{"SELECT '" + long + "'; SET x = 1", EffectSet},
		{"SELECT set_config('" + long + "', 'b', false)", EffectSet | EffectRole},
		{"SELECT set_config('a', 'b', '" + long + "')", EffectSet},
		{"SELECT $" + long[:63] + "$ ' $" + long[:63] + "$; SET x = 1", EffectSet},
		{"SELECT $" + long[:64] + "$ ' $" + long[:64] + "$; SET x = 1", EffectUnknown},
		{strings.Repeat("(", 3000) + "SELECT nextval('s')", EffectSequence},
		{strings.Repeat("/*", 3000) + strings.Repeat("*/", 3000) + "SET x = 1", EffectSet},
		{"SELECT set_config(" + strings.Repeat("1,", 1000) + "true)", EffectSet | EffectRole},
	})
}

func TestEncodings(t *testing.T) {
	for name, want := range map[string]bool{
		"UTF8": true, "LATIN1": true, "EUC_JP": true, "SQL_ASCII": true,
		"SJIS": false, "BIG5": false, "GBK": false, "GB18030": false, "UHC": false, "JOHAB": false,
		"SHIFT_JIS_2004": false, "": false, "utf8": false,
	} {
		if got := SafeEncoding(name); got != want {
			t.Errorf("SafeEncoding(%q) = %v", name, got)
		}
	}
	for text, want := range map[string]Effects{
		"SELECT 1":  0,
		"SET x = 1": EffectSet,
		// In Shift JIS the backslash is the second byte of a character.
		"SELECT E'\x83\\'; SET x = 1; --'": EffectUnknown,
		"SELECT 1 AS \x83{$a$; SET x = 1":  EffectUnknown,
		"LISTEN a; SELECT '\x83'":          EffectListen | EffectUnknown,
	} {
		for cut := range len(text) {
			var s Scanner
			s.Reset(false)
			s.AssumeUnsafeEncoding()
			s.Write([]byte(text[:cut]))
			s.Write([]byte(text[cut:]))
			if got := s.Result().Effects; got != want {
				t.Errorf("%q cut at %d: effects %v, want %v", text, cut, got, want)
			}
		}
	}
}
