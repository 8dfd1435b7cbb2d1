// SPDX-License-Identifier: Apache-2.0

//go:build !linux

package netloop

// ScheduleInBatches does nothing here; it is for Linux.
func ScheduleInBatches() error { return nil }
