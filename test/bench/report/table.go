// SPDX-License-Identifier: Apache-2.0

package report

import (
	"fmt"
	"io"
	"math"
	"strconv"
	"strings"
)

// Table prints the figures for a terminal: both values, the ratio, and the smallest and largest ratio of a single round.
func (r Report) Table(w io.Writer) error {
	width := len("figure")
	for _, f := range r.Figures {
		width = max(width, len(f.Name))
	}
	var b strings.Builder
	fmt.Fprintf(&b, "%-*s %8s %10s %10s %6s  %-14s %6s  %s\n", width, "figure", "unit", "ours", "peer", "ratio", "spread", "rounds", "peer name")
	for _, f := range r.Figures {
		fmt.Fprintf(&b, "%-*s %8s %10s %10s %6.2f  %-14s %6d  %s\n",
			width, f.Name, f.Unit, number(f.Ours), number(f.Peer), f.Ratio, f.spread(), f.Rounds, f.PeerName)
	}
	_, err := io.WriteString(w, b.String())
	return err
}

// Markdown prints the same table for a document.
func (r Report) Markdown(w io.Writer) error {
	var b strings.Builder
	b.WriteString("| Figure | Unit | rdsproxy | Peer | Ratio | Spread | Rounds |\n|---|---|---:|---:|---:|---|---:|\n")
	for _, f := range r.Figures {
		fmt.Fprintf(&b, "| `%s` | %s | %s | %s | %.2f | %s | %d |\n",
			f.Name, f.Unit, number(f.Ours), number(f.Peer), f.Ratio, f.spread(), f.Rounds)
	}
	_, err := io.WriteString(w, b.String())
	return err
}

func (f Figure) spread() string { return fmt.Sprintf("%.2f to %.2f", f.RatioMin, f.RatioMax) }

// number prints v with about three significant digits and thousands marked off.
func number(v float64) string {
	switch a := math.Abs(v); {
	case a >= 1000:
		return thousands(int64(math.Round(v)))
	case a >= 100:
		return strconv.FormatFloat(v, 'f', 0, 64)
	case a >= 10:
		return strconv.FormatFloat(v, 'f', 1, 64)
	default:
		return strconv.FormatFloat(v, 'f', 2, 64)
	}
}

func thousands(v int64) string {
	s := strconv.FormatInt(v, 10)
	sign := ""
	if s[0] == '-' {
		sign, s = "-", s[1:]
	}
	for i := len(s) - 3; i > 0; i -= 3 {
		s = s[:i] + "," + s[i:]
	}
	return sign + s
}
