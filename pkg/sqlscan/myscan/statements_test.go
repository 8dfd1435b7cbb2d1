// SPDX-License-Identifier: Apache-2.0

package myscan

import "testing"

const (
	readVar  = EffectReadUserVariable
	writeVar = EffectReadUserVariable | EffectUserVariable
)

func TestNoEffect(t *testing.T) {
	for _, text := range []string{
		"", ";", "-- x", "# x", "/* GET_LOCK('a',1) */", "SELECT 1", "(SELECT 1) UNION (SELECT 2)",
		"SELECT get_lock, last_insert_id, connection_id FROM row_count WHERE found_rows = 1",
		"SELECT 'GET_LOCK(1)', \"@x := 1\", `set @x`, x'41', N'a', _utf8'b', 0x41, 0b01, b'01'",
		"SELECT 'it''s', 'it\\'s; SET @x=1'", "INSERT INTO t (a) VALUES (1), (2) ON DUPLICATE KEY UPDATE a = VALUES(a)",
		"INSERT INTO connection_id() VALUES ()", "REPLACE LOW_PRIORITY t SET a = 1", "UPDATE t SET a = 1, b = 2 WHERE c",
		"DELETE FROM t LIMIT 1", "WITH x AS (SELECT 1) SELECT * FROM x", "VALUES ROW(1)", "TABLE t",
		"SHOW TABLES", "SHOW CREATE TABLE warnings", "DESC t", "EXPLAIN SELECT 1", "ANALYZE TABLE t", "COMMIT", "ROLLBACK WORK",
		"ROLLBACK TO SAVEPOINT release", "SAVEPOINT a", "RELEASE SAVEPOINT a", "COMMIT AND CHAIN NO RELEASE", "FLUSH STATUS",
		"FLUSH TABLES", "FLUSH TABLES a, b", "CHECK TABLE t", "GRANT ALL ON *.* TO 'r'", "DO SLEEP(1)", "HELP 'x'",
		"LOAD DATA INFILE 'f' INTO TABLE t", "SELECT a FROM t FOR UPDATE", "SELECT 1 INTO OUTFILE 'x'", "SHUTDOWN",
		"PURGE BINARY LOGS TO 'x'", "START REPLICA", "SELECT /*+ SET_VAR(sql_mode='') */ 1", "SELECT NEXTVAL(x)",
		"SELECT a->>'$.x', a->'$.y' FROM t", "SELECT 1--1", "SELECT RAND(1), UUID(), IS_FREE_LOCK('x')",
	} {
		checkEffects(t, 0, []effectCase{{text, 0}})
	}
}

