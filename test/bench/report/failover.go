// SPDX-License-Identifier: Apache-2.0

package report

import (
	"fmt"
	"strings"
)

// failoverBegin is resultsBegin of the suite failover.
const failoverBegin = "<!-- results: written by go run ./test/bench -suite failover -doc -->\n"

// SpliceFailover is Splice for the results of the suite failover, whose figures stand
// beside more than one peer.
func (r Report) SpliceFailover(doc string) (string, error) {
	return splice(doc, failoverBegin, r.failoverMarkdown())
}

func (r Report) failoverMarkdown() string {
	var b strings.Builder
	fmt.Fprintf(&b, "\nMeasured on %s (%s; %.2g %% of it taken by other programs), with %s.\n\n",
		r.day(), r.Machine, r.OthersPercent, r.programs())
	b.WriteString("| Figure | Unit | rdsproxy | Peer | Ratio | Failovers | The peer is |\n|---|---|---:|---:|---:|---:|---|\n")
	for _, f := range r.Figures {
		fmt.Fprintf(&b, "| `%s` | %s | %s | %s | %.3f | %d | %s |\n", f.Name, f.Unit, number(f.Ours), number(f.Peer), f.Ratio, f.Rounds, f.PeerName)
	}
	b.WriteString("\n")
	return b.String()
}
