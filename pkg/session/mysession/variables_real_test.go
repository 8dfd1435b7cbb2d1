// SPDX-License-Identifier: Apache-2.0

package mysession

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"

	"github.com/rdsproxy/rdsproxy/test/myserver"
)

// legal are values for each tracked variable, as a client would write them. At least
// one of them differs from what any of the servers begins with.
var legal = map[string][]string{
	"auto_increment_increment": {"7"}, "auto_increment_offset": {"3"}, "autocommit": {"0", "1"}, "big_tables": {"1"},
	"character_set_client": {"latin1", "'utf8mb3'"}, "character_set_connection": {"latin1"},
	"character_set_filesystem": {"utf8mb4"}, "character_set_results": {"NULL", "latin1"},
	"character_set_server": {"latin2"}, "collation_server": {"latin2_bin"}, "collation_database": {"latin2_bin"},
	"check_constraint_checks": {"0"}, "collation_connection": {"latin1_bin", "utf8mb4_unicode_ci"},
	"cte_max_recursion_depth": {"17"}, "default_storage_engine": {"MEMORY"}, "div_precision_increment": {"9"},
	"foreign_key_checks": {"0"}, "group_concat_max_len": {"100000"}, "innodb_lock_wait_timeout": {"11"},
	"interactive_timeout": {"1234"}, "join_buffer_size": {"1048576"}, "lc_messages": {"de_DE"},
	"lc_time_names": {"de_DE"}, "lock_wait_timeout": {"12"}, "max_execution_time": {"60000"},
	"max_heap_table_size": {"33554432"}, "max_length_for_sort_data": {"2048"}, "max_sort_length": {"2048"},
	"max_statement_time": {"60", "1.5"}, "net_read_timeout": {"44"}, "net_write_timeout": {"77"},
	"optimizer_switch": {"'index_merge=off'", "'mrr=on,index_merge_union=off'"}, "profiling": {"1"},
	"query_cache_type": {"OFF"}, "skip_replication": {"1"}, "sort_buffer_size": {"1048576"},
	"sql_auto_is_null": {"1"}, "sql_big_selects": {"0"}, "sql_buffer_result": {"1"}, "sql_log_off": {"1"},
	"session_track_gtids": {"OWN_GTID"},
	"sql_mode":            {"''", "'ANSI'", "'ANSI_QUOTES,NO_BACKSLASH_ESCAPES'", "'TRADITIONAL'"}, "sql_notes": {"0"},
	"sql_quote_show_create": {"0"}, "sql_safe_updates": {"1"}, "sql_select_limit": {"5000", "DEFAULT"},
	"sql_warnings": {"1"}, "time_zone": {"'+03:00'", "'-11:30'"}, "tmp_table_size": {"33554432"},
	"transaction_isolation": {"'READ-COMMITTED'", "'SERIALIZABLE'"}, "transaction_read_only": {"1"},
	"tx_isolation": {"'READ-UNCOMMITTED'"}, "tx_read_only": {"1"}, "unique_checks": {"0"}, "wait_timeout": {"4321"},
}

// ofItself are variables that differ from one question to the next.
var ofItself = []string{
	"error_count", "identity", "in_transaction", "insert_id", "last_insert_id", "pseudo_thread_id", "rand_seed1",
	"rand_seed2", "statement_id", "timestamp", "warning_count",
}

func (w *realWorld) variables(c *fakeClient) map[string]string {
	w.tb.Helper()
	vars := make(map[string]string)
	for row := range strings.SplitSeq(rows(w.ask(c, `Query "show session variables"`)), ";") {
		name, value, ok := strings.Cut(row, " ")
		if name = strings.ToLower(strings.Trim(name, `"`)); ok && !slices.Contains(ofItself, name) &&
			!strings.HasPrefix(name, "gtid") && !strings.Contains(name, "_executed") {
			vars[name] = value
		}
	}
	if len(vars) < 100 {
		w.tb.Fatalf("only %d variables", len(vars))
	}
	return vars
}

func differences(got, want map[string]string) (out []string) {
	for _, name := range slices.Sorted(maps.Keys(want)) {
		if got[name] != want[name] {
			out = append(out, fmt.Sprintf("%s is %s, want %s", name, got[name], want[name]))
		}
	}
	return out
}

func TestLegalValuesAreComplete(t *testing.T) {
	for _, name := range trackedVariables {
		if len(legal[name]) == 0 {
			t.Errorf("no values for %s", name)
		}
	}
	if len(legal) != len(trackedVariables) {
		t.Errorf("%d variables have values, %d are tracked", len(legal), len(trackedVariables))
	}
}

// untold tells of a variable whose change a server reports as a change of state only,
// without the name, so that it pins: MariaDB 10.11 does this with those of InnoDB.
func untold(flavor myserver.Flavor, name string) bool {
	return flavor == myserver.MariaDB && name == "innodb_lock_wait_timeout" || name == "profiling" // whose texts nobody else may see
}

// TestTrackedVariablesAreReplayed changes each tracked variable in a session of its
// own. Then others take the connection, the one before it and one that has changed
// nothing, and it returns: each must find all variables as it left them.
func TestTrackedVariablesAreReplayed(t *testing.T) {
	for _, flavor := range myserver.Flavors() {
		t.Run(string(flavor), func(t *testing.T) {
			w := newRealWorld(t, flavor)
			other := w.client("other", "")
			base := w.variables(other)
			n := 0
			before, wantBefore := other, base
			for _, name := range trackedVariables {
				if _, ok := base[name]; !ok {
					continue
				}
				for _, value := range legal[name] {
					n++
					c := w.client(fmt.Sprintf("v%d", n), "")
					sql := fmt.Sprintf("set session %s=%s", name, value)
					if r := w.ask(c, fmt.Sprintf("Query %q", sql)); strings.Contains(r, "Err ") {
						t.Errorf("%s: %s", sql, r)
						continue
					}
					w.timeUp(c)
					want := w.variables(c)
					if pinned := c.conn != nil; pinned {
						if !untold(flavor, name) {
							t.Errorf("%s: holds the connection, pins %s", sql, c.session.Pins())
						}
						w.ask(c, "ResetConnection")
						continue
					} else if untold(flavor, name) {
						t.Errorf("%s: does not hold the connection", sql)
					}
					if d := differences(w.variables(before), wantBefore); d != nil {
						t.Errorf("%s: the client before finds\n%s", sql, strings.Join(d, "\n"))
					}
					if d := differences(w.variables(c), want); d != nil {
						t.Errorf("%s: replayed behind the client before\n%s", sql, strings.Join(d, "\n"))
					}
					before, wantBefore = c, want
					if d := differences(w.variables(other), base); d != nil {
						t.Errorf("%s: another client finds\n%s", sql, strings.Join(d, "\n"))
					}
					if d := differences(w.variables(c), want); d != nil {
						t.Errorf("%s: replayed\n%s", sql, strings.Join(d, "\n"))
					}
				}
			}
			t.Logf("%d assignments", n)
		})
	}
}
