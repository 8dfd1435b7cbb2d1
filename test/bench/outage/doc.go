// SPDX-License-Identifier: Apache-2.0

//go:build linux

// Package outage measures how long clients cannot write when the writer of a cluster
// dies and a reader takes its place.
//
// Several crowds of clients write to one cluster at the same time, each on a way of
// its own: through rdsproxy, through PgBouncer, and straight to the writer's DNS name.
// So all of them meet the same failure, and the same promotion, at the same moment.
// The writer is killed; a while later, as long as it takes somebody to decide on it, a reader is promoted, and in the
// moment in which it accepts writes the DNS name leads to it. What is
// counted is the time from then on: before, nobody can write.
package outage
