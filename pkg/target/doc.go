// SPDX-License-Identifier: Apache-2.0

// Package target opens connections to the database.
//
// A Dialer connects, starts TLS, logs in, runs the init query, and hands over a
// socket on which the server is idle and from which nothing has been read ahead,
// together with what the server told at login. It also delivers cancel requests,
// and asks the server for the facts that the proxy needs to know of it. All of it
// blocks, with a context, on the caller's goroutine.
//
// The login itself is pgconn's. It takes nothing from the process's environment
// and reads no files. The database is not trusted more than necessary: how much
// it may send before it is ready, how large a message may be, and how much work
// its SCRAM challenge may ask for are limited.
package target
