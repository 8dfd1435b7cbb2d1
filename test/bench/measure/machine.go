// SPDX-License-Identifier: Apache-2.0

//go:build linux

package measure

import (
	"errors"
	"fmt"
	"os"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// Usage is the CPU time used up to one moment: by everything on the machine, and by this program with those of its children that have ended
// and been waited for.
type Usage struct {
	Machine, Own time.Duration
}

// Now reads the usage. On a virtual machine, Machine includes what the host gave to others while this machine wanted to run.
func Now() (Usage, error) {
	text, err := os.ReadFile("/proc/stat")
	if err != nil {
		return Usage{}, err
	}
	u := Usage{}
	if u.Machine, err = busy(string(text)); err != nil {
		return Usage{}, err
	}
	for _, who := range []int{unix.RUSAGE_SELF, unix.RUSAGE_CHILDREN} {
		var r unix.Rusage
		if err := unix.Getrusage(who, &r); err != nil {
			return Usage{}, err
		}
		u.Own += time.Duration(r.Utime.Nano() + r.Stime.Nano())
	}
	return u, nil
}

// tick is the unit of /proc/stat, the same on every Linux.
const tick = 10 * time.Millisecond

// busy sums the first line of /proc/stat:
//
//	cpu  user nice system idle iowait irq softirq steal guest guest_nice
//
// without idle and iowait, and without the last two, which are part of user and nice.
func busy(stat string) (time.Duration, error) {
	line, _, _ := strings.Cut(stat, "\n")
	fields := strings.Fields(line)
	if len(fields) < 9 || fields[0] != "cpu" {
		return 0, errors.New("/proc/stat does not begin as expected")
	}
	var sum time.Duration
	for _, at := range []int{1, 2, 3, 6, 7, 8} {
		n, err := strconv.ParseInt(fields[at], 10, 64)
		if err != nil {
			return 0, fmt.Errorf("/proc/stat: %w", err)
		}
		sum += time.Duration(n) * tick
	}
	return sum, nil
}

// OthersPercent is the share of the machine's CPU time between two readings, in percent of elapsed time on that many cores, that went to programs
// which are none of ours.
func OthersPercent(from, to Usage, elapsed time.Duration, cores int) float64 {
	others := (to.Machine - from.Machine) - (to.Own - from.Own)
	return max(0, 100*float64(others)/float64(elapsed*time.Duration(cores)))
}
