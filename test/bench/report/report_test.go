// SPDX-License-Identifier: Apache-2.0

package report

import (
	"bytes"
	"encoding/json"
	"encoding/xml"
	"errors"
	"io"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestPercentile(t *testing.T) {
	hundred := make([]int, 100)
	for i := range hundred {
		hundred[i] = i + 1
	}
	for _, tc := range []struct {
		name   string
		sorted []int
		p      float64
		want   int
	}{
		{"empty", nil, 50, 0},
		{"one", []int{7}, 99, 7},
		{"median of odd", []int{1, 2, 3}, 50, 2},
		{"median of even takes the lower", []int{1, 2, 3, 4}, 50, 2},
		{"99 of 100", hundred, 99, 99},
		{"100 of 100", hundred, 100, 100},
		{"0 of 100", hundred, 0, 1},
		{"just above a rank", hundred, 98.5, 99},
		{"below the range", hundred, -3, 1},
		{"above the range", hundred, 150, 100},
	} {
		t.Run(tc.name, func(t *testing.T) {
			if got := Percentile(tc.sorted, tc.p); got != tc.want {
				t.Errorf("Percentile(%v) = %d, want %d", tc.p, got, tc.want)
			}
		})
	}
}

func TestMedian(t *testing.T) {
	for _, tc := range []struct {
		in   []float64
		want float64
	}{
		{[]float64{3}, 3},
		{[]float64{3, 1}, 2},
		{[]float64{9, 1, 5}, 5},
		{[]float64{4, 1, 3, 2}, 2.5},
	} {
		before := slices.Clone(tc.in)
		if got := Median(tc.in); got != tc.want {
			t.Errorf("Median(%v) = %v, want %v", tc.in, got, tc.want)
		}
		if !slices.Equal(before, tc.in) {
			t.Errorf("Median changed its argument: %v, was %v", tc.in, before)
		}
	}
	if got := Median(nil); !math.IsNaN(got) {
		t.Errorf("Median of nothing = %v, want NaN", got)
	}
}

func TestSignificant(t *testing.T) {
	for _, tc := range []struct {
		v    float64
		n    int
		want float64
	}{
		{0, 3, 0}, {123456, 4, 123500}, {1.23456, 3, 1.23}, {0.00123456, 3, 0.00123}, {-99.96, 3, -100}, {1, 4, 1}, {1e-310, 3, 1e-310},
	} {
		if got := significant(tc.v, tc.n); math.Abs(got-tc.want) > 1e-9*math.Abs(tc.want) {
			t.Errorf("significant(%v, %d) = %v, want %v", tc.v, tc.n, got, tc.want)
		}
	}
}

func TestCollector(t *testing.T) {
	var c Collector
	c.Add("b", UnitMicros, "Peer 1", 10, 20)
	c.Add("a", UnitPerSecond, "Peer 1", 300, 100)
	c.Add("b", UnitMicros, "Peer 1", 30, 20)
	c.Add("b", UnitMicros, "Peer 1", 12, 24)
	got, err := c.Figures()
	if err != nil {
		t.Fatal(err)
	}
	want := []Figure{
		{Name: "b", Unit: "µs", Ours: 12, Peer: 20, PeerName: "Peer 1", Ratio: 0.6, RatioMin: 0.5, RatioMax: 1.5, Rounds: 3},
		{Name: "a", Unit: "1/s", Ours: 300, Peer: 100, PeerName: "Peer 1", Ratio: 3, RatioMin: 3, RatioMax: 3, Rounds: 1},
	}
	if d := cmp.Diff(want, got); d != "" {
		t.Errorf("figures differ (-want +got):\n%s", d)
	}
}

func TestCollectorLeavesOutWhatHasNoRatio(t *testing.T) {
	var c Collector
	c.Add("zero", UnitKiB, "P", 1, 0)
	c.Add("nan", UnitKiB, "P", math.NaN(), 1)
	c.Add("good", UnitKiB, "P", 1, 2)
	got, err := c.Figures()
	if len(got) != 1 || got[0].Name != "good" {
		t.Errorf("figures = %v, want only good", got)
	}
	if err == nil || !strings.Contains(err.Error(), "zero") || !strings.Contains(err.Error(), "nan") {
		t.Errorf("error = %v, want it to name zero and nan", err)
	}
}

func sample() Report {
	return Report{
		Machine: "CPU, 2 cores", Date: "2026-11-01T10:00:00Z", OthersPercent: 1.5, Versions: map[string]string{"pgbouncer": "1.26.1"},
		Figures: []Figure{
			{Name: "pg.simple.c100.throughput", Unit: UnitPerSecond, Ours: 34567, Peer: 33000, PeerName: "PgBouncer 1.26.1", Ratio: 1.05, RatioMin: 0.99, RatioMax: 1.1, Rounds: 5},
			{Name: "pg.simple.c100.cpu_per_query", Unit: UnitMicros, Ours: 21.4, Peer: 20, PeerName: "PgBouncer 1.26.1", Ratio: 1.07, RatioMin: 1, RatioMax: 1.2, Rounds: 5},
			{Name: "pg.idle.plain.memory", Unit: UnitKiB, Ours: 0.5, Peer: 2.3, PeerName: "PgBouncer <1.26.1>", Ratio: 0.217, RatioMin: 0.2, RatioMax: 0.22, Rounds: 3},
		},
	}
}

// TestJSONShape pins the names of the result file: other tools read them.
func TestJSONShape(t *testing.T) {
	path := filepath.Join(t.TempDir(), "new", "latest.json")
	if err := sample().Write(path); err != nil {
		t.Fatal(err)
	}
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	var top map[string]json.RawMessage
	if err := json.Unmarshal(b, &top); err != nil {
		t.Fatal(err)
	}
	if d := cmp.Diff([]string{"date", "figures", "machine", "others_percent", "versions"}, sortedKeys(top)); d != "" {
		t.Errorf("top level keys (-want +got):\n%s", d)
	}
	var figures []map[string]json.RawMessage
	if err := json.Unmarshal(top["figures"], &figures); err != nil {
		t.Fatal(err)
	}
	want := []string{"name", "ours", "peer", "peer_name", "ratio", "ratio_max", "ratio_min", "rounds", "unit"}
	if d := cmp.Diff(want, sortedKeys(figures[0])); d != "" {
		t.Errorf("figure keys (-want +got):\n%s", d)
	}
	back, err := Read(path)
	if err != nil {
		t.Fatal(err)
	}
	if d := cmp.Diff(sample(), back); d != "" {
		t.Errorf("read back (-want +got):\n%s", d)
	}
}

func sortedKeys(m map[string]json.RawMessage) []string {
	var keys []string
	for k := range m {
		keys = append(keys, k)
	}
	slices.Sort(keys)
	return keys
}

func TestReadRefusesDamage(t *testing.T) {
	path := filepath.Join(t.TempDir(), "r.json")
	if _, err := Read(path); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("missing file: %v", err)
	}
	if err := os.WriteFile(path, []byte(`{"figures":`), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := Read(path); err == nil || !strings.Contains(err.Error(), "r.json") {
		t.Errorf("cut file: %v, want an error that names it", err)
	}
}

func TestTables(t *testing.T) {
	var b bytes.Buffer
	if err := sample().Table(&b); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"pg.simple.c100.throughput", "34,567", "33,000", "1.05", "0.99 to 1.10", "PgBouncer 1.26.1"} {
		if !strings.Contains(b.String(), want) {
			t.Errorf("table lacks %q:\n%s", want, b.String())
		}
	}
}

