// SPDX-License-Identifier: Apache-2.0

package sqlscan

import "testing"

func TestDoBlocks(t *testing.T) {
	checkEffects(t, []effectCase{
		{"DO $$ BEGIN UPDATE t SET a = 1 WHERE b; END $$", 0},
		{"DO $$ BEGIN UPDATE ONLY t AS x\n SET a = 1; INSERT INTO temp VALUES (1) ON CONFLICT DO UPDATE SET a = 1; END $$", 0},
		{"DO $$ DECLARE a int := 1; BEGIN IF a > 1 THEN a := 2; ELSE a := 3; END IF; RAISE NOTICE 'SET x = %', a; END $$", 0},
		{"DO $$ BEGIN ALTER TABLE t SET (fillfactor = 50); CREATE TABLE u (a int); GRANT SELECT ON u TO r; END $$", 0},
		{"DO $$ BEGIN SET LOCAL x = 1; PERFORM set_config('a', 'b', true); COMMIT; END $$", 0},
		{"DO $$ /* SET x = 1 */ BEGIN -- ; SET x = 1\n NULL; END $$", 0},
		{"DO $$ BEGIN PERFORM '; SET x = 1'; PERFORM $a$ ; SET x = 1 $a$; END $$", 0},
		{"DO $$ BEGIN FOR r IN SELECT a FROM t LOOP UPDATE u SET b = r.a; END LOOP; END $$", 0},
		{"DO $$ BEGIN CREATE TEMP TABLE t (a int) ON COMMIT DROP; END $$", 0},
		{"DO 'BEGIN UPDATE t SET a = ''x''; END'", 0},
		{"DO 'BEGIN UPDATE t SE'\n'T a = 1; END' LANGUAGE plpgsql", 0},
		{"DO $$ BEGIN END $$ LANGUAGE PLpgSQL; SELECT 1", 0},

		{"DO $$ BEGIN SET x = 1; END $$", EffectSet},
		{"DO $a$ BEGIN SET x = 1; END $a$", EffectSet},
		{"DO 'BEGIN SET x = ''1''; END'", EffectSet},
		{"DO 'BEGIN S'\n'ET x = 1; END'", EffectSet},
		{"DO 'BEGIN PERFORM next' -- c\n 'val(1); END'", EffectSequence},
		{"DO $$BEGIN\nSET x = 1;END$$", EffectSet},
		{"DO $$ BEGIN -- UPDATE t\n SET x = 1; END $$", EffectSet},
		{"DO $$ BEGIN /* UPDATE t */ SET x = 1; END $$", EffectSet},
		{"DO $$ BEGIN IF update THEN SET x = 1; END IF; END $$", EffectSet},
		{"DO $$ BEGIN IF a THEN NULL; ELSE SET x = 1; END IF; END $$", EffectSet},
		{"DO $$ BEGIN LOOP SET x = 1; END LOOP; END $$", EffectSet},
		{"DO $$ BEGIN <<l>> SET x = 1; END $$", EffectSet},
		{"DO $$ <<l>> BEGIN SET x = 1; END $$", EffectSet},
		{"DO $$ #print_strict_params on\nBEGIN SET x = 1; END $$", EffectSet},
		{"DO $$ BEGIN NULL; EXCEPTION WHEN others THEN SET x = 1; END $$", EffectSet},
		{"DO $$ BEGIN CASE a WHEN 1 THEN SET x = 1; END CASE; END $$", EffectSet},
		{"DO $$ BEGIN BEGIN SET x = 1; END; END $$", EffectSet},
		{"DO $$ DECLARE a int; BEGIN SET x = 1; END $$", EffectSet},
		{"DO $$ BEGIN SET local.x = 1; END $$", EffectSet},
		{"DO $$ BEGIN RESET x; SET ROLE r; END $$", EffectSet | EffectRole},
		{"DO $$ DECLARE a bigint := nextval('s'); BEGIN END $$", EffectSequence},
		{"DO $$ DECLARE a bigint := x.nextval; BEGIN END $$", EffectSequence},
		{"DO $$ BEGIN a := pg_advisory_lock(1); PERFORM set_config('a', 'b', false); END $$", EffectAdvisoryLock | EffectSet},
		{"DO $$ BEGIN CREATE TEMP TABLE t (a int); END $$", EffectTemp},
		{"DO $$ BEGIN IF a > 1 THEN SELECT 1 INTO TEMP t; END IF; LISTEN a; LOAD 'x'; END $$", EffectTemp | EffectListen | EffectLoad},
		{"DO $$ BEGIN UPDATE pg_settings SET setting = 1; END $$", EffectSet | EffectRole | EffectUnknown},
		{"DO $$ BEGIN PERFORM $a$ x $a$; SET x = 1; END $$", EffectSet},
		{"DO $b$ BEGIN PERFORM $$ $a$; SET x = 1; END $b$", EffectUnknown},
		{"DO $$ BEGIN PERFORM 1; END $$; SET x = 1", EffectSet},

		// Releases within a block are none.
		{"DO $$ BEGIN RESET ALL; UNLISTEN *; CLOSE ALL; DEALLOCATE ALL; SELECT pg_advisory_unlock_all(); END $$", 0},
		{"DO $$ BEGIN NULL; END $$; RESET ALL", EffectResetAll},
	})
}

func TestDoBlockUnknown(t *testing.T) {
	for _, text := range []string{
		"DO $$ BEGIN EXECUTE format('SET x = %L', 1); END $$",
		"DO $$ BEGIN execute/**/'x'; END $$",
		"DO $$ BEGIN FOR r IN EXECUTE 'x' LOOP NULL; END LOOP; END $$",
		"DO $$ BEGIN OPEN c FOR EXECUTE 'x'; END $$",
		"DO $$ BEGIN IF a THEN EXECUTE 'x'; END IF; END $$",
		`DO $$ BEGIN PERFORM U&"n\0065xtval"('s'); END $$`,
		"DO LANGUAGE sql $$ SELECT 1 $$",
		"DO $$ $$ LANGUAGE 'plpgsql'",
		`DO $$ $$ LANGUAGE "plpgsql"`,
		"DO /**/ LANGUAGE /**/ plperl $$ $$",
		"DO E'\\123ET x = 1'",
		"DO $$ BEGIN", "DO 'BEGIN", "DO $$ BEGIN /* $$", "DO $$ ' $$", `DO $$ " $$`, "DO $$ $a$ $$",
	} {
		if got := scan(text).Effects; got&EffectUnknown == 0 {
			t.Errorf("%q: effects %v, want unknown", text, got)
		}
		checkCuts(t, text, false)
		checkCuts(t, text, true)
	}
}
