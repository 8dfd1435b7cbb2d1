// SPDX-License-Identifier: Apache-2.0

package sqlscan

import "testing"

func TestNoEffect(t *testing.T) {
	for _, text := range []string{
		"", " ", ";", ";;\n", "-- nothing", "/* nothing */", "/* a /* b */ c */",
		"SELECT 1", "select 1;", "SELECT abalance FROM pgbench_accounts WHERE aid = 12345",
		"(SELECT 1) UNION (SELECT 2)", "((SELECT 1))", "VALUES (1), (2)", "TABLE t",
		"SELECT set, reset, listen FROM load", `SELECT "set", "LISTEN" FROM "prepare"`,
		"SELECT nextval FROM t", "SELECT nextval, currval FROM seqs", "SELECT lastval AS x",
		"SELECT 'nextval(1)', 'SET x = 1; LISTEN y'", "SELECT $$ SET x = 1; nextval('s') $$",
		"SELECT $q$ ; LISTEN a; $$ ; $q$", "SELECT 'it''s; SET x=1'", `SELECT E'it\'s; SET x=1'`,
		"SELECT count(*), max(x), my_nextval(1), nextvals(2) FROM t",
		"SELECT * FROM t WHERE a = $1 AND b IN ($2, $3) ORDER BY c LIMIT $4 OFFSET 10",
		"SELECT a ? 'b', a ->> 'c', a @> '{}', b::text[], c[1:2], x'1F', b'01' FROM t",
		"SELECT 1 /* SET x = 1; */ -- ; LISTEN y\n + 2",
		"SELECT * FROM t FOR UPDATE SKIP LOCKED", "SELECT x INTO y FROM t", "SELECT 1 INTO TABLE y",
		"SELECT 1 INTO UNLOGGED y",
		"SELECT pg_advisory_xact_lock(1), pg_try_advisory_xact_lock(2), pg_advisory_xact_lock_shared(3)",
		"SELECT pg_advisory_unlock(1)",
		"SELECT set_config('a.b', 'c', true)", "SELECT set_config('a', $1, TRUE), set_config($2, f(x, y), true)",
		"SELECT pg_catalog.set_config('a', 'b', 't')", "SELECT set_config('a', 'b', 'true' ) FROM t",
		`SELECT "set_config"('a', 'b', /* c */ true -- d
		)`,
		"SELECT current_setting('x'), name FROM pg_settings", "SHOW ALL", "SHOW search_path",
		"WITH x AS (SELECT 1) SELECT * FROM x", "WITH x AS (INSERT INTO temp VALUES (1) RETURNING *) TABLE x",
		"INSERT INTO t (a, b) VALUES (1, 'x') ON CONFLICT (a) DO UPDATE SET b = excluded.b RETURNING *",
		"INSERT INTO temp SELECT 1", "INSERT INTO local VALUES (1)", "insert /* x */ into temporary values (1)",
		"INSERT INTO t DEFAULT VALUES", "UPDATE t SET a = 1, b = DEFAULT WHERE c", "UPDATE ONLY t * SET a = 1",
		"DELETE FROM t USING u WHERE t.a = u.a",
		"MERGE INTO temp USING u ON a = b WHEN MATCHED THEN UPDATE SET x = 1 WHEN NOT MATCHED THEN INSERT VALUES (1)",
		"BEGIN", "BEGIN ISOLATION LEVEL SERIALIZABLE", "START TRANSACTION READ ONLY", "COMMIT", "END WORK", "ABORT",
		"COMMIT AND CHAIN", "ROLLBACK", "ROLLBACK TO SAVEPOINT a", "SAVEPOINT a", "RELEASE a",
		"PREPARE TRANSACTION 'x'", "PREPARE /**/ TRANSACTION -- c\n 'x'", "COMMIT PREPARED 'x'", "ROLLBACK PREPARED 'x'",
		"SET TRANSACTION ISOLATION LEVEL REPEATABLE READ", "SET TRANSACTION SNAPSHOT 'x'", "SET TRANSACTION READ ONLY",
		"SET CONSTRAINTS ALL DEFERRED", `SET CONSTRAINTS "a", b.c IMMEDIATE`,
		"SET LOCAL x = 1", "SET LOCAL a.b TO 'c'", `SET LOCAL "x" = 1`, "SET LOCAL ROLE r", "set local role none",
		"SET LOCAL SESSION AUTHORIZATION r", "SET LOCAL TIME ZONE 'UTC'", "SET LOCAL search_path TO x, y",
		"SET LOCAL SESSION CHARACTERISTICS AS TRANSACTION READ ONLY",
		"COPY t FROM STDIN", "COPY t (a, b) TO STDOUT WITH (FORMAT csv)", "COPY (SELECT * FROM t) TO STDOUT",
		"CREATE TABLE t (a int PRIMARY KEY, b text DEFAULT 'x')", "CREATE UNLOGGED TABLE t (a int)",
		"CREATE TABLE t (id bigint DEFAULT nextval('s'::regclass) NOT NULL, b text)",
		"CREATE TABLE temp (a int)", "CREATE TABLE t AS SELECT 1", "CREATE TABLE t AS SELECT temp FROM local",
		"CREATE INDEX CONCURRENTLY i ON t (lower(a))", "CREATE VIEW v AS SELECT 1",
		"CREATE SCHEMA s CREATE TABLE t (a int) CREATE VIEW v AS SELECT 1", "CREATE EXTENSION IF NOT EXISTS x",
		"CREATE SEQUENCE s", "CREATE FUNCTION f() RETURNS int LANGUAGE sql SET search_path = a AS $$ SELECT nextval('s') $$",
		"CREATE FUNCTION f(a int) RETURNS int BEGIN ATOMIC SELECT 1; RETURN a; END",
		"CREATE TRIGGER x BEFORE INSERT ON t FOR EACH ROW EXECUTE FUNCTION f()",
		"CREATE RULE r AS ON INSERT TO t DO ALSO (NOTIFY a; UPDATE b SET c = 1)",
		"CREATE TEMP TABLE t (a int, b text) ON COMMIT DROP", "CREATE TEMP TABLE t ON COMMIT DROP AS SELECT 1",
		"ALTER TABLE t ADD COLUMN a int, ALTER b SET DEFAULT 1, SET (fillfactor = 50), SET SCHEMA s",
		"ALTER ROLE r SET search_path = a", "ALTER DATABASE d SET x = 1", "ALTER FUNCTION f() SET x = 1",
		"ALTER SYSTEM SET work_mem = '1MB'", "ALTER ROLE r RESET ALL", "DROP TABLE t", "TRUNCATE t",
		"LOCK TABLE t IN EXCLUSIVE MODE", "DECLARE c CURSOR FOR SELECT 1", "DECLARE hold CURSOR FOR SELECT hold FROM t",
		"DECLARE c CURSOR WITHOUT HOLD FOR SELECT 1", "FETCH ALL FROM c", "MOVE NEXT c", "CLOSE c", `CLOSE "all"`,
		"NOTIFY a, 'b'", "UNLISTEN a", "VACUUM (ANALYZE) t", "ANALYZE t", "ANALYSE", "EXPLAIN SELECT 1",
		"EXPLAIN ANALYZE SELECT * FROM t", "EXPLAIN (ANALYZE, FORMAT json) UPDATE t SET a = 1", "EXPLAIN (SELECT 1)",
		"EXPLAIN ((SELECT 1))", "EXPLAIN VERBOSE CREATE TABLE t AS SELECT 1", "EXPLAIN DECLARE c CURSOR FOR SELECT 1",
		"CALL p(1)", "CHECKPOINT", "CLUSTER t", "REINDEX TABLE t", "REFRESH MATERIALIZED VIEW v", "DISCARD PLANS",
		"COMMENT ON TABLE t IS 'x'", "SECURITY LABEL ON TABLE t IS 'x'", "GRANT EXECUTE ON FUNCTION f() TO r",
		"REVOKE ALL ON t FROM r", "REASSIGN OWNED BY a TO b", "IMPORT FOREIGN SCHEMA a FROM SERVER b INTO c",
		"DO $$ BEGIN NULL; END $$", "DO LANGUAGE plpgsql $$ BEGIN PERFORM 1; END $$",
		"BEGIN; INSERT INTO t VALUES (1); UPDATE t SET a = 2; COMMIT;",
		"SELECT über, naïve, café(1), функция('x') FROM täble", "SELECT u&1, e, b, x, n FROM u",
	} {
		r := scan(text)
		if r.Effects != 0 {
			t.Errorf("%q: effects %v, want none", text, r.Effects)
		}
		checkCuts(t, text, false)
		checkCuts(t, text, true)
	}
}

