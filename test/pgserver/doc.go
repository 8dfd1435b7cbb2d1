// SPDX-License-Identifier: Apache-2.0

// Package pgserver starts real PostgreSQL servers for tests, for benchmarks and
// for `make run`.
//
// A server lives in a folder of its own below the temporary folder, runs as an
// unprivileged user, listens on a free port of a loopback address and is gone,
// with its folder, when it is stopped. It dies with the process that started it,
// however that process ends. Servers of the machine are never touched.
//
// The programs come from the distribution's packages (any version; installed by
// apt-get when they are missing and that is permitted) or, for a particular major
// version, from an npm package that carries them, kept in a cache folder outside
// the checkout. Where neither is to be had, tests are skipped with the reason and
// the number of skipped tests is printed; with CI=true they fail instead.
package pgserver
