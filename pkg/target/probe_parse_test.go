// SPDX-License-Identifier: Apache-2.0

package target

import (
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/rdsproxy/rdsproxy/pkg/failover"
	mywire "github.com/rdsproxy/rdsproxy/pkg/wire/mysql"
)

func TestParseRole(t *testing.T) {
	writer := []string{"f", "f", "7501", "1700000000.25", "0000001F", "4096", ""}
	standby := []string{"t", "t", "7501", "1700000000.25", "31", "4000", "1.5"}
	at := time.UnixMicro(1700000000250000)
	tests := []struct {
		rows [][]string
		want failover.Answer
	}{
		{[][]string{writer}, failover.Answer{
			Cluster: "7501", Server: "7501/1700000000.25", Started: at, Timeline: 31, Position: 4096, Lag: failover.UnknownLag,
		}},
		{[][]string{standby}, failover.Answer{
			ReadOnly: true, Replicates: true, Cluster: "7501", Server: "7501/1700000000.25", Started: at, Timeline: 31, Position: 4000,
			Lag: 1500 * time.Millisecond,
		}},
	}
	for _, tt := range tests {
		got, err := parseRole(tt.rows)
		if d := cmp.Diff(tt.want, got, cmpopts.EquateComparable(got.Remote)); d != "" || err != nil {
			t.Errorf("%v\n%s", err, d)
		}
	}
	bad := [][][]string{nil, {writer, writer}, {writer[:6]}, {{}}}
	for i, value := range []string{"x", "", "?", "-1", "G", "-5"} {
		row := append([]string(nil), writer...)
		row[min(i, 5)] = value
		if i != 2 { // a cluster may be called anything
			bad = append(bad, [][]string{row})
		}
	}
	for _, rows := range bad {
		if a, err := parseRole(rows); err == nil {
			t.Errorf("%q: %+v", rows, a)
		}
	}
}

func TestParseLag(t *testing.T) {
	for text, want := range map[string]time.Duration{
		"": failover.UnknownLag, "NULL": failover.UnknownLag, "NaN": failover.UnknownLag, "0": 0, "-3": 0,
		"1.5": 1500 * time.Millisecond, "1e300": maxLag, "Infinity": maxLag,
	} {
		if got := parseLag(text, time.Second); got != want {
			t.Errorf("%q: %v, want %v", text, got, want)
		}
	}
}

func TestParsePeers(t *testing.T) {
	got := parsePeers([][]string{{"a", "t", "0"}, {"b", "f", "20.5"}, {"c", "1", ""}, {"", "t", "0"}, {"d"}})
	want := []failover.Peer{
		{ID: "a", Writer: true},
		{ID: "b", Lag: 20500 * time.Microsecond},
		{ID: "c", Writer: true, Lag: failover.UnknownLag},
	}
	if d := cmp.Diff(want, got); d != "" {
		t.Error(d)
	}
}

func TestParseMySQLRole(t *testing.T) {
	tests := []struct {
		values map[string]string
		want   failover.Answer
		fails  bool
	}{
		{nil, failover.Answer{}, true},
		{map[string]string{"super_read_only": "ON"}, failover.Answer{}, true},
		{map[string]string{"read_only": "OFF", "server_uuid": "u", "server_id": "1"}, failover.Answer{Server: "u/1"}, false},
		{map[string]string{"read_only": "OFF", "server_id": "1"}, failover.Answer{}, false},
		{map[string]string{"read_only": "OFF", "super_read_only": "ON"}, failover.Answer{ReadOnly: true}, false},
		{map[string]string{"read_only": "0", "innodb_read_only": "1"}, failover.Answer{ReadOnly: true}, false},
		{map[string]string{"read_only": "NO_LOCK_NO_ADMIN"}, failover.Answer{ReadOnly: true}, false},
		{map[string]string{"read_only": "OFF", "server_uuid": "u", "aurora_server_id": "i-1"}, failover.Answer{Server: "i-1"}, false},
		{map[string]string{"read_only": "OFF", "gtid_current_pos": "0-1-5"}, failover.Answer{GTID: "0-1-5"}, false},
	}
	for _, tt := range tests {
		got, err := parseMySQLRole(tt.values)
		if !tt.fails {
			tt.want.Lag = failover.UnknownLag
		}
		if d := cmp.Diff(tt.want, got, cmpopts.EquateComparable(got.Remote)); d != "" || (err != nil) != tt.fails {
			t.Errorf("%v: %v\n%s", tt.values, err, d)
		}
	}
}

func TestParseReplication(t *testing.T) {
	row := func(io, sql, lag string) map[string]string {
		return map[string]string{"replica_io_running": io, "replica_sql_running": sql, "seconds_behind_source": lag, "last_sql_error": "duplicate"}
	}
	old := map[string]string{"slave_io_running": "Yes", "slave_sql_running": "Yes", "seconds_behind_master": "3"}
	tests := []struct {
		name       string
		rows       []map[string]string
		writes     bool
		replicates bool
		lag        time.Duration
		broken     bool
	}{
		{"no replica", nil, false, false, failover.UnknownLag, false},
		{"well", []map[string]string{row("Yes", "Yes", "2")}, false, true, 2 * time.Second, false},
		{"older words", []map[string]string{old}, false, true, 3 * time.Second, false},
		{"the source is gone", []map[string]string{row("Connecting", "Yes", "")}, false, true, failover.UnknownLag, false},
		{"a statement has failed", []map[string]string{row("Yes", "No", "")}, false, true, failover.UnknownLag, true},
		{"stopped", []map[string]string{row("No", "No", "")}, false, false, failover.UnknownLag, true},
		{"stopped, at a writer", []map[string]string{row("No", "No", "")}, true, false, failover.UnknownLag, false},
		{"two sources", []map[string]string{row("Yes", "Yes", "2"), row("Yes", "Yes", "7")}, false, true, 7 * time.Second, false},
	}
	for _, tt := range tests {
		a := failover.Answer{ReadOnly: !tt.writes, Lag: failover.UnknownLag}
		parseReplication(tt.rows, &a)
		if a.Replicates != tt.replicates || a.Lag != tt.lag || (a.Broken != "") != tt.broken {
			t.Errorf("%s: %+v", tt.name, a)
		}
	}
}

func TestMySQLKinds(t *testing.T) {
	said := func(code uint16) error { return fmt.Errorf("x: %w", &mysqlReply{mywire.NewError(code, "said")}) }
	for _, tt := range []struct {
		err             error
		login, question failover.Kind
	}{
		{said(1040), failover.Full, failover.Unanswered},
		{said(1053), failover.Down, failover.Down},
		{said(1045), failover.Refused, failover.Unanswered},
		{said(1142), failover.Refused, failover.Unanswered},
		{errors.New("reset"), failover.Unreachable, failover.Unreachable},
		{errStrangeRole, failover.Unreachable, failover.Unanswered},
	} {
		if got := mysqlLoginKind(tt.err); got != tt.login {
			t.Errorf("%v at the login: %d", tt.err, got)
		}
		if got := mysqlQuestionKind(tt.err); got != tt.question {
			t.Errorf("%v at a question: %d", tt.err, got)
		}
	}
}
