// SPDX-License-Identifier: Apache-2.0

// Package history checks that no write was lost, made up or applied twice, by what
// clients noted of their writes and by what is in the table at the end.
//
// Each write has an id that no other write has, and inserts one row per id into a
// table without a unique index, so that a second application would be seen. A client
// notes the write and what it was told, in its own Log; a transaction of several
// writes is noted as one operation with all of their ids. Check compares: what was acknowledged
// is there exactly once; what certainly failed is not there; of what nobody knows,
// all is there once or nothing is. Nothing else is there.
//
// It proves what it can see: a database that loses an acknowledged commit by itself
// looks the same as a proxy that loses it. So the database has to be synchronous
// (replicas.Options.Synchronous).
package history
