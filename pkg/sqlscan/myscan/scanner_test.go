// SPDX-License-Identifier: Apache-2.0

package myscan

import (
	"strings"
	"testing"
)

func TestCalls(t *testing.T) {
	for _, c := range []struct {
		text   string
		want   string // the calls, those of the first statement marked with *
		cannot bool
	}{
		{"SELECT ROW_COUNT()", "ROW_COUNT()*", false},
		{"SELECT `connection_id` ( /**/ ) , found_rows() x", "`connection_id` ( /**/ )*|found_rows()*", false},
		{"SELECT f(1, CONNECTION_ID()), CONNECTION_ID() + 1", "CONNECTION_ID()*|CONNECTION_ID()*", false},
		{"SELECT a FROM t WHERE id = @@session.pseudo_thread_id", "@@session.pseudo_thread_id*", false},
		{"SET @a = CONNECTION_ID()", "CONNECTION_ID()*", false},
		{"SET pseudo_thread_id = 5", "", false},
		{"SELECT * FROM (SELECT CONNECTION_ID()) t", "CONNECTION_ID()*", false},
		{"SELECT a FROM t ORDER BY ROW_COUNT()", "ROW_COUNT()*", false},
		{"SELECT ROW_COUNT(); SELECT FOUND_ROWS()", "ROW_COUNT()*|FOUND_ROWS()", false},
		{"CREATE TABLE t (a int DEFAULT (CONNECTION_ID()))", "", false},
		{"CREATE TABLE t SELECT ROW_COUNT()", "", true},
		{"SELECT 1; CREATE TABLE t SELECT ROW_COUNT()", "", false},
		{"SELECT x.found_rows()", "", true},
		{"SELECT x.connection_id()", "", false},
		{"SELECT ROW_COUNT(1)", "", true},
		{"SELECT /*!50000 ROW_COUNT() */", "", true},
		{"SELECT ROW_COUNT(), 'x", "", true},
		{"SELECT 'x'; SELECT ROW_COUNT(), 'x", "", false},
		{"SELECT 'CONNECTION_ID()', `ROW_COUNT()` -- FOUND_ROWS()", "", false},
		{"CREATE VIEW v AS SELECT ROW_COUNT()", "", false},
		{"INSERT INTO connection_id() VALUES (), (ROW_COUNT())", "ROW_COUNT()*", false},
		{
			"SELECT " + strings.Repeat("1+ROW_COUNT(),", 9) + "1",
			strings.TrimSuffix(strings.Repeat("ROW_COUNT()*|", 8), "|"), true,
		},
	} {
		r := scan(c.text, 0)
		var got []string
		for _, call := range r.Calls[:r.NumCalls] {
			s := c.text[call.Start:call.End]
			if call.First {
				s += "*"
			}
			got = append(got, s)
		}
		if s := strings.Join(got, "|"); s != c.want || r.CannotReplace != c.cannot {
			t.Errorf("%q: calls %q, cannot %v; want %q, %v", c.text, s, r.CannotReplace, c.want, c.cannot)
		}
		checkCuts(t, c.text, 0)
	}
}

func TestExact(t *testing.T) {
	for _, c := range []struct {
		text         string
		is           bool
		alias, limit string
	}{
		{"SELECT ROW_COUNT()", true, "", ""},
		{" /* c */ select connection_id ( ) ; -- x", true, "", ""},
		{"SELECT FOUND_ROWS() AS n", true, "n", ""},
		{"SELECT FOUND_ROWS() `a``b` LIMIT 1;", true, "`a``b`", "1"},
		{"SELECT FOUND_ROWS() 'it''s'", true, "'it''s'", ""},
		{"SELECT FOUND_ROWS() AS row_count", true, "row_count", ""},
		{"SELECT @@pseudo_thread_id AS id", true, "id", ""},
		{"SELECT CONNECTION_ID() LIMIT 0", true, "", "0"},
		{"SELECT CONNECTION_ID() FROM t", false, "", ""},
		{"SELECT CONNECTION_ID(), 1", false, "", ""},
		{"SELECT DISTINCT CONNECTION_ID()", false, "", ""},
		{"SELECT CONNECTION_ID(); SELECT 1", false, "", ""},
		{"(SELECT CONNECTION_ID())", false, "", ""},
		{"DO CONNECTION_ID()", false, "", ""},
		{"SELECT LAST_INSERT_ID()", false, "", ""},
		{"SELECT CONNECTION_ID() /*!99999 + 1 */", false, "", ""},
		{"SELECT CONNECTION_ID() 'a' 'b'", false, "", ""},
	} {
		r := scan(c.text, 0)
		e := r.Exact
		alias, limit := c.text[e.AliasStart:e.AliasEnd], c.text[e.LimitStart:e.LimitEnd]
		if e.Is != c.is || alias != c.alias || limit != c.limit {
			t.Errorf("%q: %+v, alias %q, limit %q", c.text, e, alias, limit)
		}
		checkCuts(t, c.text, 0)
	}
}

