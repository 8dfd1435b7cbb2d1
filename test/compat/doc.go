// SPDX-License-Identifier: Apache-2.0

// Package compat runs the test suites of PostgreSQL drivers twice, against a
// database and against the daemon in front of an equal database, and compares
// them test by test.
//
// A suite comes from the Go module cache by its exact version and is copied into
// the cache folder of the tests, because the module cache is read-only and some
// suites make files beside their sources. The daemon shares its connections by
// transaction, with fewer of them than the suite opens.
//
// What differs must be in expected/*.txt, with a reason; what is there and no
// longer differs fails as well, so the lists stay true. docs/compatibility.md
// explains the reasons.
//
// With RDSPROXY_TEST_COMPAT_RUN set to a regular expression, only the top-level
// tests that match it are run, and entries of the list that were not met are no
// error.
package compat
