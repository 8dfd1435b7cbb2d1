// SPDX-License-Identifier: Apache-2.0

// Package replicas starts real servers that replicate: a writer and its readers,
// for PostgreSQL (streaming replication), MariaDB and MySQL (GTIDs).
//
// All members listen on the same port, each on a loopback address of its own, so
// that a DNS name may move from one to another. Users and passwords are the same
// everywhere. A member can be killed, frozen (a black hole: sockets stay open,
// nobody answers), stopped in order, promoted, and made a reader of the present writer
// again. With Options.Synchronous the writer acknowledges a commit only when a
// reader has it, so that none is lost by a failover.
//
// The servers are those of test/pgserver and test/myserver, with all they promise:
// an unprivileged user, folders that vanish, no server that outlives the process.
package replicas