func TestKill(t *testing.T) {
	for _, c := range []struct {
		text string
		form KillForm
		soft bool
		id   string
	}{
		{"KILL 5", KillConnection, false, "5"},
		{"/* c */ kill connection 12345 ;", KillConnection, false, "12345"},
		{"KILL QUERY 7", KillQuery, false, "7"},
		{"KILL SOFT QUERY 7", KillQuery, true, "7"},
		{"KILL HARD 7", KillConnection, false, "7"},
		{"SELECT 1; KILL 7", KillConnection, false, "7"},
		{"KILL QUERY ID 7", KillOther, false, ""},
		{"KILL USER 'x'", KillOther, false, ""},
		{"KILL CONNECTION_ID()", KillOther, false, ""},
		{"KILL @x", KillOther, false, ""},
		{"KILL 5 + 1", KillOther, false, ""},
		{"KILL 0x5", KillOther, false, ""},
		{"KILL 5.0", KillOther, false, ""},
		{"KILL", KillOther, false, ""},
		{"KILL 5; KILL 6", KillOther, false, ""},
		{"KILL /*!50000 5 */", KillOther, false, ""},
		{"KILL /*!50000 QUERY */ 5", KillOther, false, ""},
		{"CREATE PROCEDURE p() KILL 5", KillNone, false, ""},
		{"SELECT kill", KillNone, false, ""},
	} {
		k := scan(c.text, 0).Kill
		if k.Form != c.form || k.Soft != c.soft || c.text[k.Start:k.End] != c.id {
			t.Errorf("%q: %+v", c.text, k)
		}
		checkCuts(t, c.text, 0)
	}
}

func TestCommands(t *testing.T) {
	for _, c := range []struct {
		text              string
		first             Command
		statements        int
		control, readOnly bool
	}{
		{"", CommandNone, 0, false, false},
		{"; /* c */ ;", CommandNone, 0, false, false},
		{"SELECT 1", CommandSelect, 1, false, true},
		{"(SELECT 1);", CommandSelect, 1, false, true},
		{"SELECT @x; SHOW TABLES", CommandSelect, 2, false, true},
		{"SELECT 1 FOR UPDATE", CommandSelect, 1, false, false},
		{"SELECT 1 FOR SHARE", CommandSelect, 1, false, false},
		{"SELECT 1 LOCK IN SHARE MODE", CommandSelect, 1, false, false},
		{"SELECT 1 INTO OUTFILE 'x'", CommandSelect, 1, false, false},
		{"SELECT GET_LOCK('a', 1)", CommandSelect, 1, false, false},
		{"WITH x AS (SELECT 1) DELETE FROM t", CommandWith, 1, false, false},
		{"DESC t", CommandDescribe, 1, false, true},
		{"EXPLAIN UPDATE t SET a = 1", CommandExplain, 1, false, false},
		{"BEGIN", CommandBegin, 1, true, false},
		{"START TRANSACTION READ ONLY", CommandBegin, 1, true, false},
		{"START REPLICA", CommandAdmin, 1, false, false},
		{"COMMIT", CommandCommit, 1, true, false},
		{"ROLLBACK WORK TO SAVEPOINT a", CommandRollbackTo, 1, true, false},
		{"SELECT 1; SAVEPOINT a", CommandSelect, 2, true, false},
		{"XA COMMIT 'x'", CommandXA, 1, true, false},
		{"INSERT INTO t VALUES (1)", CommandInsert, 1, false, false},
		{"FOO", CommandOther, 1, false, false},
	} {
		r := scan(c.text, 0)
		if r.First != c.first || r.Statements != c.statements || r.TransactionControl != c.control || r.ReadOnly != c.readOnly {
			t.Errorf("%q: first %v, %d statements, control %v, read only %v",
				c.text, r.First, r.Statements, r.TransactionControl, r.ReadOnly)
		}
		checkCuts(t, c.text, 0)
	}
	r := scan("SET STATEMENT max_statement_time = 1 FOR SELECT 1", ModeMariaDB)
	if r.First != CommandSelect || r.Statements != 1 {
		t.Errorf("SET STATEMENT: %v, %d statements", r.First, r.Statements)
	}
	for c := range commandEnd + 1 {
		if c.String() == "" {
			t.Errorf("command %d has no name", c)
		}
	}
}

