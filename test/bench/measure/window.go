// SPDX-License-Identifier: Apache-2.0

//go:build linux

package measure

import (
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/rdsproxy/rdsproxy/test/bench/report"
)

// Trace is the list of a load's finished transactions, in no particular order. The two slices run in parallel.
type Trace struct {
	EndMicros     []int64 // moment of the end, microseconds since 1970
	LatencyMicros []int64
}

// Throughput is what one load run showed while it was steady.
type Throughput struct {
	Queries          int
	PerSecond        float64
	CPUPerQuery      time.Duration
	SwitchesPerQuery float64
	P50, P99         time.Duration
}

// ErrTooShort tells that a load run held no steady part to measure in.
var ErrTooShort = errors.New("the load run is too short to measure in")

// Steady cuts the steady part out of a load run and computes the figures of it. The part begins with the first sample that is warm after
// the first transaction's end and ends with the last sample before the last transaction's end; logins, the start and the tail of
// the run, in which clients finish one by one, are outside.
func Steady(samples []Sample, tr Trace, warm time.Duration) (Throughput, error) {
	if len(tr.EndMicros) == 0 {
		return Throughput{}, fmt.Errorf("%w: no transaction was logged", ErrTooShort)
	}
	first := time.UnixMicro(slices.Min(tr.EndMicros)).Add(warm)
	last := time.UnixMicro(slices.Max(tr.EndMicros))
	from, to := -1, -1
	for i, s := range samples {
		if from < 0 && !s.At.Before(first) {
			from = i
		}
		if !s.At.After(last) {
			to = i
		}
	}
	if from < 0 || to <= from {
		return Throughput{}, ErrTooShort
	}
	return between(samples[from], samples[to], tr)
}

// between computes the figures of the transactions that ended after a and not after b.
func between(a, b Sample, tr Trace) (Throughput, error) {
	from, to := a.At.UnixMicro(), b.At.UnixMicro()
	var latencies []int64
	for i, end := range tr.EndMicros {
		if end > from && end <= to {
			latencies = append(latencies, tr.LatencyMicros[i])
		}
	}
	n := len(latencies)
	if n == 0 {
		return Throughput{}, fmt.Errorf("%w: no transaction ended in it", ErrTooShort)
	}
	slices.Sort(latencies)
	micros := func(p float64) time.Duration {
		return time.Duration(report.Percentile(latencies, p)) * time.Microsecond
	}
	return Throughput{
		Queries:          n,
		PerSecond:        float64(n) / b.At.Sub(a.At).Seconds(),
		CPUPerQuery:      (b.CPU - a.CPU) / time.Duration(n),
		SwitchesPerQuery: float64(b.Switches-min(a.Switches, b.Switches)) / float64(n),
		P50:              micros(50),
		P99:              micros(99),
	}, nil
}