func TestEffects(t *testing.T) {
	checkEffects(t, 0, []effectCase{
		{"SET @x = 1", writeVar},
		{"SET@x=1", writeVar},
		{"SET @`a b` := 1", writeVar},
		{"SET @'a''b' = 1, sql_mode = ''", writeVar | EffectSet},
		{"SELECT @x", readVar},
		{"SELECT @x := 1", writeVar},
		{"SELECT @'a''b':=1", writeVar},
		{"SELECT @x /* c */ := 1", writeVar},
		{"SELECT 1 INTO @x", writeVar},
		{"SELECT 1.INTO@x", writeVar},
		{"SELECT 1e5INTO@x", writeVar},
		{"SELECT .5INTO@x", writeVar},
		{"SELECT 1INTO FROM t", 0},
		{"CALL p(@x)", writeVar | EffectCall},
		{"CALL connection_id()", EffectCall},
		{"LOAD DATA INFILE 'f' INTO TABLE t (a, @b)", writeVar},
		{"INSERT INTO t VALUES (@a)", readVar},
		{"EXECUTE s USING @a", EffectExecute | readVar},

		{"SET x = 1", EffectSet},
		{"SET SESSION x = 1, GLOBAL y = 2", EffectSet | EffectSetGlobal},
		{"SET @@x = 1", EffectSet},
		{"SET @@session.x = 1", EffectSet},
		{"SET @@global.x = 1", EffectSetGlobal},
		{"SET PERSIST x = 1", EffectSetGlobal},
		{"SET NAMES utf8mb4", EffectSet},
		{"SET NAMES 'latin1' COLLATE x, @a = 1", EffectSet | writeVar},
		{"SET CHARACTER SET utf8", EffectSet},
		{"SET x = GREATEST(1, 2), y = 3", EffectSet},
		{"SET TRANSACTION READ ONLY", EffectNextTransaction},
		{"SET SESSION TRANSACTION READ ONLY", EffectSet},
		{"SET GLOBAL TRANSACTION READ ONLY", EffectSetGlobal},
		{"SET @@transaction_isolation = 'SERIALIZABLE'", EffectNextTransaction},
		{"SET @@session.transaction_isolation = 'SERIALIZABLE'", EffectSet},
		{"SET transaction_isolation = 'SERIALIZABLE'", EffectSet},
		{"SET PASSWORD = 'x'", EffectSetGlobal},
		{"SET DEFAULT ROLE r TO u", EffectSetGlobal},
		{"SET ROLE r", EffectRole},
		{"SET session_track_gtids = 'OFF'", EffectSet},
		{"SET session_track_schema = @@session_track_state_change", EffectSet | EffectTrack | EffectReadTrack},
		{"SET @@`session_track_schema` = 0", EffectSet | EffectTrack},
		{"SET last_insert_id = 5", EffectSet | EffectSetLastInsertID},
		{"SET insert_id = 5", EffectSet | EffectSetLastInsertID},

		{"SELECT GET_LOCK('a', 1)", EffectLock},
		{"SELECT `get_lock` /**/ ('a', 1)", EffectLock},
		{"SELECT gét_lock('a', 1)", EffectLock},
		{"SELECT GET_LOC\u212A('a', 1)", EffectLock},
		{"DO RELEASE_LOCK('a')", EffectUnlock},
		{"SELECT RELEASE_ALL_LOCKS()", EffectUnlock | ReleaseLocks},
		{"DO RELEASE_ALL_LOCKS();", EffectUnlock | ReleaseLocks},
		{"SELECT RELEASE_ALL_LOCKS() FROM t", EffectUnlock},
		{"SELECT RELEASE_ALL_LOCKS() LIMIT 0", EffectUnlock},
		{"SELECT SERVICE_GET_WRITE_LOCKS('a', 'b', 1)", EffectServiceLock},
		{"LOCK TABLES t READ", EffectTableLock},
		{"LOCK TABLE t READ", EffectTableLock},
		{"UNLOCK TABLES", ReleaseTables},
		{"LOCK INSTANCE FOR BACKUP", EffectInstanceLock},
		{"UNLOCK INSTANCE", ReleaseInstance},
		{"BEGIN", ReleaseTableLocks},
		{"START TRANSACTION WITH CONSISTENT SNAPSHOT", ReleaseTableLocks},
		{"FLUSH TABLES WITH READ LOCK", EffectGlobalLock},
		{"FLUSH LOCAL TABLES a, b FOR EXPORT", EffectGlobalLock},
		{"BACKUP STAGE START", EffectInstanceLock},

		{"CREATE TEMPORARY TABLE t (a int)", EffectDefinition | EffectTemp},
		{"CREATE OR REPLACE TEMPORARY TABLE t SELECT 1", EffectDefinition | EffectTemp},
		{"CREATE TABLE t (a int)", EffectDefinition},
		{"DROP TEMPORARY TABLE t", EffectDropTemp},
		{"DROP TABLE t", EffectDefinition},
		{"TRUNCATE t", EffectDefinition},
		{"RENAME TABLE a TO b", EffectDefinition},
		{"ALTER TABLE t ADD a int", EffectDefinition},
		{"PREPARE s FROM 'SELECT 1'", EffectPrepare},
		{"EXECUTE IMMEDIATE 'SELECT 1'", EffectExecute | EffectImmediate},
		{"DEALLOCATE PREPARE s", EffectDeallocate},
		{"DROP PREPARE s", EffectDeallocate},
		{"HANDLER t OPEN", EffectHandler},
		{"XA START 'x'", EffectXA},
		{"USE d", EffectUse},
		{"COMMIT RELEASE", EffectDisconnect},
		{"ROLLBACK AND NO CHAIN RELEASE", EffectDisconnect},
		{"KILL 5", EffectKill},

		{"SELECT SQL_CALC_FOUND_ROWS * FROM t", EffectCalcFoundRows},
		{"SELECT FOUND_ROWS(), ROW_COUNT()", EffectFoundRows | EffectRowCount},
		{"SELECT LAST_INSERT_ID()", EffectLastInsertID},
		{"UPDATE t SET a = LAST_INSERT_ID(a + 1)", EffectSetLastInsertID | EffectLastInsertID},
		{"SELECT @@identity", EffectLastInsertID},
		{"SELECT @@session.last_insert_id", EffectLastInsertID},
		{"SELECT @@pseudo_thread_id", EffectConnectionID},
		{"SELECT @@session.`session_track_state_change`", EffectReadTrack},
		{"SHOW VARIABLES", EffectReadTrack},
		{"SHOW LOCAL VARIABLES LIKE 'a'", EffectReadTrack},
		{"SHOW GLOBAL VARIABLES", 0},
		{"SHOW SESSION STATUS", 0},
		{"SELECT * FROM performance_schema.session_variables", EffectReadTrack},
		{"SHOW WARNINGS LIMIT 1", EffectDiagnostics},
		{"SHOW COUNT(*) ERRORS", EffectDiagnostics},
		{"SELECT @@warning_count, @@`error_count`", EffectDiagnostics},
		{"GET CURRENT DIAGNOSTICS @n = NUMBER", EffectDiagnostics | writeVar},
		{"LOAD DATA LOW_PRIORITY LOCAL INFILE 'f' INTO TABLE t", EffectLocalInfile},
		{"LOAD XML LOCAL INFILE 'f' INTO TABLE local", EffectLocalInfile},

		{"SELECT 1; SET @x = 1", writeVar},
		{"SET NAMES utf8; SELECT 1", EffectSet},
	})
	checkEffects(t, ModeMariaDB, []effectCase{
		{"SELECT NEXTVAL(s)", EffectSequence},
		{"SELECT NEXT VALUE FOR s", EffectSequence},
		{"SELECT PREVIOUS VALUE FOR s", EffectSequence},
		{"SET STATEMENT max_statement_time = 1 FOR SELECT 1", EffectSetStatement},
		{"SET STATEMENT a = SUBSTR('x' FOR 1) FOR SELECT GET_LOCK('a', 1)", EffectSetStatement | EffectLock},
		{"SELECT 1 /*M! , GET_LOCK('a', 1) */", EffectLock | EffectExecutableComment},
	})
}

