// SPDX-License-Identifier: Apache-2.0

//go:build linux

package measure

import (
	"context"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

func TestCPUTimeGrowsWithWork(t *testing.T) {
	before, err := CPUTime(os.Getpid())
	if err != nil {
		t.Fatal(err)
	}
	x := 0
	for i := range 20_000_000 {
		x += i * i
	}
	after, err := CPUTime(os.Getpid())
	if err != nil {
		t.Fatal(err)
	}
	if after-before < time.Millisecond {
		t.Errorf("CPU time grew by %v over a loop of 20 million turns (%d)", after-before, x)
	}
}

func TestOfAnotherProcess(t *testing.T) {
	cmd := exec.Command("sleep", "60")
	if err := cmd.Start(); err != nil {
		t.Skip("no sleep command: ", err)
	}
	pid := cmd.Process.Pid
	if cpu, err := CPUTime(pid); err != nil || cpu > time.Second {
		t.Errorf("CPUTime = %v, %v", cpu, err)
	}
	if n, err := RSS(pid); err != nil || n == 0 {
		t.Errorf("RSS = %d, %v", n, err)
	}
	if _, err := Switches(pid); err != nil {
		t.Errorf("Switches: %v", err)
	}
	if err := cmd.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	_ = cmd.Wait() // "signal: killed"
	if _, err := CPUTime(pid); err == nil {
		t.Error("CPUTime of a process that is gone gave no error")
	}
	if _, err := Switches(pid); err == nil {
		t.Error("Switches of a process that is gone gave no error")
	}
	if _, err := Watch(context.Background(), pid); err == nil {
		t.Error("Watch of a process that is gone gave no error")
	}
}

func TestProcField(t *testing.T) {
	const status = "Name:\tx\nRss:\t    1234 kB\nvoluntary_ctxt_switches:\t7\nnonvoluntary_ctxt_switches:\t9\nempty:\nword:\tnone\n"
	for _, tc := range []struct {
		key  string
		want uint64
		fail bool
	}{
		{key: "Rss", want: 1234},
		{key: "voluntary_ctxt_switches", want: 7},
		{key: "nonvoluntary_ctxt_switches", want: 9},
		{key: "absent", fail: true},
		{key: "empty", fail: true},
		{key: "word", fail: true},
	} {
		got, err := procField([]byte(status), tc.key)
		if got != tc.want || (err != nil) != tc.fail {
			t.Errorf("procField(%q) = %d, %v", tc.key, got, err)
		}
	}
}

// at is a moment ms milliseconds after an arbitrary start.
func at(ms int64) time.Time { return time.UnixMilli(1_800_000_000_000 + ms) }

func TestSteady(t *testing.T) {
	// One transaction a millisecond from 0 to 1000 ms; 10 µs of CPU and half a switch each. Before that, expensive logins.
	var tr Trace
	for i := range int64(1001) {
		tr.EndMicros = append(tr.EndMicros, at(i).UnixMicro())
		tr.LatencyMicros = append(tr.LatencyMicros, i)
	}
	var samples []Sample
	for ms := int64(-500); ms <= 1500; ms += 50 {
		done := min(max(ms, 0), 1000)
		s := Sample{At: at(ms), CPU: time.Second + time.Duration(done)*10*time.Microsecond, Switches: 100 + uint64(done)/2}
		if ms < 0 {
			s.CPU, s.Switches = 0, 0
		}
		samples = append(samples, s)
	}
	got, err := Steady(samples, tr, 190*time.Millisecond)
	if err != nil {
		t.Fatal(err)
	}
	want := Throughput{ // from 200 to 1000 ms
		Queries: 800, PerSecond: 1000, CPUPerQuery: 10 * time.Microsecond, SwitchesPerQuery: 0.5,
		P50: 600 * time.Microsecond, P99: 992 * time.Microsecond,
	}
	if d := cmp.Diff(want, got); d != "" {
		t.Errorf("(-want +got):\n%s", d)
	}
}

func TestSteadyTooShort(t *testing.T) {
	one := Trace{EndMicros: []int64{at(0).UnixMicro()}, LatencyMicros: []int64{5}}
	gap := Trace{EndMicros: []int64{at(0).UnixMicro(), at(500).UnixMicro()}, LatencyMicros: []int64{5, 5}}
	samples := []Sample{{At: at(100)}, {At: at(200)}}
	for name, tc := range map[string]struct {
		samples []Sample
		tr      Trace
		warm    time.Duration
	}{
		"no transactions":            {samples, Trace{}, 0},
		"no samples":                 {nil, one, 0},
		"samples after the last":     {samples, one, 0},
		"warm-up longer than run":    {samples, gap, time.Second},
		"nothing ended in the part":  {samples, gap, 0},
		"only one sample in the run": {samples[:1], gap, 0},
	} {
		if got, err := Steady(tc.samples, tc.tr, tc.warm); !errors.Is(err, ErrTooShort) {
			t.Errorf("%s: %+v, %v, want ErrTooShort", name, got, err)
		}
	}
}

func TestReadLogs(t *testing.T) {
	prefix := filepath.Join(t.TempDir(), "log")
	for name, text := range map[string]string{
		".100":   "0 1 250 0 1800000000 000042\n1 1 300 0 1800000001 999999\n",
		".100.1": "2 7 90 0 1800000002 5\n",
	} {
		if err := os.WriteFile(prefix+name, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	got, err := ReadLogs(prefix)
	if err != nil {
		t.Fatal(err)
	}
	want := Trace{
		EndMicros:     []int64{1800000000_000042, 1800000001_999999, 1800000002_000005},
		LatencyMicros: []int64{250, 300, 90},
	}
	if d := cmp.Diff(want, got); d != "" {
		t.Errorf("(-want +got):\n%s", d)
	}
	if none, err := ReadLogs(prefix + "absent"); err != nil || len(none.EndMicros) != 0 {
		t.Errorf("no logs: %v, %v", none, err)
	}
}

func TestParseRefuses(t *testing.T) {
	for name, text := range map[string]string{
		"cut line":           "0 1 250 0 18000",
		"failed transaction": "0 1 failed 0 1800000000 42\n",
		"word for a moment":  "0 1 250 0 now 42\n",
		"very long line":     strings.Repeat("1 ", 100_000),
	} {
		if err := new(Trace).parse(strings.NewReader(text)); err == nil {
			t.Errorf("%s: accepted", name)
		}
	}
}

func TestBusy(t *testing.T) {
	const line = "cpu  100 20 3000 999999 888888 40 50 6 70 80"
	for _, text := range []string{line, line + "\ncpu0 1 2 3 4 5 6 7 8 9 10\n"} {
		if got, err := busy(text, false); err != nil || got != 32160*time.Millisecond {
			t.Errorf("busy = %v, %v", got, err)
		}
		if got, err := busy(text, true); err != nil || got != 31260*time.Millisecond {
			t.Errorf("busy without interrupts = %v, %v", got, err)
		}
	}
	for _, text := range []string{"", "cpu 1 2 3", "intr 1 2 3 4 5 6 7 8 9", "cpu 1 2 3 4 5 6 7 x 9"} {
		if got, err := busy(text, false); err == nil {
			t.Errorf("busy(%q) = %v, want an error", text, got)
		}
	}
}

func TestOthersPercent(t *testing.T) {
	from := Usage{Machine: 100 * time.Second, Own: 10 * time.Second}
	to := Usage{Machine: 112 * time.Second, Own: 20 * time.Second}
	if got := OthersPercent(from, to, 10*time.Second, 2); got != 10 {
		t.Errorf("2 of 20 seconds = %v %%", got)
	}
	// The two clocks are read differently, so a little less than nothing can come out.
	if got := OthersPercent(from, Usage{Machine: 119 * time.Second, Own: 30 * time.Second}, 10*time.Second, 2); got != 0 {
		t.Errorf("less than nothing = %v %%", got)
	}
}

func TestNowGoesOn(t *testing.T) {
	a, err := Now()
	if err != nil {
		t.Fatal(err)
	}
	b, err := Now()
	if err != nil || b.Machine < a.Machine || b.Own < a.Own || a.Own == 0 {
		t.Errorf("%+v, then %+v, %v", a, b, err)
	}
}

func TestWaitedFor(t *testing.T) {
	const after = " S 1 7 7 0 -1 4194560 1 2 3 4 11 12 150 25 20 0 1 0 100"
	for _, head := range []string{"7 (sleep)", "7 (a) b (c))"} {
		if got, err := waitedFor(head + after); err != nil || got != 1750*time.Millisecond {
			t.Errorf("waitedFor after %q = %v, %v", head, got, err)
		}
	}
	for _, text := range []string{"", "7 (sleep) S 1", "7 (sleep) S 1 7 7 0 -1 4194560 1 2 3 4 11 12 x 25 20"} {
		if got, err := waitedFor(text); err == nil {
			t.Errorf("waitedFor(%q) = %v, want an error", text, got)
		}
	}
}

// TestTreeCountsDescendants lets a grandchild work, and looks while it is alive.
func TestTreeCountsDescendants(t *testing.T) {
	before, err := Now()
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command("/bin/sh", "-c", `sh -c 'i=0; while [ $i -lt 200000 ]; do i=$((i+1)); done; echo done; exec sleep 60' & wait`)
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Skip("no shell: ", err)
	}
	if _, err := out.Read(make([]byte, 8)); err != nil {
		t.Error(err)
	}
	alive, err := Now()
	if err != nil {
		t.Error(err)
	}
	if err := syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL); err != nil {
		t.Error(err)
	}
	_ = cmd.Wait() // "signal: killed"
	if used := alive.Own - before.Own; used < 10*time.Millisecond {
		t.Errorf("a grandchild that counts to 200,000 adds %v", used)
	}
}
