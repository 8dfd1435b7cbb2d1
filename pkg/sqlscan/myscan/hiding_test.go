// SPDX-License-Identifier: Apache-2.0

package myscan

import "testing"

// TestHiding has texts that proxies which match the text get wrong.
func TestHiding(t *testing.T) {
	checkEffects(t, 0, []effectCase{
		{"/* leading */ -- comment\n CREATE /**/ TEMPORARY /**/ TABLE t (a int)", EffectDefinition | EffectTemp},
		{"select\tget_lock\n(\n'a',1)", EffectLock},
		{"SELECT 1 FROM t WHERE GET_LOCK/*(*/('a',1)", EffectLock},
		{"SELECT LAST_INSERT_ID() FROM DUAL", EffectLastInsertID},
		{"SELECT LAST_INSERT_ID ( ) AS id;", EffectLastInsertID},
		{"SELECT `LAST_INSERT_ID`()", EffectLastInsertID},
		{"SELECT LAST_INSERT_ID(LAST_INSERT_ID())", EffectSetLastInsertID | EffectLastInsertID},
		{"((SELECT @a := 1))", writeVar},
		{"SELECT _utf8mb4'\\'', @a := 1", writeVar},
		{"SELECT _binary 0x27, @a := 1 -- '", writeVar},
		{"SELECT x'27', @a := 1 -- '", writeVar},
		{"SELECT 'user@host', `a@b`", 0},
		{"SELECT \"a'\", @a := 1 -- '\"", writeVar},
		{"SELECT 'a' /* ' */, @a := 1 -- '", writeVar},
		{"SELECT /*/ @a := 1 /*/ 2", 0},
		{"SELECT 1 /* /* */, @a := 1 -- */", writeVar},
		{"SELECT 1 -- x\r, @a := 1", 0},
		{"SELECT 1 -- x\n, @a := 1", writeVar},
		{"SELECT 1 --\n, @a := 1", writeVar},
		{"SELECT 1 --- x, @a := 1", 0},
		{"SELECT 0x1FINTO@x", readVar},
		{"SELECT 1.5e-3INTO@x", writeVar},
		{"SELECT t.into, @x", readVar},
		{"ALTER EVENT e DO BEGIN SET @a = 1; END; SET @b = 1", EffectDefinition | writeVar},
		{"CREATE USER 'u'@'h' IDENTIFIED BY 'x'", EffectDefinition | EffectReadUserVariable},
		{"UPDATE t SET a = @b, c = (@d := 1)", writeVar},
		{"EXPLAIN FORMAT=JSON INTO @v SELECT 1", writeVar},
		{"SELECT * FROM t WHERE a = 'SQL_CALC_FOUND_ROWS'", 0},
		{"(SELECT SQL_CALC_FOUND_ROWS 1)", EffectCalcFoundRows},
		{"lock\n/* */tables t write", EffectTableLock},
		{"SELECT 1; LOCK TABLES t READ; UNLOCK TABLES", EffectTableLock | ReleaseTables},
		{"FLUSH NO_WRITE_TO_BINLOG TABLES WITH READ LOCK", EffectGlobalLock},
		{"SHOW /* c */ ERRORS", EffectDiagnostics},
		{"SET autocommit=0, @@session.sql_mode=concat(@@sql_mode, ',ANSI_QUOTES')", EffectSet},
		{"SET @@session.autocommit = 1; SET @a = 1", EffectSet | writeVar},
	})
}
