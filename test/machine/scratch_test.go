// SPDX-License-Identifier: Apache-2.0

package machine

import (
	"fmt"
	"os"
	"path/filepath"
	"testing"
)

func TestSweepScratch(t *testing.T) {
	const prefix = "rdsproxy-machine-"
	base, err := scratchBase()
	if err != nil {
		t.Fatal(err)
	}
	// No process has an id above the kernel's limit of 2^22.
	dead := filepath.Join(base, fmt.Sprintf("%s%d-test", prefix, 1<<22+1+os.Getpid()))
	alive := filepath.Join(base, fmt.Sprintf("%s%d-test", prefix, os.Getpid()))
	for _, d := range []string{dead, alive} {
		if err := os.Mkdir(d, 0o700); err != nil {
			t.Fatal(err)
		}
		defer os.RemoveAll(d)
	}
	SweepScratch(prefix)
	if _, err := os.Stat(dead); !os.IsNotExist(err) {
		t.Errorf("folder of a dead process: %v", err)
	}
	if _, err := os.Stat(alive); err != nil {
		t.Errorf("folder of a living process: %v", err)
	}
}
