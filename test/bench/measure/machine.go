// SPDX-License-Identifier: Apache-2.0

//go:build linux

package measure

import (
	"bytes"
	"compress/gzip"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"time"

	"golang.org/x/sys/unix"
)

// Usage is the CPU time used up to one moment: by everything on the machine, and by this program with all its descendants.
type Usage struct {
	Machine, Own time.Duration
}

// Now reads the usage. On a virtual machine, Machine includes what the host gave to others while this machine wanted to run.
func Now() (Usage, error) {
	text, err := os.ReadFile("/proc/stat")
	if err != nil {
		return Usage{}, err
	}
	machine, err := busy(string(text), interruptsCountApart())
	if err != nil {
		return Usage{}, err
	}
	own, err := tree(os.Getpid())
	return Usage{Machine: machine, Own: own}, err
}

// tree is the CPU time of a process and all its descendants, the ended ones that were waited for included. A process that ends while it
// is looked at counts nothing.
func tree(pid int) (time.Duration, error) {
	sum, err := CPUTime(pid)
	if err != nil {
		return 0, nil // it has ended
	}
	stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return sum, nil // as above
	}
	ended, err := waitedFor(string(stat))
	if err != nil {
		return 0, err
	}
	sum += ended
	lists, err := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/children", pid))
	if err != nil {
		return 0, err
	}
	for _, path := range lists {
		list, _ := os.ReadFile(path) // a thread that has ended has no children any more
		for child := range strings.FieldsSeq(string(list)) {
			n, err := strconv.Atoi(child)
			if err != nil {
				return 0, err
			}
			t, err := tree(n)
			if err != nil {
				return 0, err
			}
			sum += t
		}
	}
	return sum, nil
}

// waitedFor reads from /proc/PID/stat the time of the children that have ended and were waited for, cutime and cstime in proc(5).
func waitedFor(stat string) (time.Duration, error) {
	// The second field is the program's name in brackets and may hold anything; cutime is the 14th after it.
	fields := strings.Fields(stat[strings.LastIndexByte(stat, ')')+1:])
	if len(fields) < 15 {
		return 0, errors.New("/proc/PID/stat is shorter than expected")
	}
	user, err1 := strconv.ParseInt(fields[13], 10, 64)
	system, err2 := strconv.ParseInt(fields[14], 10, 64)
	return time.Duration(user+system) * tick, errors.Join(err1, err2)
}

// interruptsCountApart tells whether the kernel takes the time of interrupts, the work on network packets included, out of the time of the process that
// they interrupt. It does if it was built so; where that is not to be found out, it is assumed, as the distributions' kernels do.
var interruptsCountApart = sync.OnceValue(func() bool {
	var u unix.Utsname
	if err := unix.Uname(&u); err != nil {
		return true
	}
	text, err := os.ReadFile("/boot/config-" + unix.ByteSliceToString(u.Release[:]))
	if err != nil {
		if text, err = kernelConfig("/proc/config.gz"); err != nil {
			return true
		}
	}
	return bytes.Contains(text, []byte("CONFIG_IRQ_TIME_ACCOUNTING=y"))
})

func kernelConfig(path string) ([]byte, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	z, err := gzip.NewReader(f)
	if err != nil {
		return nil, err
	}
	return io.ReadAll(z)
}

// tick is the unit of /proc/stat, the same on every Linux.
const tick = 10 * time.Millisecond

// busy sums the first line of /proc/stat:
//
//	cpu  user nice system idle iowait irq softirq steal guest guest_nice
//
// without idle and iowait, and without the last two, which are part of user and nice. Interrupts (irq and softirq) are left out as well if no
// process's time has them: they are then nobody's, and most of them serve the loads.
func busy(stat string, withoutInterrupts bool) (time.Duration, error) {
	line, _, _ := strings.Cut(stat, "\n")
	fields := strings.Fields(line)
	if len(fields) < 9 || fields[0] != "cpu" {
		return 0, errors.New("/proc/stat does not begin as expected")
	}
	var sum time.Duration
	for _, at := range []int{1, 2, 3, 6, 7, 8} {
		if withoutInterrupts && (at == 6 || at == 7) {
			continue
		}
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
	if elapsed <= 0 {
		return 0
	}
	others := (to.Machine - from.Machine) - (to.Own - from.Own)
	return max(0, 100*float64(others)/float64(elapsed*time.Duration(cores)))
}
