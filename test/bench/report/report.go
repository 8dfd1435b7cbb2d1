// SPDX-License-Identifier: Apache-2.0

package report

import (
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"slices"
)

// Report is the content of bench/latest.json. Field names and figure names stay the same from one version to the next, so that
// results can be compared over time.
type Report struct {
	Machine  string            `json:"machine"`  // processor, cores, memory and kernel; nothing that names the machine
	Date     string            `json:"date"`     // RFC 3339, UTC
	Versions map[string]string `json:"versions"` // program -> version
	// OthersPercent is how much of the machine other programs took during the run. Above a few percent the figures are noisy.
	OthersPercent float64  `json:"others_percent"`
	Figures       []Figure `json:"figures"`
}

// Figure is one measured quantity of ours beside the same quantity of a peer, taken in the same run.
type Figure struct {
	Name     string  `json:"name"`
	Unit     string  `json:"unit"`
	Ours     float64 `json:"ours"` // median over the rounds
	Peer     float64 `json:"peer"` // median over the rounds
	PeerName string  `json:"peer_name"`
	Ratio    float64 `json:"ratio"`     // Ours / Peer
	RatioMin float64 `json:"ratio_min"` // smallest ratio that one round gave
	RatioMax float64 `json:"ratio_max"` // largest ratio that one round gave
	Rounds   int     `json:"rounds"`    // paired rounds
}

// Unit names. A figure counted in UnitPerSecond or UnitShare is better when larger; all others are better when smaller.
const (
	UnitPerSecond = "1/s"
	UnitMicros    = "µs"
	UnitMillis    = "ms"
	UnitKiB       = "KiB"
	UnitCount     = "count"
	UnitPerQuery  = "1/query"
	UnitShare     = "× direct" // of what the database does without anything in front of it
)

// HigherIsBetter tells whether a larger value of f is the better one.
func (f Figure) HigherIsBetter() bool { return f.Unit == UnitPerSecond || f.Unit == UnitShare }

// Read decodes a result file.
func Read(path string) (Report, error) {
	var r Report
	b, err := os.ReadFile(path)
	if err != nil {
		return r, err
	}
	if err := json.Unmarshal(b, &r); err != nil {
		return r, fmt.Errorf("%s: %w", path, err)
	}
	return r, nil
}

// Write stores r at path, replacing what was there in one step.
func (r Report) Write(path string) error {
	b, err := json.MarshalIndent(r, "", "  ")
	if err != nil {
		return err
	}
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return err
	}
	next := path + ".new"
	if err := os.WriteFile(next, append(b, '\n'), 0o644); err != nil {
		return err
	}
	return os.Rename(next, path)
}

// Collector gathers the values of the rounds. Figures come out in the order in which their names were first added.
type Collector struct {
	order []string
	pairs map[string]*pairs
}

type pairs struct {
	unit, peerName string
	ours, peer     []float64
}

// Add notes what one round measured for the figure name. Both values belong to the same round.
func (c *Collector) Add(name, unit, peerName string, ours, peer float64) {
	if c.pairs == nil {
		c.pairs = make(map[string]*pairs)
	}
	p := c.pairs[name]
	if p == nil {
		p = &pairs{unit: unit, peerName: peerName}
		c.pairs[name] = p
		c.order = append(c.order, name)
	}
	p.ours = append(p.ours, ours)
	p.peer = append(p.peer, peer)
}

// Figures gives the medians. A figure whose values have no ratio (a peer that measured zero or less, a value that is no number) is left out
// and named in the error, which joins one error per such figure.
func (c *Collector) Figures() ([]Figure, error) {
	var out []Figure
	var errs []error
	for _, name := range c.order {
		f, err := c.pairs[name].figure(name)
		if err != nil {
			errs = append(errs, err)
			continue
		}
		out = append(out, f)
	}
	return out, errors.Join(errs...)
}

func (p *pairs) figure(name string) (Figure, error) {
	ours, peer := Median(p.ours), Median(p.peer)
	each := make([]float64, len(p.ours))
	for i := range each {
		each[i] = ratio(p.ours[i], p.peer[i])
	}
	f := Figure{
		Name: name, Unit: p.unit, PeerName: p.peerName, Rounds: len(each),
		Ours: significant(ours, 4), Peer: significant(peer, 4), Ratio: significant(ratio(ours, peer), 3),
		RatioMin: significant(slices.Min(each), 3), RatioMax: significant(slices.Max(each), 3),
	}
	for _, v := range []float64{f.Ours, f.Peer, f.Ratio, f.RatioMin, f.RatioMax} {
		if math.IsNaN(v) || math.IsInf(v, 0) {
			return Figure{}, fmt.Errorf("%s: no ratio can be made of ours %v and peer %v", name, p.ours, p.peer)
		}
	}
	return f, nil
}
