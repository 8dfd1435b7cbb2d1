// SPDX-License-Identifier: Apache-2.0

// Package mysql holds the tests of the whole for MySQL and MariaDB: real servers, the
// real daemon in front of them and real clients (sysbench, mysqldump, mariadb, and
// test/myclient, which shows every field of a reply).
//
// The scripts in testdata are run on the database itself and through the proxy, where
// other clients change everything that a session can have between any two statements.
// What the clients of the script are told must be the same, byte for byte.
//
// Larger sizes by environment: RDSPROXY_TEST_SYSBENCH_SECONDS, RDSPROXY_TEST_DUMP_MB,
// RDSPROXY_TEST_RESULT_MB, RDSPROXY_TEST_BLOB_MB.
package mysql
