// SPDX-License-Identifier: Apache-2.0

// Package failover knows which database server is the writer.
//
// A Watcher per target group asks the members what they are, follows the DNS name
// of the writer and, on Aurora, the cluster's own table of members, listens to
// what the relays have noticed, and publishes a Topology: an immutable value that
// readers take without a lock. Its Generation grows whenever connections that were
// opened before do not lead to the writer any more.
//
// # Evidence
//
// Only a member's own answer, that it accepts writes, makes it the writer. DNS and
// Aurora's table find members, and decide between several that accept writes;
// they never make a writer of a member that says that it is none. A member
// that is silent is doubted, not deposed: the writer is given up when it says that
// it is read-only, when another member has become one, or when it has failed twice
// in a row. What cannot be understood changes nothing.
//
// # Rhythm
//
// When all is well each member is asked once a second. While in doubt (a member
// has failed or changed, a relay has met something odd, there is no writer) all
// members are asked every 100 ms, side by side, each on a connection of its own
// that stays open. No question waits for the answer to another.
//
// # Structure
//
// The core decides: events come in with the time, a topology and what is to be
// done come out. It has no clock, no goroutine and no socket. The Watcher runs it.
// How a member is asked is a Prober's business (pkg/target has them), how a name is
// resolved a Resolver's.
package failover
