// SPDX-License-Identifier: Apache-2.0

package admin

import "time"

// Source is what the admin listener asks the running daemon. Its methods are called from several goroutines, for each
// request anew.
type Source interface {
	// Snapshot returns the figures of this moment. The caller owns what it gets. Figures of one snapshot need not be of
	// exactly one moment, but a counter never falls.
	Snapshot() Snapshot
	// Ready returns the checks that decide whether clients should be sent here: ready means that all are OK.
	Ready() []Check
}

// Check is one condition of being ready. It is shown to whoever asks, so it holds nothing that is secret.
type Check struct {
	// Name is a short word that stays the same: "draining", "target_group/default".
	Name string `json:"name"`
	OK   bool   `json:"ok"`
	// Detail says why it is as it is, for people.
	Detail string `json:"detail,omitempty"`
}

// Snapshot is the state of the daemon in figures: all that /metrics and /status show. Maps from reasons hold every known
// reason, those with zero too, so that a rate can be taken of the first event.
type Snapshot struct {
	Version string    `json:"version"`
	Started time.Time `json:"started"`
	// Draining is true from the moment a stop was asked for.
	Draining bool `json:"draining"`
	// Loops is the number of event loops.
	Loops  int    `json:"loops"`
	Reload Reload `json:"reload"`
	// SecretsFailing counts secrets whose last reading failed.
	SecretsFailing int `json:"secrets_failing"`
	// SessionPanics counts sessions ended by a panic.
	SessionPanics uint64        `json:"session_panics"`
	Endpoints     []Endpoint    `json:"endpoints"`
	TargetGroups  []TargetGroup `json:"target_groups"`
}

// Reload tells of the last reading of the configuration, the one at the start included.
type Reload struct {
	OK   bool      `json:"ok"`
	Time time.Time `json:"time"`
	// Succeeded is when one last succeeded.
	Succeeded time.Time `json:"succeeded"`
}

// ByTLS splits a number by whether the connection has TLS.
type ByTLS struct {
	TLS   uint64 `json:"tls"`
	Plain uint64 `json:"plain"`
}

// Endpoint holds the figures of one endpoint.
type Endpoint struct {
	Name        string `json:"name"`
	Listen      string `json:"listen"`
	TargetGroup string `json:"target_group"`
	Role        string `json:"role"`

	// ClientConnections are open now, those that have not logged in yet included.
	ClientConnections ByTLS `json:"client_connections"`
	// Unauthenticated are those of them that have not logged in yet.
	Unauthenticated uint64 `json:"unauthenticated"`
	// Waiting clients want a database connection and have none.
	Waiting uint64 `json:"waiting"`

	// Received counts accepted connections, SetupSucceeded logins, SetupFailed attempts by why they ended; Closed counts
	// logged-in connections that ended, by why.
	Received       uint64            `json:"received"`
	SetupSucceeded uint64            `json:"setup_succeeded"`
	SetupFailed    map[string]uint64 `json:"setup_failed"`
	Closed         map[string]uint64 `json:"closed"`

	// BorrowLatency is the time from wanting a database connection to having one.
	BorrowLatency  Histogram `json:"borrow_latency"`
	BorrowTimeouts uint64    `json:"borrow_timeouts"`

	// SimpleQueries counts Query messages, ExtendedQueries Execute messages.
	SimpleQueries   ByTLS `json:"simple_queries"`
	ExtendedQueries ByTLS `json:"extended_queries"`
	// QueryResponse is the time from the arrival of a request to its last reply, DatabaseResponse the part of it spent at
	// the database.
	QueryResponse    Latency `json:"query_response"`
	DatabaseResponse Latency `json:"database_response"`

	// Interrupted counts losses of a database connection under a client, by the SQLSTATE that the client got for it; "none" is
	// when it has noticed nothing.
	Interrupted map[string]uint64 `json:"interrupted"`
	// CancelRequests counts them by what became of them.
	CancelRequests map[string]uint64 `json:"cancel_requests"`
}

