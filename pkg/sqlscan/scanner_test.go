// SPDX-License-Identifier: Apache-2.0

package sqlscan

import (
	"strings"
	"testing"
)

func TestNames(t *testing.T) {
	for _, c := range []struct {
		text, name string // an empty name: none
		quoted     bool
	}{
		{"EXECUTE p", "p", false},
		{"  /* c */ EXECUTE\n Plan_1 ;", "Plan_1", false},
		{"EXECUTE p(1, 2)", "p", false},
		{`EXECUTE "P""1"`, `P""1`, true},
		{`EXECUTE"p"(1)`, "p", true},
		{"EXECUTE prépa", "prépa", false},
		{"PREPARE p AS SELECT 1", "p", false},
		{"PREPARE p (int) AS SELECT $1", "p", false},
		{`PREPARE "p q" AS SELECT 1;`, "p q", true},
		{"PREPARE transaction AS SELECT 1", "transaction", false},
		{"DEALLOCATE p", "p", false},
		{"DEALLOCATE PREPARE p", "p", false},
		{"DEALLOCATE prepare", "prepare", false},
		{"DEALLOCATE prepare;", "prepare", false},
		{`DEALLOCATE "all"`, "all", true},
		{"EXECUTE nextval", "nextval", false},
		{`EXECUTE "role"`, "role", true},

		{"DEALLOCATE ALL", "", false},
		{"DEALLOCATE PREPARE ALL", "", false},
		{"PREPARE TRANSACTION 'x'", "", false},
		{"PREPARE TRANSACTION U&'x'", "", false},
		{"PREPARE TRANSACTION $$x$$", "", false},
		{"EXPLAIN EXECUTE p", "", false},
		{"CREATE TABLE t AS EXECUTE p", "", false},
		{"EXECUTE p; SELECT 1", "", false},
		{"SELECT 1; EXECUTE p", "", false},
		{"EXECUTE p; EXECUTE q", "", false},
		{"EXECUTE p('", "", false},
		{"EXECUTE", "", false},
		{"SELECT 1", "", false},
		{"", "", false},
	} {
		r := scan(c.text)
		got := ""
		if r.NameStart >= 0 {
			got = c.text[r.NameStart:r.NameEnd]
		}
		if got != c.name || r.NameQuoted != c.quoted {
			t.Errorf("%q: name %q, quoted %v; want %q, %v", c.text, got, r.NameQuoted, c.name, c.quoted)
		}
		if (c.name == "") != (r.NameStart == -1) || (r.NameStart == -1) != (r.NameEnd == -1) {
			t.Errorf("%q: offsets %d, %d", c.text, r.NameStart, r.NameEnd)
		}
		checkCuts(t, c.text, false)
	}
}

func TestCommands(t *testing.T) {
	for _, c := range []struct {
		text       string
		first      Command
		statements int
		control    bool
	}{
		{"", CommandNone, 0, false},
		{" ; -- c\n ;", CommandNone, 0, false},
		{"SELECT 1", CommandSelect, 1, false},
		{"(SELECT 1)", CommandSelect, 1, false},
		{"; SELECT 1;; UPDATE t SET a = 1;", CommandSelect, 2, false},
		{"WITH x AS (SELECT 1) TABLE x", CommandWith, 1, false},
		{"BEGIN", CommandBegin, 1, true},
		{"START TRANSACTION", CommandBegin, 1, true},
		{"END", CommandCommit, 1, true},
		{"COMMIT WORK", CommandCommit, 1, true},
		{"COMMIT PREPARED 'x'", CommandCommitPrepared, 1, true},
		{"ABORT", CommandRollback, 1, true},
		{"ROLLBACK", CommandRollback, 1, true},
		{"ROLLBACK AND CHAIN", CommandRollback, 1, true},
		{"ROLLBACK TO a", CommandRollbackTo, 1, true},
		{"ROLLBACK WORK TO SAVEPOINT a", CommandRollbackTo, 1, true},
		{"ROLLBACK TRANSACTION TO a", CommandRollbackTo, 1, true},
		{"ROLLBACK PREPARED 'x'", CommandRollbackPrepared, 1, true},
		{"PREPARE TRANSACTION 'x'", CommandPrepareTransaction, 1, true},
		{"PREPARE p AS SELECT 1", CommandPrepare, 1, false},
		{"SAVEPOINT a", CommandSavepoint, 1, true},
		{"RELEASE a", CommandRelease, 1, true},
		{"SELECT 1; ROLLBACK TO a", CommandSelect, 2, true},
		{"SELECT 1; PREPARE TRANSACTION 'x'", CommandSelect, 2, true},
		{"INSERT INTO t VALUES (1)", CommandInsert, 1, false},
		{"MERGE INTO t USING u ON a WHEN MATCHED THEN DELETE", CommandMerge, 1, false},
		{"COPY t FROM STDIN", CommandCopy, 1, false},
		{"ANALYSE t", CommandAnalyze, 1, false},
		{"EXPLAIN UPDATE t SET a = 1", CommandExplain, 1, false},
		{"DO $$ BEGIN COMMIT; END $$", CommandDo, 1, false},
		{"FOO", CommandOther, 1, false},
	} {
		r := scan(c.text)
		if r.First != c.first || r.Statements != c.statements || r.TransactionControl != c.control {
			t.Errorf("%q: first %v, %d statements, control %v; want %v, %d, %v",
				c.text, r.First, r.Statements, r.TransactionControl, c.first, c.statements, c.control)
		}
		checkCuts(t, c.text, false)
	}
	for c := range commandEnd {
		if c.String() == "" {
			t.Errorf("command %d has no name", c)
		}
	}
	if commandEnd.String() != "other" {
		t.Error("a command that does not exist has a name")
	}
}

