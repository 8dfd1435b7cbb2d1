// SPDX-License-Identifier: Apache-2.0

package failover

import (
	"iter"
	"time"
)

// Role is what a member is, in RDS Proxy's words.
type Role string

// The roles.
const (
	RoleUnknown Role = "UNKNOWN"
	RoleWriter  Role = "READ_WRITE"
	RoleReader  Role = "READ_ONLY"
)

// State is a member's health (TargetHealth.State of RDS Proxy).
type State string

// The states.
const (
	StateRegistering State = "REGISTERING" // not heard of yet
	StateAvailable   State = "AVAILABLE"
	StateUnavailable State = "UNAVAILABLE"
)

// Reason tells why a member is unavailable (TargetHealth.Reason of RDS Proxy).
type Reason string

// The reasons.
const (
	ReasonNone Reason = ""
	// ReasonUnreachable: no connection, or no answer in time.
	ReasonUnreachable Reason = "UNREACHABLE"
	// ReasonConnectionFailed: the server is there, but breaks the connection off,
	// is starting or stopping, or refuses the questions.
	ReasonConnectionFailed Reason = "CONNECTION_FAILED"
	// ReasonAuthFailure: the login is refused.
	ReasonAuthFailure Reason = "AUTH_FAILURE"
	// ReasonReplication: the member accepts writes beside the writer, or does not
	// replicate.
	ReasonReplication Reason = "INVALID_REPLICATION_STATE"
	// ReasonPromoted: a former reader accepts writes, but is not the writer.
	ReasonPromoted Reason = "PROMOTED"
)

// Health is how a member is.
type Health struct {
	State       State
	Reason      Reason
	Description string // for people
}

// UnknownLag is the lag of a member of which none is known.
const UnknownLag time.Duration = -1

// Member is one database server as it is seen at present.
type Member struct {
	// Address is host:port. The host is as configured, or an IP address that
	// DNS gave.
	Address string
	// Name is the host name by which the member was found; TLS certificates are
	// for that. It is the host of Address where that was configured.
	Name string
	Role Role
	// Health says whether the member answers. A writer whose probes are refused
	// (AUTH_FAILURE, for instance) is still the writer.
	Health Health
	// Lag is how far a reader is behind the writer, or UnknownLag; 0 for the writer.
	Lag time.Duration
	// AsOf is a time: all that the writer had by then, the member has. Zero if no
	// such time is known.
	AsOf time.Time
	// Since is when Role or Health.State changed last.
	Since time.Time
}

// Topology is what is known of the members. It is immutable.
type Topology struct {
	// Generation counts the writers: it grows when the writer is at another
	// address, or at the same address another server, or the same server after a
	// restart. 0: there has been none yet. It does not grow while there is no
	// writer.
	Generation uint64
	// Writer is the address of the member that is to be written to; "" while
	// there is none.
	Writer string
	// Cause tells why Writer or Generation changed last, and Changed when.
	Cause   string
	Changed time.Time
	// Survivors is set if the latest generation is the same server after a restart:
	// connections to it that were opened at that time or later lead to the new run, or
	// have ended with the old one. Zero: no connection of before Changed is of use.
	Survivors time.Time
	// Members are in the order in which they were configured or found.
	Members []Member
}

// WriterMember returns the writer.
func (t *Topology) WriterMember() (Member, bool) {
	if t.Writer == "" {
		return Member{}, false
	}
	return t.Member(t.Writer)
}

// Member returns the member with that address.
func (t *Topology) Member(address string) (Member, bool) {
	for _, m := range t.Members {
		if m.Address == address {
			return m, true
		}
	}
	return Member{}, false
}

// Readers gives the members that can be read from: available, and no writer. Their
// lag is not looked at.
func (t *Topology) Readers() iter.Seq[Member] {
	return func(yield func(Member) bool) {
		for _, m := range t.Members {
			if m.Role == RoleReader && m.Health.State == StateAvailable && !yield(m) {
				return
			}
		}
	}
}

// equal compares all but the lags, and times like them, which change with each probe.
func (t *Topology) equal(o *Topology) bool {
	if t.Generation != o.Generation || t.Writer != o.Writer || t.Cause != o.Cause ||
		!t.Survivors.Equal(o.Survivors) || len(t.Members) != len(o.Members) {
		return false
	}
	for i, m := range t.Members {
		m.Lag, m.AsOf = o.Members[i].Lag, o.Members[i].AsOf
		if m != o.Members[i] {
			return false
		}
	}
	return true
}
