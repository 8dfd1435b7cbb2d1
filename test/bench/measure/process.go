// SPDX-License-Identifier: Apache-2.0

//go:build linux

// Package measure reads what a process has used (CPU time, context switches, memory) and joins it with pgbench's log of single
// transactions to figures per query.
package measure

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"time"

	"golang.org/x/sys/unix"
)

// CPUTime is the CPU time, user and system, that the process has used so far, threads that have ended included. It is read from the
// process's own CPU clock, in nanoseconds: /proc/PID/stat counts in ticks of 10 ms, too coarse for windows of a few seconds.
func CPUTime(pid int) (time.Duration, error) {
	// The number of another process's CPU clock, clock_getcpuclockid(3): the inverted process id above three bits, of which 2 means
	// "scheduler's count, whole process".
	id := int32(^pid<<3 | 2)
	var ts unix.Timespec
	if err := unix.ClockGettime(id, &ts); err != nil {
		return 0, fmt.Errorf("CPU clock of process %d: %w", pid, err)
	}
	return time.Duration(ts.Nano()), nil
}

// Use is what a process had used at one moment.
type Use struct {
	At  time.Time
	CPU time.Duration
	// UserTicks and SystemTicks are the two parts of it, in ticks of the kernel's (10 ms).
	UserTicks, SystemTicks uint64
}

// Consumed reads what the process has used so far.
func Consumed(pid int) (u Use, err error) {
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return u, err
	}
	if u.UserTicks, u.SystemTicks, err = ticks(b); err != nil {
		return u, err
	}
	u.CPU, err = CPUTime(pid)
	u.At = time.Now()
	return u, err
}

// ticks finds utime and stime in /proc/PID/stat (proc(5)): the 14th and 15th field, of which the second is a name in parentheses that may have
// spaces and parentheses in it.
func ticks(stat []byte) (user, system uint64, err error) {
	fields := bytes.Fields(stat[bytes.LastIndexByte(stat, ')')+1:])
	if len(fields) < 13 {
		return 0, 0, errors.New("/proc/PID/stat has too few fields")
	}
	user, err1 := strconv.ParseUint(string(fields[11]), 10, 64)
	system, err2 := strconv.ParseUint(string(fields[12]), 10, 64)
	return user, system, errors.Join(err1, err2)
}

// Switches counts the context switches, voluntary and not, of the threads that the process has now.
func Switches(pid int) (uint64, error) {
	dir := fmt.Sprintf("/proc/%d/task", pid)
	tasks, err := os.ReadDir(dir)
	if err != nil {
		return 0, err
	}
	var sum uint64
	for _, t := range tasks {
		b, err := os.ReadFile(filepath.Join(dir, t.Name(), "status"))
		if errors.Is(err, fs.ErrNotExist) || errors.Is(err, unix.ESRCH) {
			continue // the thread has ended since the folder was read
		}
		if err != nil {
			return 0, err
		}
		for _, key := range []string{"voluntary_ctxt_switches", "nonvoluntary_ctxt_switches"} {
			n, err := procField(b, key)
			if err != nil {
				return 0, err
			}
			sum += n
		}
	}
	return sum, nil
}

// RSS is the resident memory of the process in bytes. It is summed from the page tables, because the kernel's running counters lag behind by
// up to some tens of pages per thread.
func RSS(pid int) (uint64, error) {
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/smaps_rollup", pid))
	if err != nil {
		return 0, err
	}
	kib, err := procField(b, "Rss")
	return kib << 10, err
}

// procField finds the number behind "key:" at the head of a line.
func procField(text []byte, key string) (uint64, error) {
	for line := range bytes.Lines(text) {
		name, value, ok := bytes.Cut(line, []byte(":"))
		if !ok || string(name) != key {
			continue
		}
		fields := bytes.Fields(value)
		if len(fields) == 0 {
			break
		}
		return strconv.ParseUint(string(fields[0]), 10, 64)
	}
	return 0, fmt.Errorf("no number for %q", key)
}

// Sample is what a process had used at one moment.
type Sample struct {
	At       time.Time
	CPU      time.Duration
	Switches uint64
}

// sampleEvery is the distance of two samples: short against a window of seconds, long against the cost of a sample (a few file reads).
const sampleEvery = 50 * time.Millisecond

// Watch samples the process until ctx ends, and gives the samples in order. It stops early with an error when the process is gone.
func Watch(ctx context.Context, pid int) ([]Sample, error) {
	tick := time.NewTicker(sampleEvery)
	defer tick.Stop()
	var out []Sample
	for {
		select {
		case <-ctx.Done():
			return out, nil
		case <-tick.C:
		}
		s, err := sample(pid)
		if err != nil {
			return out, err
		}
		out = append(out, s)
	}
}

func sample(pid int) (Sample, error) {
	switches, err := Switches(pid)
	if err != nil {
		return Sample{}, err
	}
	// The clock is read next to the CPU time, after the slow part.
	cpu, err := CPUTime(pid)
	return Sample{At: time.Now(), CPU: cpu, Switches: switches}, err
}