func TestExecutableComments(t *testing.T) {
	const ec = EffectExecutableComment
	checkEffects(t, 0, []effectCase{
		{"/*!40101 SET NAMES utf8 */", EffectSet | ec},
		{"/*!40101 SET NAMES utf8 */;", EffectSet | ec},
		{"SELECT /*!40001 SQL_NO_CACHE */ * FROM t", ec},
		{"SELECT /*! GET_LOCK('a', 1), */ 2", EffectLock | ec},
		{"SELECT GET_LOCK /*!99999 x */ ('a', 1)", EffectLock | ec},
		{"SELECT 1 INTO /*!99999 x, */ @y", writeVar | ec},
		{"SELECT @y /*!99999 x, */ := 1", writeVar | ec},
		{"/*!50000 UNLOCK TABLES */", ec},
		{"UNLOCK TABLES /*!50000 */", ec},
		{"SELECT 1 /*M! , GET_LOCK('a', 1) */", 0},
		{"/*!99999 SELECT 1 */ LOCK TABLES t READ", EffectUnknown | ec},
		{"SET /*!99999 GLOBAL */ x = 1", EffectUnknown | ec},
		{"SELECT /*!99999 '*/ GET_LOCK('a', 1) -- '*/", EffectUnknown | ec},
		{"SELECT /*!99999 -- */ GET_LOCK('a', 1)\n*/", EffectUnknown | ec},
		{"SELECT /*!50000 a /*!50000 b */ c */ 1", EffectUnknown | ec},
		{"SELECT /*!50000 1", EffectUnknown | ec},
		{"SELECT /*!50000 1; */ 2", EffectUnknown | ec},
	})
}

