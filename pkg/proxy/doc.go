// SPDX-License-Identifier: Apache-2.0

// Package proxy puts sockets, sessions and pools together: it accepts clients,
// lets them log in, on event loops or before they move to one, and carries out
// what the pure parts decide.
//
// A worker is one event loop with the clients and database connections that
// live on it. A client stays on its worker for life; a database connection
// moves to the worker of its borrower, which the pool avoids where it can. What
// belongs to a worker is touched on its loop only; what workers share (pools,
// statement caches, cancel keys) has locks of its own.
package proxy