func TestEffectNames(t *testing.T) {
	if Effects(0).String() != "none" || 1<<len(effectNames) != effectEnd {
		t.Error("names do not fit the effects")
	}
	all := effectEnd - 1
	if all.Session()|all.Releases() != all || all.Session()&all.Releases() != 0 {
		t.Errorf("session %b, releases %b", all.Session(), all.Releases())
	}
	for _, c := range []struct {
		release, clears Effects
	}{
		{ReleaseLocks, EffectLock | EffectUnlock},
		{ReleaseTables, EffectTableLock | EffectGlobalLock},
		{ReleaseTableLocks, EffectTableLock},
		{ReleaseInstance, EffectInstanceLock},
		{EffectSet, 0},
	} {
		if got := c.release.Cleared(); got != c.clears {
			t.Errorf("%v clears %v", c.release, got)
		}
	}
}

func TestWords(t *testing.T) {
	if len(words) > 255 {
		t.Fatal("an index of a word does not fit")
	}
	for _, w := range words {
		if len(w.text) > longestWord {
			t.Errorf("%q is longer than the longest word", w.text)
		}
		for _, text := range []string{w.text, strings.ToUpper(w.text), w.text + " as an eight byte load"} {
			if got := lookup([]byte(text), 0, len(w.text)); got != w.tok {
				t.Errorf("%q: token %d, want %d", text, got, w.tok)
			}
		}
	}
}

func TestCharsets(t *testing.T) {
	for name, want := range map[string]Mode{
		"utf8mb4": 0, "latin1": ModeOtherCharset, "euckr": ModeOtherCharset,
		"gbk": ModeUnsafeCharset, "sjis": ModeUnsafeCharset, "swe7": ModeUnsafeCharset, "": ModeUnsafeCharset,
	} {
		if got := CharsetMode(name); got != want {
			t.Errorf("%q: mode %b, want %b", name, got, want)
		}
	}
}

func TestReuse(t *testing.T) {
	texts := []string{
		"SELECT 'open", "SELECT /* open", "SELECT /*! open", "CREATE PROCEDURE p() BEGIN", "SET @x", "FOO", "KILL SOFT",
		"SELECT CONNECTION_ID(), @@session.", "SELECT 1", "SET NAMES latin1", "SELECT ROW_COUNT() AS x LIMIT 1",
	}
	var s Scanner
	for _, first := range texts {
		for _, second := range texts {
			s.Reset(ModeANSIQuotes | ModeMariaDB)
			s.Write([]byte(first))
			s.Result()
			s.Reset(0)
			s.Write([]byte(second))
			if got, want := s.Result(), scan(second, 0); got != want {
				t.Fatalf("%q after %q: %+v, want %+v", second, first, got, want)
			}
		}
	}
}

func TestAllocations(t *testing.T) {
	text := []byte("SELECT GET_LOCK('a\\'', 1), `x`.y, @a := @@b, CONNECTION_ID() FROM é /*!50000 x */ -- c")
	var s Scanner
	n := testing.AllocsPerRun(100, func() {
		s.Reset(0)
		for i := 0; i < len(text); i += 3 {
			s.Write(text[i:min(i+3, len(text))])
		}
		s.Result()
	})
	if n != 0 {
		t.Errorf("%v allocations per text", n)
	}
}
