// SPDX-License-Identifier: Apache-2.0

// Package report holds the pure half of the benchmark: the arithmetic on measured values, the shape of the result file, and the
// table, Markdown and SVG made from it. It runs nothing and reads no clock.
package report

import (
	"cmp"
	"math"
	"slices"
)

// Percentile gives the nearest-rank percentile of sorted, which must be in ascending order: the smallest element such that at
// least p percent of all elements are not above it. p is held to 0..100. An empty slice gives the zero value.
func Percentile[T cmp.Ordered](sorted []T, p float64) T {
	var zero T
	if len(sorted) == 0 {
		return zero
	}
	rank := int(math.Ceil(p / 100 * float64(len(sorted))))
	return sorted[min(max(rank-1, 0), len(sorted)-1)]
}

// Median gives the middle of values, or the mean of the two in the middle. It leaves values as they are. No values give NaN.
func Median(values []float64) float64 {
	n := len(values)
	if n == 0 {
		return math.NaN()
	}
	s := slices.Clone(values)
	slices.Sort(s)
	if n%2 == 1 {
		return s[n/2]
	}
	return (s[n/2-1] + s[n/2]) / 2
}

// ratio is a/b, or NaN when b is zero: a peer that measured zero has no ratio.
func ratio(a, b float64) float64 {
	if b == 0 {
		return math.NaN()
	}
	return a / b
}

// significant rounds v to n significant decimal digits, so that the result file does not claim a precision nobody measured.
func significant(v float64, n int) float64 {
	if v == 0 || math.IsNaN(v) || math.IsInf(v, 0) {
		return v
	}
	scale := math.Pow(10, float64(n-1)-math.Floor(math.Log10(math.Abs(v))))
	if math.IsInf(scale, 0) {
		return v
	}
	return math.Round(v*scale) / scale
}
