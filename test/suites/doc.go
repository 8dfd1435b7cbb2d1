// SPDX-License-Identifier: Apache-2.0

// Package suites runs test suites that others wrote for the database itself, once
// against PostgreSQL and once through the daemon, and compares the results test by
// test. A difference that is not on the list of known ones fails, and so does a known
// one that is gone.
//
// The suites come from the Go module cache. They run on few database connections,
// so that their sessions have to share them.
package suites
