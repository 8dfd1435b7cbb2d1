// SPDX-License-Identifier: Apache-2.0

//go:build !linux

package netloop_test

func runChild() {}
