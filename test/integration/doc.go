// SPDX-License-Identifier: Apache-2.0

// Package integration holds the tests of the whole: a real PostgreSQL, the real
// daemon in front of it and real clients (psql, pgbench, pg_dump, pgx).
//
// A test states what a client may expect. Most of them therefore also pass without
// the proxy, with RDSPROXY_TEST_DIRECT=1, which tells a wrong test from a wrong proxy.
//
// Larger sizes by environment: RDSPROXY_TEST_DUMP_MB (size of the dumped database),
// RDSPROXY_TEST_RESULT_MB (size of the result that a slow client reads).
package integration
