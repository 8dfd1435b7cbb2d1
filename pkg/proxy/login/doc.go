// SPDX-License-Identifier: Apache-2.0

// Package login holds what the logins of all engines share: why they fail, and the
// connection they are made on.
//
// A login is a dialogue with a stranger. It has a deadline, runs either on a
// goroutine of its own or as a coroutine on an event loop, and ends with the client
// let in or told why not. What is said in it is the engine's: packages pglogin and
// mylogin.
package login