func TestRoutines(t *testing.T) {
	checkEffects(t, 0, []effectCase{
		{"CREATE PROCEDURE p() SET @x = 1", EffectDefinition},
		{"CREATE PROCEDURE p() BEGIN SET @x = 1; SELECT GET_LOCK('a', 1); END", EffectDefinition},
		{"CREATE PROCEDURE p() BEGIN SELECT 1; END; SET @x = 1", EffectDefinition | writeVar},
		{"CREATE PROCEDURE p() SELECT 1 AS begin; SET @x = 1", EffectDefinition | writeVar},
		{"CREATE PROCEDURE p() SELECT 1 begin; SET @x = 1", EffectDefinition | writeVar},
		{"CREATE PROCEDURE p() BEGIN IF a THEN SET @x = 1; ELSE BEGIN SELECT 1; END; END IF; END; SELECT @y", EffectDefinition | readVar},
		{"CREATE PROCEDURE p() BEGIN CASE a WHEN 1 THEN SELECT 1; END CASE; END; SELECT @y", EffectDefinition | readVar},
		{"CREATE PROCEDURE p() BEGIN SELECT CASE a WHEN 1 THEN 2 END FOR UPDATE; END; SELECT @y", EffectDefinition | readVar},
		{"CREATE PROCEDURE p() BEGIN DECLARE EXIT HANDLER FOR SQLEXCEPTION BEGIN SET @x = 1; END; l: BEGIN SELECT 1; END l; END; USE d", EffectDefinition | EffectUse},
		{"CREATE DEFINER=`a`@`b` TRIGGER t BEFORE INSERT ON x FOR EACH ROW BEGIN SET NEW.a = 1; SET @x = 1; END", EffectDefinition},
		{"CREATE EVENT e ON SCHEDULE EVERY 1 DAY DO BEGIN WHILE a DO SET @x = 1; END WHILE; END; SELECT @y", EffectDefinition | readVar},
		{"CREATE VIEW v AS SELECT CONNECTION_ID()", EffectDefinition},
		{"CREATE PROCEDURE p() BEGIN SELECT 1;", EffectDefinition | EffectUnknown},
		{"CREATE PROCEDURE /*!50000 p() */ BEGIN END", EffectDefinition | EffectUnknown},
	})
}

func TestUnknown(t *testing.T) {
	for _, text := range []string{
		"FOO", "1", "'x'", "SELECT 'x", "SELECT `x", "SELECT /* x", "SELECT '\\", "SELECT 1\x00", "SELECT 1 -- \x00", "BEGIN NOT ATOMIC SELECT 1; END",
		"IF 1 THEN SELECT 1; END IF", "SELECT $$ x $$", "SELECT $a$ x $a$", "SET sql_mode = 'ANSI_QUOTES'; SELECT 1", "SET NAMES latin1; SELECT 1",
		"EXECUTE s; SELECT 1", "BINLOG 'x'", "SET RESOURCE GROUP g", "SELECT /*+ BKA(`*/`) */ 1", "SELECT 1.5e FROM t",
	} {
		if r := scan(text, 0); r.Effects&EffectUnknown == 0 || r.Effects.Releases() != 0 {
			t.Errorf("%q: effects %v, want unknown", text, r.Effects)
		}
		checkCuts(t, text, 0)
		checkCuts(t, text, ModeMariaDB)
	}
}

func TestModes(t *testing.T) {
	for _, c := range []struct {
		text string
		mode Mode
		want Effects
	}{
		{`SELECT "a\"; SET @x=1; -- "`, 0, 0},
		{`SELECT "a\"; SET @x=1; -- "`, ModeANSIQuotes, writeVar},
		{`SELECT 'a\'; SET @x=1; -- '`, ModeNoBackslashEscapes, writeVar},
		{`SELECT "get_lock"('a')`, ModeANSIQuotes, EffectLock},
		{`SELECT "get_lock"('a')`, 0, 0},
		{"SELECT 1 --; SET @x=1", 0, writeVar},
		{"SELECT 1 --\tx; SET @x=1", 0, 0},
		{"SELECT 1 # x; SET @x=1", 0, 0},
		{"SELECT 1e-- x; SET @x=1", 0, 0},
		{"SELECT 1\xA0", ModeOtherCharset, EffectUnknown},
		{"SELECT 'caf\xE9'", ModeOtherCharset, 0},
		{"SELECT 'caf\xE9'", ModeUnsafeCharset, EffectUnknown},
		{"SELECT 'x'", ModeUnsafeCharset, 0},
		{"SELECT 1", ModeOracle, EffectUnknown},
	} {
		if got := scan(c.text, c.mode).Effects; got != c.want {
			t.Errorf("%q in mode %b: %v, want %v", c.text, c.mode, got, c.want)
		}
		checkCuts(t, c.text, c.mode)
	}
}
