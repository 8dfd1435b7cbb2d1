// SPDX-License-Identifier: Apache-2.0

//go:build linux

package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"time"

	"github.com/rdsproxy/rdsproxy/test/bench/rig"
)

// profile runs each load once more on both sides with perf looking on. It leaves NAME.SIDE.data, and NAME.SIDE.txt with the functions that
// took most of the time, the kernel's included. perf has no hardware counters on many virtual machines, so it samples by the CPU clock.
func (c *contest) profile(ctx context.Context, dir string, look time.Duration, experiments []experiment) error {
	if _, err := exec.LookPath("perf"); err != nil {
		return errors.New("profiling needs perf (package linux-perf on Debian)")
	}
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return err
	}
	var errs []error
	for _, e := range experiments {
		if e.load == nil {
			continue
		}
		for _, s := range []*side{c.ours, c.peer} {
			i, err := s.shared(ctx, e.pool)
			if err == nil {
				err = s.profile(ctx, filepath.Join(dir, e.name+"."+s.label), look, i, *e.load)
			}
			if err != nil {
				errs = append(errs, fmt.Errorf("profile of %s, %s: %w", e.name, s.pooler.Name(), err))
			}
		}
	}
	return errors.Join(errs...)
}

func (s *side) profile(ctx context.Context, base string, look time.Duration, i *rig.Instance, l load) error {
	// perf begins when the logins are over, and ends before the load does.
	delay := 500*time.Millisecond + time.Duration(l.clients)*4*time.Millisecond
	loaded := make(chan error, 1)
	go func() {
		_, err := l.through(ctx, s, i, 0, delay+look+time.Second)
		loaded <- err
	}()
	recordErr := pause(ctx, delay)
	if recordErr == nil {
		out, err := exec.CommandContext(ctx, "perf", "record", "-q", "-e", "cpu-clock", "-F", "999", "-g",
			"-p", fmt.Sprint(i.PID()), "-o", base+".data", "--", "sleep", fmt.Sprintf("%.1f", look.Seconds())).CombinedOutput()
		if err != nil {
			recordErr = fmt.Errorf("perf record: %w\n%s", err, out)
		}
	}
	if err := errors.Join(<-loaded, recordErr); err != nil {
		return err
	}
	text, err := exec.CommandContext(ctx, "perf", "report", "--stdio", "--no-children", "-g", "none", "--percent-limit", "0.5",
		"-F", "overhead,dso,symbol", "-i", base+".data").Output()
	if err != nil {
		return fmt.Errorf("perf report: %w", err)
	}
	say("profile: %s.txt", base)
	return os.WriteFile(base+".txt", text, 0o644)
}
