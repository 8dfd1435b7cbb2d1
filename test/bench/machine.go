// SPDX-License-Identifier: Apache-2.0

//go:build linux

package main

import (
	"fmt"
	"os"
	"regexp"
	"runtime"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

// machine describes what the figures depend on, and nothing that would tell whose machine it is.
func machine() string {
	parts := []string{cpuModel(readText("/proc/cpuinfo")), fmt.Sprintf("%d cores", runtime.NumCPU())}
	if gib := memoryGiB(readText("/proc/meminfo")); gib > 0 {
		parts = append(parts, fmt.Sprintf("%d GiB", gib))
	}
	var u unix.Utsname
	if unix.Uname(&u) == nil {
		parts = append(parts, "Linux "+kernelVersion(unix.ByteSliceToString(u.Release[:])))
	}
	return strings.Join(append(parts, runtime.GOARCH), ", ")
}

// readText is the content of a file of the proc file system, empty if there is none.
func readText(path string) string {
	b, _ := os.ReadFile(path)
	return string(b)
}

func cpuModel(cpuinfo string) string {
	if m := regexp.MustCompile(`(?m)^model name\s*:\s*(.+)$`).FindStringSubmatch(cpuinfo); m != nil {
		return strings.Join(strings.Fields(m[1]), " ")
	}
	return "unknown processor"
}

func memoryGiB(meminfo string) int {
	m := regexp.MustCompile(`(?m)^MemTotal:\s+(\d+) kB$`).FindStringSubmatch(meminfo)
	if m == nil {
		return 0
	}
	kib, _ := strconv.Atoi(m[1]) // digits only; too many of them mean nothing to say
	return (kib + 1<<19) >> 20
}

// kernelVersion is the leading number of a kernel's release, without the suffix that its builder gave it.
func kernelVersion(release string) string {
	if v := regexp.MustCompile(`^\d+(\.\d+)*`).FindString(release); v != "" {
		return v
	}
	return "unknown"
}
