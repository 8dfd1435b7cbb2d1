// SPDX-License-Identifier: Apache-2.0

//go:build linux

package outage_test

import (
	"encoding/xml"
	"errors"
	"io"
	"strings"
	"testing"
	"time"

	"github.com/rdsproxy/rdsproxy/test/bench/outage"
)

func TestSVG(t *testing.T) {
	start := time.Unix(1_000_000, 0)
	f := outage.Failover{
		Start: start, Killed: start.Add(time.Second), Promoted: start.Add(2 * time.Second), End: start.Add(4 * time.Second),
		Seen: map[outage.Way]outage.Seen{
			outage.Proxy:  {Throughput: []int{20, 0, 20}},
			outage.Driver: {Throughput: []int{18, 0, 0}},
		},
	}
	svg := f.SVG("A & B")
	for d := xml.NewDecoder(strings.NewReader(svg)); ; {
		_, err := d.Token()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			t.Fatalf("%v in\n%s", err, svg)
		}
	}
	for _, want := range []string{"A &amp; B", "writer killed", "promoted", "rdsproxy; clients", "the DNS name; clients", ">200<"} {
		if !strings.Contains(svg, want) {
			t.Errorf("%q is missing", want)
		}
	}
	if strings.Contains(svg, "PgBouncer") {
		t.Error("a crowd that was not there is drawn")
	}
	if empty := (outage.Failover{}).SVG(""); !strings.HasSuffix(empty, "</svg>\n") {
		t.Errorf("nothing drawn of nothing: %s", empty)
	}
}
