// SPDX-License-Identifier: Apache-2.0

package failover

import (
	"context"
	"errors"
	"net/netip"
	"time"
)

// Prober asks one member what it is. Probe is called from one goroutine at a time,
// and has to return soon after ctx ends; a login or a question that takes longer may go
// on, and answer a later call. It keeps its connection open from one call to the next
// while that works, and tries a new one before it reports that a kept one has broken.
// Errors should be of type *ProbeError; others count as Unreachable.
type Prober interface {
	Probe(ctx context.Context) (Answer, error)
	// Close lets the connection go. It is called once, after the last Probe.
	Close()
}

// Answer is what a member says of itself.
type Answer struct {
	// Asked is when the question was sent, before the present Probe perhaps. Zero
	// stands for the start of that.
	Asked time.Time
	// ReadOnly tells that ordinary sessions cannot write.
	ReadOnly bool
	// Replicates tells that the member receives changes from another server: a
	// standby, or a replica with its threads running.
	Replicates bool
	// Broken tells in words why replication does not go on, although it should;
	// "" if it does, or if the account may not know.
	Broken string

	// Cluster is the same for all servers that came from one: PostgreSQL's system
	// identifier. "" if there is no such thing.
	Cluster string
	// Server identifies the server, or this run of it. Two members with the same
	// one are one server at two addresses. "" is unknown.
	Server string
	// Started is when the server started; zero if unknown. It may be wrong by two
	// seconds.
	Started time.Time
	// Timeline is PostgreSQL's: it grows with each promotion. 0 is unknown.
	Timeline uint32
	// Position is how far the member has written, or replayed: PostgreSQL's LSN.
	// 0 is unknown. It is comparable within a Cluster.
	Position uint64
	// GTID is how far a MySQL or MariaDB has come, as it says.
	GTID string
	// Lag is how far the member says it is behind, or UnknownLag.
	Lag time.Duration

	// Remote is the IP address that the probe's connection leads to.
	Remote netip.Addr
	// Peers are the members of an Aurora cluster as this one sees them; nil if it
	// is no such cluster, or was not asked.
	Peers []Peer
}

// Peer is a row of Aurora's table of members.
type Peer struct {
	ID     string // the instance's identifier
	Writer bool
	Lag    time.Duration // or UnknownLag
}

// Kind is what a failed probe tells about the member.
type Kind uint8

// The kinds. A member with one of the last three is alive; what it is stays as it
// was known.
const (
	// Unreachable: no connection, a broken one, or no answer in time.
	Unreachable Kind = iota
	// Down: the server says that it is starting or stopping.
	Down
	// Refused: the login is refused (wrong password, no such user).
	Refused
	// Full: the server has no place for another connection.
	Full
	// Unanswered: logged in, but the question is refused, or the answer makes no sense.
	Unanswered
)

// alive tells whether a failure of this kind proves that the server runs.
func (k Kind) alive() bool { return k >= Refused }

func (k Kind) reason() Reason {
	switch k {
	case Unreachable:
		return ReasonUnreachable
	case Refused:
		return ReasonAuthFailure
	case Down, Full, Unanswered:
	}
	return ReasonConnectionFailed
}

// ProbeError is why a probe has no answer. Err must have no secrets in it.
type ProbeError struct {
	Kind Kind
	Err  error
}

func (e *ProbeError) Error() string { return e.Err.Error() }

func (e *ProbeError) Unwrap() error { return e.Err }

func kindOf(err error) Kind {
	if e, ok := errors.AsType[*ProbeError](err); ok {
		return e.Kind
	}
	return Unreachable
}
