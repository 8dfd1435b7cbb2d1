// SPDX-License-Identifier: Apache-2.0

//go:build linux

// Package myload loads a MySQL server, or a proxy in front of one, and notes when every single query ended and how long it took.
//
// It is lean, because it shares the machine with what it measures: a client is a socket on an event loop and a few words of state, its
// query is written into a buffer that it keeps, and of a reply only the packets' headers and first bytes are looked at. sysbench, a thread per
// client, takes several times the CPU, and its histogram is too coarse for percentiles.
package myload
