// SPDX-License-Identifier: Apache-2.0

// Package machine is what tests need of the machine that they run on: a cache
// folder outside of the checkout, folders for servers, free ports, an account
// without privileges, processes that do not outlive the tests, servers that are
// started, stopped and frozen, and a way to install packages.
package machine
