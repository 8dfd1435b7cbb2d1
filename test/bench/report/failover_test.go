// SPDX-License-Identifier: Apache-2.0

package report

import (
	"strings"
	"testing"
)

func TestSpliceFailover(t *testing.T) {
	r := Report{Machine: "a machine", Date: "2026-01-02T03:04:05Z", Figures: []Figure{
		{Name: "failover.pg.kill.gap", Unit: UnitMillis, Ours: 90, Peer: 2500, PeerName: "a driver", Ratio: 0.036, Rounds: 20},
	}}
	got, err := r.SpliceFailover("above\n" + failoverBegin + "old\n" + resultsEnd + "below\n")
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"above\n", "below\n", "a machine", "2026-01-02", "| `failover.pg.kill.gap` | ms | 90.0 | 2,500 | 0.036 | 20 | a driver |"} {
		if !strings.Contains(got, want) {
			t.Errorf("%q is missing in\n%s", want, got)
		}
	}
	if strings.Contains(got, "old") {
		t.Error("the old results are still there")
	}
	if again, err := r.SpliceFailover(got); err != nil || again != got {
		t.Errorf("a second time it is different: %v", err)
	}
	if _, err := r.SpliceFailover("no marks"); err == nil {
		t.Error("a document without marks is taken")
	}
}