func TestEffects(t *testing.T) {
	checkEffects(t, []effectCase{
		{"SET x = 1", EffectSet},
		{"set\tX to 'y'", EffectSet},
		{"SET SESSION x = 1", EffectSet},
		{`SET "x" = 1`, EffectSet},
		{"SET TIME ZONE 'UTC'", EffectSet},
		{"SET NAMES 'utf8'", EffectSet},
		{"SET SCHEMA 'x'", EffectSet},
		{"SET SESSION CHARACTERISTICS AS TRANSACTION READ ONLY", EffectSet},
		{"RESET x", EffectSet},
		{"RESET TIME ZONE", EffectSet},
		{`RESET "all"`, EffectSet},
		{"RESET ALL", EffectResetAll},
		{"SET seed = 0.5", EffectSet | EffectSessionFunction},
		{"SET LOCAL seed = 0.5", EffectSessionFunction},

		{"SET ROLE r", EffectRole},
		{"SET ROLE NONE", EffectRole},
		{"SET role = 'r'", EffectRole},
		{`SET "role" TO r`, EffectRole},
		{"SET SESSION ROLE r", EffectRole},
		{"SET SESSION AUTHORIZATION r", EffectRole},
		{"SET SESSION SESSION AUTHORIZATION DEFAULT", EffectRole},
		{"SET session_authorization TO r", EffectRole},
		{"RESET ROLE", EffectRole},
		{"RESET SESSION AUTHORIZATION", EffectRole},
		{"RESET session_authorization", EffectRole},
		{"SELECT set_user('r')", EffectRole},

		{"SELECT set_config('a', 'b', false)", EffectSet},
		{"SELECT set_config('a', 'b', 'f')", EffectSet},
		{"SELECT set_config('a', 'b', $1)", EffectSet},
		{"SELECT set_config('a', 'b', true AND false)", EffectSet},
		{"SELECT set_config('a', 'b', NOT true)", EffectSet},
		{"SELECT set_config('a', 'b', x.true)", EffectSet},
		{`SELECT set_config('a', 'b', "true")`, EffectSet},
		{"SELECT set_config('a', 'b', (true))", EffectSet},
		{"SELECT set_config('a', 'b', $t$false$t$)", EffectSet},
		{"SELECT set_config('a', set_config('b', 'c', false), true)", EffectSet},
		{"SELECT set_config('a', set_config('b', 'c', true), false)", EffectSet},
		{"SELECT set_config('a', true)", EffectSet},
		{"SELECT set_config('a', f('b', 'c', true), false)", EffectSet},
		{"SELECT set_config(is_local => false, setting_name => 'a', new_value => true)", EffectSet},
		{"SELECT set_config('a', 'b', true", EffectSet},
		{"UPDATE pg_settings SET setting = 'x' WHERE name = 'search_path'", EffectSet},
		{`WITH x AS (UPDATE ONLY pg_catalog."pg_settings" AS p SET setting = 1) SELECT 1`, EffectSet},
		{"SELECT set_limit(0.5)", EffectSet},

		{"PREPARE p AS SELECT 1", EffectPrepare},
		{"PREPARE p (int, text) AS SELECT $1, $2", EffectPrepare},
		{"PREPARE transaction AS SELECT 1", EffectPrepare},
		{"PREPARE transaction (int) AS SELECT 1", EffectPrepare},
		{`PREPARE "p" AS SELECT nextval('s')`, EffectPrepare | EffectSequence},
		{"EXECUTE p", EffectExecute},
		{"EXECUTE p (1, nextval('s'))", EffectExecute | EffectSequence},
		{"EXPLAIN ANALYZE EXECUTE p", EffectExecute},
		{"EXPLAIN (ANALYZE, BUFFERS) EXECUTE p (1)", EffectExecute},
		{"CREATE TABLE t AS EXECUTE p", EffectExecute},
		{"EXPLAIN ANALYZE CREATE TABLE t AS /**/ EXECUTE p", EffectExecute},
		{"DEALLOCATE p", EffectDeallocate},
		{"DEALLOCATE PREPARE p", EffectDeallocate},
		{"DEALLOCATE prepare", EffectDeallocate},
		{`DEALLOCATE "all"`, EffectDeallocate},
		{"DEALLOCATE ALL", EffectDeallocateAll},
		{"DEALLOCATE PREPARE ALL", EffectDeallocateAll},

		{"LISTEN a", EffectListen},
		{"UNLISTEN *", EffectUnlistenAll},
		{"LOAD 'auto_explain'", EffectLoad},

		{"CREATE TEMP TABLE t (a int)", EffectTemp},
		{"CREATE TEMPORARY TABLE t (a int) ON COMMIT DELETE ROWS", EffectTemp},
		{"CREATE LOCAL TEMP TABLE t (a int)", EffectTemp},
		{"CREATE GLOBAL TEMPORARY TABLE t (a int)", EffectTemp},
		{"CREATE TEMP SEQUENCE s", EffectTemp},
		{"CREATE TEMP VIEW v AS SELECT 1", EffectTemp},
		{"CREATE OR REPLACE TEMP VIEW v AS SELECT 1", EffectTemp},
		{"CREATE OR REPLACE LOCAL TEMPORARY RECURSIVE VIEW v (a) AS SELECT 1", EffectTemp},
		{"CREATE TEMP TABLE t AS SELECT 1", EffectTemp},
		{"EXPLAIN ANALYZE CREATE TEMP TABLE t AS SELECT 1", EffectTemp},
		{"CREATE TEMP TABLE t (a text DEFAULT 'ON COMMIT DROP')", EffectTemp},
		{"CREATE TEMP TABLE t AS SELECT commit drop FROM x", EffectTemp},
		{"CREATE TEMP TABLE t ON COMMIT DROP AS SELECT 1; CREATE TEMP TABLE u (a int)", EffectTemp},
		{"CREATE SCHEMA s CREATE TEMP TABLE t (a int)", EffectTemp},
		{"SELECT 1 INTO TEMP t", EffectTemp},
		{"SELECT 1 INTO LOCAL TEMP TABLE t", EffectTemp},
		{"WITH x AS (SELECT 1) SELECT * INTO TEMPORARY t FROM x", EffectTemp},
		{"SELECT 1 AS insert INTO TEMP t", EffectTemp},
		{"SELECT (1) insert INTO TEMP t", EffectTemp},
		{"CREATE TABLE pg_temp.t (a int)", EffectTemp},
		{`CREATE TABLE "pg_temp"."t" (a int)`, EffectTemp},
		{"CREATE TABLE pg_temp_3.t (a int)", EffectTemp},
		{"CREATE FUNCTION pg_temp.f() RETURNS int LANGUAGE sql AS 'SELECT 1'", EffectTemp},
		{"DISCARD TEMP", EffectDiscardTemp},
		{"DISCARD TEMPORARY", EffectDiscardTemp},

		{"SELECT pg_advisory_lock(1)", EffectAdvisoryLock},
		{"SELECT PG_ADVISORY_LOCK_SHARED (1, 2)", EffectAdvisoryLock},
		{"SELECT pg_catalog.pg_try_advisory_lock(1)", EffectAdvisoryLock},
		{"SELECT pg_try_advisory_lock_shared/**/(1)", EffectAdvisoryLock},
		{"DECLARE c CURSOR WITH HOLD FOR SELECT 1", EffectHoldCursor},
		{"DECLARE c BINARY INSENSITIVE SCROLL CURSOR WITH /**/ HOLD FOR SELECT 1", EffectHoldCursor},
		{"CLOSE ALL", EffectCloseAll},

		{"SELECT nextval('s')", EffectSequence},
		{"INSERT INTO t VALUES (nextval('s'))", EffectSequence},
		{"SELECT setval('s', 1), currval('s')", EffectSequence},
		{"SELECT lastval()", EffectSequence},
		{"COPY (SELECT nextval('s')) TO STDOUT", EffectSequence},
		{"CALL p(nextval('s'))", EffectSequence},
		{"EXPLAIN ANALYZE SELECT nextval('s')", EffectSequence},
		{"ALTER TABLE t ADD COLUMN a int DEFAULT nextval('s')", EffectSequence},
		{"CREATE TABLE t AS SELECT * FROM XMLTABLE('/a' PASSING x COLUMNS a int DEFAULT nextval('s'))", EffectSequence},
		{"DISCARD SEQUENCES", EffectDiscardSequences},
		{"SELECT setseed(0.5)", EffectSessionFunction},
		{"SELECT dblink_connect('c', 'dbname=x')", EffectSessionFunction},
		{"SELECT query_to_xml('select set_config(''a'', ''b'', false)', true, true, '')", EffectSessionFunction},

		{"DISCARD ALL", EffectDiscardAll},
		{"/* c */ discard\n all ;", EffectDiscardAll},
		{"SELECT pg_advisory_unlock_all()", EffectAdvisoryUnlockAll},
		{"select pg_advisory_unlock_all ( ) ;", EffectAdvisoryUnlockAll},
		{"SELECT pg_advisory_unlock_all() FROM t", 0},
		{"SELECT pg_advisory_unlock_all(), 1", 0},
		{"SELECT 1, pg_advisory_unlock_all()", 0},
		{"SELECT x.pg_advisory_unlock_all()", 0},
		{"SELECT 1 WHERE false UNION SELECT pg_advisory_unlock_all()", 0},
		{"EXPLAIN SELECT pg_advisory_unlock_all()", 0},
		{"CREATE VIEW v AS SELECT pg_advisory_unlock_all()", 0},
		{
			"SELECT pg_advisory_unlock_all();\nCLOSE ALL;\nUNLISTEN *;\nRESET ALL;",
			EffectAdvisoryUnlockAll | EffectCloseAll | EffectUnlistenAll | EffectResetAll,
		},
		{"CREATE FUNCTION f() RETURNS void BEGIN ATOMIC SELECT 1; SELECT pg_advisory_unlock_all(); END", 0},
		{"CREATE RULE r AS ON INSERT TO t DO ALSO (SELECT 1; SELECT pg_advisory_unlock_all())", 0},

		{"SELECT 1; SET x = 1; SELECT 2", EffectSet},
		{"SELECT 1;;\n;LISTEN a", EffectListen},
		{"BEGIN; SET LOCAL x = 1; SET y = 2; COMMIT", EffectSet},
	})
}

