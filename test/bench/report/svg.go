// SPDX-License-Identifier: Apache-2.0

package report

import (
	"encoding/xml"
	"fmt"
	"slices"
	"strings"
)

// Chart says which figures one bar chart shows: those whose name begins with Prefix and ends in one of Suffixes, in the order of the report.
type Chart struct {
	File     string // file name, without a folder
	Title    string
	Prefix   string
	Suffixes []string
}

// sections are the kinds of databases, each with a peer of its own: what the names of their figures begin with, what they are called, and what
// stands in the names of their charts' files.
var sections = []struct{ prefix, title, file string }{
	{"pg.", "PostgreSQL", ""},
	{"mysql.", "MySQL", "mysql-"},
}

// Charts are the pictures of docs/performance.md. Each shows one unit, beside one peer.
func Charts() []Chart {
	var out []Chart
	for _, s := range sections {
		out = append(out,
			Chart{"performance-" + s.file + "cpu.svg", s.title + ": CPU time of the proxy per query (shorter is better)", s.prefix, []string{".cpu_per_query"}},
			Chart{"performance-" + s.file + "throughput.svg", s.title + ": queries per second (longer is better)", s.prefix, []string{".throughput"}},
			Chart{"performance-" + s.file + "memory.svg", s.title + ": memory per idle client (shorter is better)", s.prefix, []string{".memory"}},
		)
	}
	return out
}

// Measures of the drawing, in pixels.
const (
	chartWidth  = 860
	labelWidth  = 250
	valueWidth  = 120
	barHeight   = 13
	rowHeight   = 2*barHeight + 12
	headHeight  = 58
	oursColour  = "#1f6feb"
	peerColour  = "#8c959f"
	inkColour   = "#1f2328"
	paperColour = "#ffffff"
)

// SVG draws ours and the peer's bar for each figure of the chart. A chart without figures is the empty string.
func (r Report) SVG(c Chart) string {
	figures := r.chosen(c)
	if len(figures) == 0 {
		return ""
	}
	top := 0.0
	for _, f := range figures {
		top = max(top, f.Ours, f.Peer)
	}
	height := headHeight + len(figures)*rowHeight + 10
	var b strings.Builder
	fmt.Fprintf(&b, `<svg xmlns="http://www.w3.org/2000/svg" width="%d" height="%d" viewBox="0 0 %[1]d %[2]d" font-family="sans-serif" font-size="12" fill="%s">`+"\n",
		chartWidth, height, inkColour)
	fmt.Fprintf(&b, `<rect width="100%%" height="100%%" fill="%s"/>`+"\n", paperColour)
	fmt.Fprintf(&b, `<text x="12" y="22" font-size="15" font-weight="bold">%s</text>`+"\n", escape(c.Title))
	legend(&b, labelWidth, oursColour, "rdsproxy")
	legend(&b, labelWidth+110, peerColour, figures[0].PeerName)
	for i, f := range figures {
		y := headHeight + i*rowHeight
		fmt.Fprintf(&b, `<text x="%d" y="%d" text-anchor="end">%s</text>`+"\n", labelWidth-10, y+barHeight+5, escape(shortName(f.Name, c.Suffixes)))
		bar(&b, y, oursColour, f.Ours, top, f.Unit)
		bar(&b, y+barHeight+1, peerColour, f.Peer, top, f.Unit)
	}
	b.WriteString("</svg>\n")
	return b.String()
}

func (r Report) chosen(c Chart) []Figure {
	var out []Figure
	for _, f := range r.Figures {
		ends := func(suffix string) bool { return strings.HasSuffix(f.Name, suffix) }
		if strings.HasPrefix(f.Name, c.Prefix) && slices.ContainsFunc(c.Suffixes, ends) {
			out = append(out, f)
		}
	}
	return out
}

// shortName takes the first of suffixes that fits off name.
func shortName(name string, suffixes []string) string {
	for _, s := range suffixes {
		if head, ok := strings.CutSuffix(name, s); ok {
			return head
		}
	}
	return name
}

func legend(b *strings.Builder, x int, colour, text string) {
	fmt.Fprintf(b, `<rect x="%d" y="34" width="12" height="12" fill="%s"/><text x="%d" y="44">%s</text>`+"\n", x, colour, x+18, escape(text))
}

func bar(b *strings.Builder, y int, colour string, v, top float64, unit string) {
	width := 0.0
	if top > 0 && v > 0 {
		width = v / top * (chartWidth - labelWidth - valueWidth)
	}
	fmt.Fprintf(b, `<rect x="%d" y="%d" width="%.1f" height="%d" fill="%s"/><text x="%.1f" y="%d" font-size="11">%s %s</text>`+"\n",
		labelWidth, y, width, barHeight, colour, labelWidth+width+6, y+barHeight-2, number(v), escape(unit))
}

func escape(s string) string {
	var b strings.Builder
	_ = xml.EscapeText(&b, []byte(s)) // a strings.Builder takes everything
	return b.String()
}
