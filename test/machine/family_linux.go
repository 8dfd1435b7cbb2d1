// SPDX-License-Identifier: Apache-2.0

package machine

import (
	"fmt"
	"os"
	"strconv"
	"strings"
	"time"
)

// state is the kernel's letter for what a process does: 'T' stopped, 'Z' ended but
// not yet collected, 0 gone.
func state(pid int) byte {
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return 0
	}
	_, rest, ok := strings.Cut(string(text), ") ") // the name before it may hold anything
	if !ok || rest == "" {
		return 0
	}
	return rest[0]
}

// awaitStates waits until each of the processes is in one of the states, for a
// second at most.
func awaitStates(states string, pids ...int) {
	deadline := time.NewTimer(time.Second)
	defer deadline.Stop()
	tick := time.NewTicker(time.Millisecond)
	defer tick.Stop()
	for _, pid := range pids {
		for s := state(pid); s != 0 && !strings.ContainsRune(states, rune(s)); s = state(pid) {
			select {
			case <-deadline.C:
				return
			case <-tick.C:
			}
		}
	}
}

// children lists the direct child processes of pid.
func children(pid int) []int {
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/task/%d/children", pid, pid))
	if err != nil {
		return nil
	}
	var pids []int
	for f := range strings.FieldsSeq(string(text)) {
		if n, err := strconv.Atoi(f); err == nil {
			pids = append(pids, n)
		}
	}
	return pids
}
