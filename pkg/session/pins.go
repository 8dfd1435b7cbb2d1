// SPDX-License-Identifier: Apache-2.0

// Package session holds what the session machines of all database engines
// share: the vocabulary of pinning.
//
// A client session is pinned when it has, or may have, state on its database
// connection that another client must not see and that cannot be rebuilt
// elsewhere. A pinned session keeps its database connection until the state is
// gone or the client leaves. Every cause of a pin has a reason with a stable
// name, which metrics and logs use.
package session

import (
	"math/bits"
	"strings"
)

// Pins is a set of reasons why a session keeps its database connection.
type Pins uint64

// The reasons. Their names (String) are part of the metrics' interface.
const (
	PinSet Pins = 1 << iota
	PinRole
	PinPrepare
	PinListen
	PinTemporaryObject
	PinAdvisoryLock
	PinHoldCursor
	PinLoad
	PinSequence
	PinSessionFunction
	PinUnknownStatement
	PinLargeStatement
	PinUnnamedStatement
	PinClientEncoding
	PinReplication
	PinStartupParameter
	PinParameterChanged

	// Those from here on are of MySQL and MariaDB, which also have PinRole,
	// PinPrepare, PinTemporaryObject, PinAdvisoryLock, PinSequence,
	// PinUnknownStatement and PinLargeStatement.

	PinUserVariable
	PinSessionVariable
	PinSessionTrack
	PinStateChange
	PinLockTables
	PinReadLock
	PinInstanceLock
	PinNextTransaction
	PinOpenCursor
	PinLongData
	PinDiagnostics
	PinFoundRows
	PinHandler
	PinXA
	PinProcedure
	pinEnd
)

var pinNames = [...]string{
	"set", "role", "prepare", "listen", "temporary_object", "advisory_lock", "hold_cursor", "load", "sequence",
	"session_function", "unknown_statement", "large_statement", "unnamed_statement", "client_encoding",
	"replication", "startup_parameter", "parameter_changed",
	"user_variable", "session_variable", "session_track", "state_change", "lock_tables", "read_lock", "instance_lock",
	"next_transaction", "open_cursor", "long_data", "diagnostics", "found_rows", "handler", "xa",
	"procedure",
}

// PinReasons is the number of different reasons; reason i is the bit 1<<i.
const PinReasons = len(pinNames)

var _ = [1]struct{}{}[pinEnd>>PinReasons-1] // each reason has a name

// PinName gives the stable name of reason i, 0 <= i < PinReasons.
func PinName(i int) string { return pinNames[i] }

// Each calls f with the index of every reason in the set.
func (p Pins) Each(f func(reason int)) {
	for p != 0 {
		i := bits.TrailingZeros64(uint64(p))
		f(i)
		p &^= 1 << i
	}
}

// String lists the names, comma-separated; "" for the empty set.
func (p Pins) String() string {
	var names []string
	p.Each(func(i int) { names = append(names, pinNames[i]) })
	return strings.Join(names, ",")
}