func TestSplice(t *testing.T) {
	const doc = "head\n" + resultsBegin + "old\n" + resultsEnd + "foot\n"
	once, err := sample().Splice(doc)
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{
		"head\n" + resultsBegin, resultsEnd + "foot\n", "2026-11-01 (CPU, 2 cores; 1.5 % of it taken by other programs), with pgbouncer 1.26.1.",
		"| `pg.idle.plain.memory` | KiB | 0.50 | 2.30 | 0.22 | 0.20 to 0.22 | 3 |\n",
	} {
		if !strings.Contains(once, want) {
			t.Errorf("the document lacks %q:\n%s", want, once)
		}
	}
	if strings.Contains(once, "old") {
		t.Errorf("the former results are still there:\n%s", once)
	}
	if twice, err := sample().Splice(once); err != nil || twice != once {
		t.Errorf("a second time changes the document (%v):\n%s", err, cmp.Diff(once, twice))
	}
	for _, doc := range []string{"", "no marks", resultsBegin, resultsEnd, resultsEnd + resultsBegin} {
		if got, err := sample().Splice(doc); err == nil {
			t.Errorf("Splice(%q) = %q, want an error", doc, got)
		}
	}
}

// TestEachPeerHasItsSection: values beside one program must not stand under the name of another.
func TestEachPeerHasItsSection(t *testing.T) {
	r := sample()
	if text := r.markdown(); strings.Contains(text, "MySQL") {
		t.Errorf("a section without figures:\n%s", text)
	}
	r.Figures = append(r.Figures,
		Figure{Name: "mysql.point_select.c100.cpu_per_query", Unit: UnitMicros, Ours: 25, Peer: 100, PeerName: "Router 9", Ratio: 0.25, Rounds: 5},
		Figure{Name: "mysql.point_select.c100.of_direct", Unit: UnitShare, Ours: 0.8, Peer: 0.4, PeerName: "Router 9", Ratio: 2, Rounds: 5},
	)
	pg, my, found := strings.Cut(r.markdown(), "### MySQL, beside Router 9\n")
	if !found || !strings.Contains(pg, "### PostgreSQL, beside PgBouncer 1.26.1\n") || strings.Contains(pg, "mysql") || strings.Contains(my, "pg.") {
		t.Errorf("sections:\n%s", r.markdown())
	}
	for _, want := range []string{
		"| `mysql.point_select.c100.of_direct` | × direct | 0.80 | 0.40 | 2.00 |",
		"![MySQL: CPU time of the proxy per query (shorter is better)](performance-mysql-cpu.svg)\n",
	} {
		if !strings.Contains(my, want) {
			t.Errorf("the section lacks %q:\n%s", want, my)
		}
	}
	if strings.Contains(my, "memory.svg") {
		t.Errorf("a chart without figures:\n%s", my)
	}
	files := map[string]bool{}
	for _, c := range Charts() {
		if svg := r.SVG(c); svg != "" && strings.Contains(svg, "Router 9") != (c.Prefix == "mysql.") {
			t.Errorf("%s shows another peer", c.File)
		}
		if files[c.File] {
			t.Errorf("two charts in %s", c.File)
		}
		files[c.File] = true
	}
}

