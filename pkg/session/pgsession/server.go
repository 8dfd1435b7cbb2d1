// SPDX-License-Identifier: Apache-2.0

package pgsession

import "github.com/rdsproxy/rdsproxy/pkg/sqlscan"

// Server is the protocol state of one database connection, which outlives its
// borrowers. Only its present borrower, or Idle* while it has none, may touch
// it.
type Server struct {
	shared *Shared

	// InitQuery tells that an init query has set the connection up. What it set is
	// gone after DISCARD ALL or RESET ALL, so a connection on which that ran, or
	// would have to, is thrown away. It is set before the first borrower comes.
	InitQuery bool
	// MaxStatements is how many prepared statements the connection keeps for its
	// borrowers, at least 1; as in Shared, unless it is set before the first
	// borrower comes.
	MaxStatements int

	owed ledger
	// prepared is what the proxy prepared here.
	prepared preparedSet
	// unnamed says whose unnamed statement is in place, 0 for nobody's, and
	// unnamedSince which request has put it there.
	unnamed      uint64
	unnamedSince stamp
	// applied are the settings in force beyond the connection's own start.
	applied *Settings
	// params is what the server reported last, and expected what it reported
	// when the borrower's settings had been applied.
	params, expected Params

	// tx is the transaction status of the last ReadyForQuery: 'I', 'T' or 'E'.
	tx byte
	// ended is the newest request that the server ends with ReadyForQuery, and
	// named the newest one that gives or takes a name.
	ended, named stamp
	// unsynced: extended-protocol messages were sent since the last message that
	// makes the server report ReadyForQuery.
	unsynced bool
	reset    resetState
	// copyIn: the server reads CopyData, and ignores Sync and Flush.
	copyIn bool
	// lostSyncs counts Syncs that the server ignores because it is in copy mode
	// when it reads them, and stray those of which that is not known.
	lostSyncs, stray int
	// executed counts what was executed since the last ReadyForQuery, and
	// releases are the effects of the last of it that take pins away.
	executed int
	releases sqlscan.Effects
	// ran is what that does to the transaction, ranBehind that something was executed
	// behind the end of one, and told that the batch at hand has failed, and the client
	// was told.
	ran             sqlscan.Effects
	ranBehind, told bool
	// begin is the BEGIN under way, to send it again.
	begin []byte
	// changedCatalog: a definition changed in the transaction under way.
	changedCatalog bool
	// doubt: something about the state is not known. The connection is not
	// used for another client.
	doubt bool
	// cancels counts the cancel requests under way to this connection.
	cancels int

	body body // of the message that is coming in

	// scratch and scanner serve the borrower.
	scratch []byte
	scanner sqlscan.Scanner
}

// body is the part of a message's body that has not come by yet.
type body struct {
	left uint32
	to   bodyTo
}

// bodyTo is what becomes of a body that is not held in memory.
type bodyTo uint8

const (
	bodyForward bodyTo = iota
	bodyDrop
	bodyAnswer // dropped, and then answered with the failure
	bodyScan   // forwarded, and read by the SQL scanner
)

// take says how much of n bytes belongs to the body, and counts it off.
func (b *body) take(n int) int {
	if uint64(n) > uint64(b.left) {
		n = int(b.left)
	}
	b.left -= uint32(n)
	return n
}

// NewServer describes a connection that has just logged in and reported params.
// plain says that it was started without settings, like all that are pooled.
func NewServer(sh *Shared, params Params, plain bool) *Server {
	if plain {
		sh.base.Store(&params)
	}
	return &Server{shared: sh, MaxStatements: sh.MaxStatements, params: params, tx: 'I'}
}

// Applied is what the pool compares to find a connection that needs no replay.
func (srv *Server) Applied() *Settings {
	if srv.reset.may {
		return nil // the next borrower's are put in place in any case
	}
	return srv.applied
}

// synced tells whether the server waits for a new request: nothing owed,
// nothing half received, no batch left open.
func (srv *Server) synced() bool {
	return srv.owed.empty() && srv.body.left == 0 && !srv.unsynced && !srv.copyIn
}

// inForce notes that these settings are applied.
func (srv *Server) inForce(settings *Settings) {
	srv.applied, srv.expected = settings, srv.params
}

// report notes what the server has reported.
func (srv *Server) report(name, value string) {
	srv.params = srv.params.With(name, value)
	if name == "in_hot_standby" {
		// It tells of the server, not of the session.
		srv.expected = srv.expected.With(name, value)
	}
}

// setUnnamed notes that the request sent last replaces the unnamed statement.
func (srv *Server) setUnnamed(version uint64) {
	srv.unnamed, srv.unnamedSince = version, srv.owed.newest()
}

// uncertain tells whether a request belongs to an earlier batch than the one
// being sent, and is not answered. Should that batch fail, the server ignores
// the request but not the present batch, which so must not build on it.
func (srv *Server) uncertain(since stamp) bool { return since > srv.owed.gone && since <= srv.ended }

// wouldParse tells whether the server certainly takes a Parse that it has taken
// before: not in a failed transaction. An earlier batch may yet fail.
func (srv *Server) wouldParse() bool { return srv.tx != 'E' && srv.ended <= srv.owed.gone }

// uncertainName tells whether an uncertain request gives a meaning to the
// client's name of a statement, or takes it away.
func (srv *Server) uncertainName(name []byte) bool {
	owed := &srv.owed
	if srv.named <= owed.gone {
		return false
	}
	for i := range owed.n {
		if owed.gone+stamp(i) >= srv.ended {
			break
		}
		switch e := owed.at(i); e.op {
		case opForgetAll:
			return true
		case opParse, opDefine, opForget:
			if e.name == string(name) {
				return true
			}
		}
	}
	return false
}

// uncertainNames tells whether there is such a request for any name.
func (srv *Server) uncertainNames() bool {
	owed := &srv.owed
	for i := range owed.n {
		if owed.gone+stamp(i) >= srv.ended {
			break
		}
		switch owed.at(i).op {
		case opForgetAll, opParse, opDefine, opForget:
			return true
		}
	}
	return false
}

// uncertainStatement is the same for a statement prepared on the server.
func (srv *Server) uncertainStatement(st Statement) bool {
	pr := srv.prepared.get(st)
	return pr != nil && srv.uncertain(pr.since)
}

// Key is Applied in the form that the pool compares.
func (srv *Server) Key() any { return srv.Applied().Key() }
