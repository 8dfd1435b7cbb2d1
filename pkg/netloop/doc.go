// SPDX-License-Identifier: Apache-2.0

// Package netloop runs many stream sockets on one goroutine.
//
// A proxy relays bytes between sockets for hours, and most of its sockets are
// idle most of the time. A goroutine and a buffer for each of them cost more
// than the work itself. Here a [Loop] owns the sockets: it waits for all of
// them at once, reads into one buffer of its own, hands the bytes to the
// connection's [Handler], and sends what the handlers wrote, with one read and
// one write system call per event. An idle connection holds no buffer and no
// goroutine.
//
// Where code is easier to write in the blocking way - a TLS handshake, a login
// - it runs on a goroutine over a [Transport], which is an ordinary net.Conn at
// that time. [Loop.Attach] then moves the socket, with the TLS state on top of
// it, onto the loop.
//
// The package knows no protocol. A Handler sees a stream of bytes cut anywhere;
// it may leave bytes unconsumed and is given them again with more behind them.
// Back-pressure is explicit: a handler asks [Conn.OverHighWater] of the
// connection it writes to, pauses reading of the one it reads from, and resumes
// in Drained.
//
// All methods of Loop, Conn and Timer belong to the loop goroutine, except
// [Loop.Post] and [Loop.Stop], which may be called from anywhere. Nothing in
// this package locks on the way of the bytes.
//
// Two drivers exist. "epoll" (Linux) is the fast one. "portable" works
// wherever Go does and over any net.Conn; it spends a goroutine per connection
// and serves other platforms and tests. docs/netloop.md has the reasons behind
// the design, the figures, and the pitfalls.
package netloop
