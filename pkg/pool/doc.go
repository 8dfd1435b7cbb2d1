// SPDX-License-Identifier: Apache-2.0

// Package pool decides who gets which database connection.
//
// A Group stands for one target: one database server whose connections are
// limited by one budget. Its Pools hold the connections of one user and
// database each. A session that needs a connection borrows one, and releases it
// when its transaction is over. What cannot be served at once waits in order.
//
// The package only decides. It opens no socket, reads no clock, starts no
// goroutine: time comes in as an argument (monotonic, since any fixed moment),
// and what has to be done comes out as Actions, which the caller carries out
// after the call, outside of the group's lock. Every method of Group may be
// called from any goroutine.
//
// # Life of a connection
//
//	Dial action -> Dialed -> idle <-> borrowed -> Close action -> Closed
//
// From the Dial action until Dialed reports a failure, or else until Closed (or
// Lost), a connection occupies one slot of the budget: the server counts it for
// as long as it has not let go, and so does the group.
//
// # Who gets what
//
// A borrower gets, in this order: an idle connection with its own settings (on
// its own loop first), an idle one without any settings, a new one if the budget
// allows, any other idle one (its settings are then replaced by the session), or
// a place in the queue of its pool. Connections are dialled one per waiter, at
// once. A waiter is not tied to the dial that it caused: it takes whatever
// becomes free first, and a finished dial goes to whoever waits then.
//
// Waiters are served in order of arrival, except that a connection prefers
// waiters of the loop it lives on, because moving a socket is not free. Nobody
// is overtaken in this way more than Options.MaxOvertakes times.
//
// When the budget is used up, pools take slots from each other: see demand.go.
package pool