func TestNumber(t *testing.T) {
	for v, want := range map[float64]string{
		0: "0.00", 0.25: "0.25", 9.994: "9.99", 12.34: "12.3", 123.4: "123", 1234.5: "1,235", 1234567: "1,234,567", -4321: "-4,321",
	} {
		if got := number(v); got != want {
			t.Errorf("number(%v) = %q, want %q", v, got, want)
		}
	}
}

func TestSVG(t *testing.T) {
	svg := sample().SVG(Chart{Title: "CPU & more", Suffixes: []string{".cpu_per_query"}})
	if svg == "" {
		t.Fatal("no chart")
	}
	wellFormed(t, svg)
	for _, want := range []string{"CPU &amp; more", "pg.simple.c100", "21.4 µs", "20.0 µs"} {
		if !strings.Contains(svg, want) {
			t.Errorf("chart lacks %q", want)
		}
	}
	escaped := sample().SVG(Chart{Title: "m", Suffixes: []string{".memory"}})
	wellFormed(t, escaped)
	if !strings.Contains(escaped, "PgBouncer &lt;1.26.1&gt;") {
		t.Error("the peer's name is not escaped")
	}
	if got := sample().SVG(Chart{Title: "none", Suffixes: []string{".nothing"}}); got != "" {
		t.Errorf("a chart without figures: %q", got)
	}
}

func wellFormed(t *testing.T, doc string) {
	t.Helper()
	d := xml.NewDecoder(strings.NewReader(doc))
	for {
		if _, err := d.Token(); errors.Is(err, io.EOF) {
			return
		} else if err != nil {
			t.Fatalf("not well-formed: %v\n%s", err, doc)
		}
	}
}
