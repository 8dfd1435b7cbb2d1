// SPDX-License-Identifier: Apache-2.0

// Package failover has the daemon in front of real servers that replicate, while
// their writer fails and another takes its place.
//
// Clients write all the time, others are idle. Whatever happens to the writer, no
// client loses its connection, idle ones see nothing, and what writing clients were
// told is true (test/history). How long writing was not possible is measured and
// logged; a bound would only test the machine.
package failover
