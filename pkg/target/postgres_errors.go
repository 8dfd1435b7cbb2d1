// SPDX-License-Identifier: Apache-2.0

package target

import (
	"errors"
	"slices"
	"strings"

	"github.com/jackc/pgx/v5/pgconn"

	wire "github.com/rdsproxy/rdsproxy/pkg/wire/postgres"
)

// ServerError is what the server itself said, if err comes from it.
func ServerError(err error) (*wire.Error, bool) {
	var e *pgconn.PgError
	if !errors.As(err, &e) {
		return nil, false
	}
	return &wire.Error{Severity: e.Severity, Code: e.Code, Message: e.Message, Detail: e.Detail, Hint: e.Hint}, true
}

// SQLSTATEs (appendix A of PostgreSQL's documentation).
const (
	stateProtocolViolation    = "08P01"
	stateFeatureNotSupported  = "0A000"
	stateInvalidAuthorization = "28000"
)

// permanentStates are classes or single SQLSTATEs with which a server refuses
// for good. Not among them are 53300 (too many connections), 57P03 (starting up
// or shutting down) and their kin.
var permanentStates = []string{
	"0A",    // feature not supported, such as a protocol version
	"22",    // bad value of a start-up parameter, or in the init query
	"28",    // wrong password, no such role, nothing in pg_hba.conf
	"3D",    // no such database
	"3F",    // no such schema
	"42",    // no privilege to connect, unknown parameter, syntax of the init query
	"55000", // the database accepts no connections
}

func permanentState(err error) bool {
	e, ok := ServerError(err)
	return ok && slices.ContainsFunc(permanentStates, func(s string) bool { return strings.HasPrefix(e.Code, s) })
}

// refusesVersion tells whether the server, or what stands in front of it, cannot
// negotiate the protocol version, as PostgreSQL before 9.3 or old poolers.
func refusesVersion(err error) bool {
	e, ok := ServerError(err)
	return ok && (e.Code == stateFeatureNotSupported || e.Code == stateProtocolViolation) &&
		strings.Contains(e.Message, "protocol")
}
