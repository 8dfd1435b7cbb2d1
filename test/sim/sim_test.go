// SPDX-License-Identifier: Apache-2.0

package main

import (
	_ "embed"
	"os"
	"strconv"
	"strings"
	"testing"
)

// open lists the seeds whose failure is known and not mended yet: a seed and
// what it shows, one a line. A seed that passes again must leave the list.
//
//go:embed testdata/open.txt
var open string

func number(t *testing.T, name string, def int) int {
	text := os.Getenv(name)
	if text == "" {
		return def
	}
	n, err := strconv.Atoi(text)
	if err != nil {
		t.Fatalf("%s: %v", name, err)
	}
	return n
}

// TestSimulation runs many seeds. RDSPROXY_SIM_SEEDS says how many,
// RDSPROXY_SIM_SEED runs one and tells its story.
func TestSimulation(t *testing.T) {
	if seed := number(t, "RDSPROXY_SIM_SEED", 0); seed != 0 {
		w := newWorld(uint64(seed), true)
		w.run()
		t.Log(w.story())
		if w.failure != "" {
			t.Errorf("seed %d: %s", seed, w.failure)
		}
		return
	}
	known := make(map[string]bool)
	for line := range strings.Lines(open) {
		if seed, _, ok := strings.Cut(line, " "); ok && seed != "#" {
			known[seed] = true
		}
	}
	queries := 0
	for seed := range number(t, "RDSPROXY_SIM_SEEDS", 300) {
		seed++
		w := newWorld(uint64(seed), false)
		w.run()
		queries += w.queries
		switch failed := w.failure != ""; {
		case failed && !known[strconv.Itoa(seed)]:
			t.Errorf("seed %d (repeat with: make sim SEED=%d): %s", seed, seed, w.failure)
		case !failed && known[strconv.Itoa(seed)]:
			t.Errorf("seed %d passes: take it off testdata/open.txt", seed)
		}
	}
	t.Logf("%d queries answered", queries)
}