func TestUnknown(t *testing.T) {
	for _, text := range []string{
		"FOO", "FOO BAR; SET x = 1", "1", "'x'", `"select" 1`, ", SELECT 1", "\\d", "\ufeffSELECT 1", "SELECT 1; bar",
		"SELECT 'x", "SELECT E'x\\'", `SELECT "x`, "SELECT /* x", "SELECT /* /* */", "SELECT $$ x", "SELECT $a$ x $b$",
		"SELECT U&'x", "SELECT $", "SELECT $a", "SELECT a $ b", "SELECT\x001", "SELECT '\x00'", "\x00",
		`SELECT U&"n\0065xtval"('s')`, `SELECT U&"x"`, "WAIT FOR LSN '0/0'", "SHUTDOWN", "EXPLAIN", "EXPLAIN VACUUM",
		"EXPLAIN () SELECT 1",
		"DO LANGUAGE plpython3u $$ x $$", "DO $$ BEGIN END $$ LANGUAGE plperl", "DO E'BEGIN END'", "DO U&'BEGIN END'",
		"DO $$ BEGIN EXECUTE 'SET x = 1'; END $$", "DO $$ BEGIN RETURN QUERY EXECUTE x; END $$",
		"DO $$ BEGIN 'x END $$", "DO $$ BEGIN DO $a$ BEGIN END $a$; END $$", "DO 'BEGIN /* END'",
		"SELECT $aaaaaaaaaabbbbbbbbbbccccccccccddddddddddeeeeeeeeeeffffffffffgggg$ x",
	} {
		r := scan(text)
		// An EXPLAIN of nothing is an error to the server; it does no harm.
		if r.Effects&EffectUnknown == 0 && text != "EXPLAIN" {
			t.Errorf("%q: effects %v, want unknown", text, r.Effects)
		}
		if r.Effects.Releases() != 0 {
			t.Errorf("%q: releases %v with unknown", text, r.Effects.Releases())
		}
		checkCuts(t, text, false)
		checkCuts(t, text, true)
	}
}