// TargetGroup holds the figures of one target group.
type TargetGroup struct {
	Name   string `json:"name"`
	Engine string `json:"engine"`
	// MaxConnections is the database's own limit; 0 while unknown.
	MaxConnections uint64 `json:"max_connections"`
	// MaxConnectionsAllowed is the budget.
	MaxConnectionsAllowed uint64 `json:"max_connections_allowed"`

	// Borrows counts connections lent; the others count those of them that came after a wait, with settings of the session
	// to be replayed, or from another event loop.
	Borrows  uint64 `json:"borrows"`
	Waited   uint64 `json:"waited"`
	Replayed uint64 `json:"replayed"`
	Moved    uint64 `json:"moved"`

	// Pins counts, by reason, how often a session became pinned; Unpins how often one was free again before it ended.
	Pins   map[string]uint64 `json:"pins"`
	Unpins uint64            `json:"unpins"`

	// Failover tells of the group's writer.
	Failover Failover `json:"failover"`

	Targets []Target `json:"targets"`
	Pools   []Pool   `json:"pools"`
}

// Failover tells how a target group follows its writer.
type Failover struct {
	// Writer is host:port of the present writer; empty while there is none.
	Writer string `json:"writer,omitempty"`
	// Cause tells why that changed last, and Since when.
	Cause string    `json:"cause,omitempty"`
	Since time.Time `json:"since,omitzero"`
	// Paused tells that an operator has clients wait.
	Paused bool `json:"paused"`
	// Count counts changes of the writer; the first one is none. WithoutWriterSeconds is the time in which there was no
	// writer, the time until the first included, and LastSeconds the part of it before the latest change.
	Count                uint64  `json:"count"`
	WithoutWriterSeconds float64 `json:"without_writer_seconds"`
	LastSeconds          float64 `json:"last_seconds"`
}

// Target holds the figures of one database server.
type Target struct {
	// Name is host:port.
	Name string `json:"name"`
	// Role is read_write, read_only or unknown.
	Role string `json:"role"`
	// Available says whether it serves its role; State and Reason are RDS Proxy's words for why not.
	Available bool   `json:"available"`
	State     string `json:"state"`
	Reason    string `json:"reason,omitempty"`
	// Description says more of the reason, such as the name of the secret that is missing.
	Description string `json:"description,omitempty"`
	// Since is when role or state changed last.
	Since time.Time `json:"since,omitzero"`
	// LagSeconds is how far a reader is behind the writer; nil if that is not known.
	LagSeconds *float64 `json:"lag_seconds,omitempty"`

	// Connections are open now. Of these, Borrowed are with a client, and of those, InTransaction are inside of a
	// transaction, and Pinned, by the reason that pinned it first, belong to one session. Dedicated ones never return to a
	// pool.
	Connections   ByTLS             `json:"connections"`
	Borrowed      uint64            `json:"borrowed"`
	InTransaction uint64            `json:"in_transaction"`
	Pinned        map[string]uint64 `json:"pinned"`
	Dedicated     uint64            `json:"dedicated"`

	// Requests counts attempts to open a connection, by whether TLS was asked for.
	Requests       ByTLS             `json:"requests"`
	SetupSucceeded uint64            `json:"setup_succeeded"`
	SetupFailed    map[string]uint64 `json:"setup_failed"`
	Closed         map[string]uint64 `json:"closed"`

	// Response is the time that the database took to answer requests.
	Response Latency `json:"response"`
}

// Pool holds the figures of the connections of one user to one database.
type Pool struct {
	User      string `json:"user"`
	Database  string `json:"database"`
	Idle      uint64 `json:"idle"`
	Borrowed  uint64 `json:"borrowed"`
	Dedicated uint64 `json:"dedicated"`
	Opening   uint64 `json:"opening"`
	Closing   uint64 `json:"closing"`
	Waiting   uint64 `json:"waiting"`
	// Error is why the last connection could not be opened, in words fit for the log; empty after a success.
	Error string `json:"error,omitempty"`
}

// Latency sums up durations.
type Latency struct {
	Count      uint64  `json:"count"`
	SumSeconds float64 `json:"sum_seconds"`
}

// Histogram counts durations by size.
type Histogram struct {
	// Bounds are upper bounds in seconds, growing, each included in its bucket.
	Bounds []float64 `json:"bounds"`
	// Counts holds one number per bound, and one more for what is above them all. Each event is in one bucket only.
	Counts     []uint64 `json:"counts"`
	SumSeconds float64  `json:"sum_seconds"`
}

// BorrowBounds are the bounds, in seconds, meant for Endpoint.BorrowLatency: from a connection that is there already to the
// longest borrow timeout. It is an array so that no one can change them for others.
var BorrowBounds = [...]float64{
	50e-6, 100e-6, 250e-6, 500e-6, 1e-3, 2.5e-3, 5e-3, 10e-3, 25e-3, 50e-3, 100e-3, 250e-3, 500e-3, 1, 2.5, 5, 10, 30, 60, 120, 300,
}