func TestCleared(t *testing.T) {
	for _, c := range []struct {
		release, state Effects
		clears         bool
	}{
		{EffectDiscardAll, EffectSet, true},
		{EffectDiscardAll, EffectRole, true},
		{EffectDiscardAll, EffectTemp | EffectListen | EffectSequence | EffectHoldCursor | EffectAdvisoryLock, true},
		{EffectDiscardAll, EffectLoad, false},
		{EffectDiscardAll, EffectSessionFunction, false},
		{EffectDiscardAll, EffectUnknown, false},
		{EffectResetAll, EffectSet, true},
		{EffectResetAll, EffectRole, false},
		{EffectDeallocateAll, EffectPrepare | EffectExecute | EffectDeallocate, true},
		{EffectUnlistenAll, EffectListen, true},
		{EffectCloseAll, EffectHoldCursor, true},
		{EffectDiscardTemp, EffectTemp, true},
		{EffectDiscardSequences, EffectSequence, true},
		{EffectAdvisoryUnlockAll, EffectAdvisoryLock, true},
		{EffectUnlistenAll, EffectSet, false},
		{EffectSet, EffectSet, false},
	} {
		if got := c.state&^c.release.Cleared() == 0; got != c.clears {
			t.Errorf("%v clears %v: %v", c.release, c.state, got)
		}
	}
}

func TestEffectNames(t *testing.T) {
	if got := Effects(0).String(); got != "none" {
		t.Errorf("no effect is called %q", got)
	}
	all := effectEnd - 1
	names := strings.Split(all.String(), ",")
	if len(names) != len(effectNames) || 1<<len(effectNames) != effectEnd {
		t.Errorf("%d names for %b", len(effectNames), all)
	}
	if all.Session()|all.Releases() != all || all.Session()&all.Releases() != 0 {
		t.Errorf("session %b, releases %b", all.Session(), all.Releases())
	}
	if got := (EffectSet | EffectTemp | EffectAdvisoryUnlockAll).String(); got != "set,temp,advisory_unlock_all" {
		t.Errorf("names %q", got)
	}
}

func TestReuse(t *testing.T) {
	texts := []string{
		"SELECT 'open", "EXECUTE p", "SELECT /* open", "DO $$ open", "SELECT set_config('a'", "FOO", "SET x = 1", "SELECT \"open",
		"DEALLOCATE prepare", "CREATE TEMP TABLE t", "SELECT $a$", "SELECT 1", "CREATE FUNCTION f() BEGIN ATOMIC", "RESET ALL",
	}
	var s Scanner
	for _, first := range texts {
		for _, second := range texts {
			s.Reset(true)
			s.AssumeUnsafeEncoding()
			s.Write([]byte(first))
			s.Result()
			s.Reset(false)
			s.Write([]byte(second))
			if got, want := s.Result(), scan(second); got != want {
				t.Fatalf("%q after %q: %+v, want %+v", second, first, got, want)
			}
		}
	}
}

func TestAllocations(t *testing.T) {
	text := []byte(`SELECT set_config('a', E'b\'', true), "x"."y", $1, $a$ b $a$ FROM é; DO 'BEGIN PERFORM ''x''; END'; FOO`)
	var s Scanner
	n := testing.AllocsPerRun(100, func() {
		s.Reset(false)
		for i := 0; i < len(text); i += 3 {
			s.Write(text[i:min(i+3, len(text))])
		}
		s.Result()
	})
	if n != 0 {
		t.Errorf("%v allocations per text", n)
	}
}
