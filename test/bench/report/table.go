// SPDX-License-Identifier: Apache-2.0

package report

import (
	"errors"
	"fmt"
	"io"
	"maps"
	"math"
	"slices"
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

// The lines of a document between which the results stand.
const (
	resultsBegin = "<!-- results: written by go run ./test/bench -doc -->\n"
	resultsEnd   = "<!-- end of results -->\n"
)

// Splice gives the document doc with the results in it, in place of those that were between the two marks.
func (r Report) Splice(doc string) (string, error) { return splice(doc, resultsBegin, r.markdown()) }

func splice(doc, begin, results string) (string, error) {
	head, rest, begun := strings.Cut(doc, begin)
	_, foot, ended := strings.Cut(rest, resultsEnd)
	if !begun || !ended {
		return "", errors.New("the document has no marks to put results between")
	}
	return head + begin + results + resultsEnd + foot, nil
}

// markdown is the results for a document, under a line that says where and when they were measured: for each kind of database the charts and a
// table.
func (r Report) markdown() string {
	var b strings.Builder
	fmt.Fprintf(&b, "\nMeasured on %s (%s; %.2g %% of it taken by other programs), with %s.\n\n",
		r.day(), r.Machine, r.OthersPercent, r.programs())
	for _, s := range sections {
		figures := r.chosen(Chart{Prefix: s.prefix, Suffixes: []string{""}})
		if len(figures) == 0 {
			continue
		}
		fmt.Fprintf(&b, "### %s, beside %s\n\n", s.title, figures[0].PeerName)
		for _, c := range Charts() {
			if c.Prefix == s.prefix && len(r.chosen(c)) > 0 {
				fmt.Fprintf(&b, "![%s](%s)\n", c.Title, c.File)
			}
		}
		b.WriteString("\n| Figure | Unit | rdsproxy | Peer | Ratio | Spread | Rounds |\n|---|---|---:|---:|---:|---|---:|\n")
		for _, f := range figures {
			fmt.Fprintf(&b, "| `%s` | %s | %s | %s | %.2f | %s | %d |\n",
				f.Name, f.Unit, number(f.Ours), number(f.Peer), f.Ratio, f.spread(), f.Rounds)
		}
		b.WriteString("\n")
	}
	return b.String()
}

func (r Report) day() string {
	day, _, _ := strings.Cut(r.Date, "T")
	return day
}

func (r Report) programs() string {
	var list []string
	for _, name := range slices.Sorted(maps.Keys(r.Versions)) {
		list = append(list, name+" "+r.Versions[name])
	}
	return strings.Join(list, ", ")
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
