// SPDX-License-Identifier: Apache-2.0

//go:build !race

package netloop_test

const raceEnabled = false
