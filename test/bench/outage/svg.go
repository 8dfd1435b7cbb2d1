// SPDX-License-Identifier: Apache-2.0

//go:build linux

package outage

import (
	"encoding/xml"
	"fmt"
	"strings"
	"time"
)

// Measures of the drawing, in pixels.
const (
	plotLeft, plotTop     = 60, 50
	plotWidth, plotHeight = 780, 200
	paperWidth            = plotLeft + plotWidth + 20
	paperHeight           = plotTop + plotHeight + 60
)

// colours of the ways, in the order of the legend.
var colours = []struct {
	way    Way
	colour string
	label  string
}{
	{Proxy, "#1f6feb", "rdsproxy; clients never reconnect"},
	{PgBouncer, "#bf8700", "PgBouncer; clients reconnect"},
	{Driver, "#8c959f", "the DNS name; clients reconnect"},
}

// SVG draws the operations acknowledged per second, over time, for each crowd.
func (f Failover) SVG(title string) string {
	top, length := 1, 1
	for _, s := range f.Seen {
		length = max(length, len(s.Throughput))
		for _, n := range s.Throughput {
			top = max(top, n)
		}
	}
	x := func(d time.Duration) float64 {
		return plotLeft + plotWidth*float64(d)/float64(time.Duration(length)*Interval)
	}
	y := func(n int) float64 { return plotTop + plotHeight*(1-float64(n)/float64(top)) }
	var b strings.Builder
	fmt.Fprintf(&b, `<svg xmlns="http://www.w3.org/2000/svg" width="%d" height="%d" font-family="sans-serif" font-size="12" fill="#1f2328">`+"\n",
		paperWidth, paperHeight)
	fmt.Fprintf(&b, `<rect width="100%%" height="100%%" fill="#ffffff"/><text x="%d" y="20" font-size="14">%s</text>`+"\n", plotLeft,
		escape(title+": writes per second through one failover, "+fmt.Sprint(crowdSize)+" clients each way"))
	perSecond := int(time.Second / Interval)
	for _, n := range []int{0, top / 2, top} {
		fmt.Fprintf(&b, `<path d="M%d %.1fh%d" stroke="#d0d7de"/><text x="%d" y="%.1f" text-anchor="end">%d</text>`+"\n",
			plotLeft, y(n), plotWidth, plotLeft-6, y(n)+4, n*perSecond)
	}
	for s := time.Duration(0); s < time.Duration(length)*Interval; s += time.Second {
		fmt.Fprintf(&b, `<text x="%.1f" y="%d" text-anchor="middle">%d s</text>`+"\n", x(s), plotTop+plotHeight+18, s/time.Second)
	}
	for _, mark := range []struct {
		at    time.Time
		label string
	}{{f.Killed, "writer killed"}, {f.Promoted, "reader promoted, name moved"}} {
		at := x(mark.at.Sub(f.Start))
		fmt.Fprintf(&b, `<path d="M%.1f %dv%d" stroke="#cf222e" stroke-dasharray="4 3"/><text x="%.1f" y="%d" fill="#cf222e">%s</text>`+"\n",
			at, plotTop-8, plotHeight+8, at+4, plotTop-10, escape(mark.label))
	}
	f.curves(&b, x, y)
	b.WriteString("</svg>\n")
	return b.String()
}

// curves draws the crowds and the legend.
func (f Failover) curves(b *strings.Builder, x func(time.Duration) float64, y func(int) float64) {
	at := plotLeft
	for _, c := range colours {
		seen, ok := f.Seen[c.way]
		if !ok {
			continue
		}
		fmt.Fprintf(b, `<path fill="none" stroke="%s" stroke-width="1.5" d="`, c.colour)
		for i, n := range seen.Throughput {
			command := "L"
			if i == 0 {
				command = "M"
			}
			fmt.Fprintf(b, "%s%.1f %.1f", command, x(time.Duration(i)*Interval+Interval/2), y(n))
		}
		b.WriteString("\"/>\n")
		fmt.Fprintf(b, `<rect x="%d" y="%d" width="12" height="3" fill="%s"/><text x="%d" y="%d">%s</text>`+"\n",
			at, paperHeight-22, c.colour, at+18, paperHeight-16, escape(c.label))
		at += plotWidth / len(colours)
	}
}

func escape(s string) string {
	var b strings.Builder
	_ = xml.EscapeText(&b, []byte(s)) // a Builder takes everything
	return b.String()
}
