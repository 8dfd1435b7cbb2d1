// SPDX-License-Identifier: Apache-2.0

package main

import (
	"os"
	"strconv"
	"testing"
)

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
	commands, met := 0, [faultKinds]int{}
	seeds := number(t, "RDSPROXY_SIM_SEEDS", 300)
	for seed := range seeds {
		seed++
		w := newWorld(uint64(seed), false)
		w.run()
		commands += w.commands
		for i, n := range w.met {
			met[i] += n
		}
		if w.failure != "" {
			t.Errorf("seed %d (repeat with: go run ./test/sim/mysql -seed %d): %s", seed, seed, w.failure)
		}
	}
	t.Logf("%d commands answered", commands)
	for kind, n := range met {
		t.Logf("%d %s", n, fault(kind))
		enough := 300
		switch fault(kind) {
		case stateLost, clientLost, clientKilled: // which are rare
			enough = 10_000
		}
		if n == 0 && seeds >= enough {
			t.Errorf("no %s", fault(kind))
		}
	}
}
