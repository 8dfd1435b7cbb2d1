// SPDX-License-Identifier: Apache-2.0

// Package daemonproc runs the real rdsproxy, as a process of its own built with
// the race detector, for tests.
//
// Start writes a configuration, waits until the daemon is ready and stops it when
// the test ends. The stop is a test of its own: the daemon has to end in order,
// with exit code 0, and what it printed may not show a panic or a data race.
//
// With RDSPROXY_TEST_DIRECT=1 no daemon is started and the tests talk to the
// database itself. A test that fails then is wrong; one that fails only without
// it has found a bug of the proxy.
package daemonproc
