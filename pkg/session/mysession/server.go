// SPDX-License-Identifier: Apache-2.0

package mysession

import (
	"maps"
	"strconv"

	"github.com/rdsproxy/rdsproxy/pkg/sqlscan/myscan"
	wire "github.com/rdsproxy/rdsproxy/pkg/wire/mysql"
)

// Server is the protocol state of one database connection, which outlives its
// borrowers. Only its present borrower, or IdleData while it has none, may touch
// it.
type Server struct {
	shared *Shared
	// caps are what was agreed with the server.
	caps     wire.Capabilities
	threadID uint32
	mariaDB  bool
	// setup and unrepeatable are as in ServerFacts.
	setup        string
	unrepeatable bool
	base         map[string]string
	collation    uint16
	mode         myscan.Mode

	x exchange
	// status is that of the last packet that had one.
	status wire.Status
	// unsure: the last reply was an error, which tells no status. What failed may
	// have begun a transaction.
	unsure bool
	// prepared is what the proxy prepared here.
	prepared preparedSet
	// applied are the settings in force.
	applied *Settings
	// lastID is what LAST_INSERT_ID() gives here; idChanged: it may be another by
	// now, the borrower's.
	lastID    uint64
	idChanged bool
	// idSame: an OK packet told of the very id that was there before.
	idSame bool

	// multi: multi-statements are allowed.
	multi bool
	// schemaAsked: the default schema is known, although no tracker tells of it.
	schemaAsked bool
	// allAsked: so are the variables that are tracked, until the client's next command.
	allAsked bool
	// askVariables: some of the unreliable variables may have changed; askAll: any.
	// askDatabase: collationDatabase is one of them.
	askVariables, askAll, askDatabase bool
	// learnsReset: what a reset has made of the character sets is to be found out.
	learnsReset bool
	// trackers are the values of the session_track variables that the connection would
	// have without the proxy. foreign: the client's are in force, not the proxy's.
	trackers *trackers
	foreign  bool

	// doubt: something about the state is not known. The connection is not used
	// for another client.
	doubt bool
	// cancels counts the requests to kill a query that are under way.
	cancels int

	// emptyList: its list of warnings is empty. ownList: what is in it is of the session
	// that has the connection.
	emptyList, ownList bool

	// scanner serves the borrower, and scratch is for what is made up for one call of the host.
	scanner myscan.Scanner
	scratch []byte
	block   []byte
	// write is the borrower's write under way, to send it again.
	write []byte
}

// ServerFacts is what is known of a connection that has just been opened and set up.
type ServerFacts struct {
	// Capabilities are those agreed on with the server.
	Capabilities wire.Capabilities
	ThreadID     uint32
	MariaDB      bool
	Status       wire.Status
	// Schema and Base are what is in force after the set-up: the default schema, ""
	// for none, and the values of the variables that are tracked, by their names in
	// lower case.
	Schema string
	Base   map[string]string
	// Collation is the number of the collation that it logged in with.
	Collation uint16
	// Setup is the statement that set the connection up, to be said again after
	// COM_RESET_CONNECTION.
	Setup string
	// Unrepeatable: more than that has set it up, such as an init query or the
	// server's init_connect. It is thrown away rather than reset.
	Unrepeatable bool
}

// NewServer describes a connection that has just been opened and set up.
func NewServer(sh *Shared, f *ServerFacts) *Server {
	base := maps.Clone(f.Base)
	maps.DeleteFunc(base, func(name, _ string) bool { return isTracker(name) && name != trackGTIDs })
	if name := wire.CollationName(f.Collation); name != "" && wire.CharsetOf(name) == base["character_set_results"] {
		base[collationOfResults] = strconv.Itoa(int(f.Collation))
	}
	srv := &Server{
		shared: sh, caps: f.Capabilities, threadID: f.ThreadID, mariaDB: f.MariaDB, status: f.Status,
		setup: f.Setup, unrepeatable: f.Unrepeatable, base: base, collation: f.Collation, emptyList: true,
		multi:   f.Capabilities.Has(wire.ClientMultiStatements),
		mode:    sqlMode(f.Base["sql_mode"]),
		applied: sh.settingsOf(f.Schema, nil),
		trackers: newTrackers(func(name string) (string, bool) {
			value, ok := f.Base[name]
			return value, ok
		}),
	}
	if charset, ok := f.Base["character_set_client"]; ok {
		srv.mode |= myscan.CharsetMode(charset)
	}
	if f.MariaDB {
		srv.mode |= myscan.ModeMariaDB
	}
	sh.base.Store(&base)
	if f.MariaDB {
		sh.mariaDB.Store(true)
	}
	return srv
}

// Applied is what is in force there.
func (srv *Server) Applied() *Settings { return srv.applied }

// Key is Applied in the form that the pool compares.
func (srv *Server) Key() any { return srv.applied.Key() }

// ThreadID is the number of the connection on the server.
func (srv *Server) ThreadID() uint32 { return srv.threadID }

// IdleData takes bytes from a database connection that nobody has borrowed. A
// server has nothing to say then but its last words (an ERR packet on time-out,
// shutdown or KILL), and reading these as the answer to the next command would be
// a mistake. So ok is always false if there is anything.
func (srv *Server) IdleData(p []byte) (used int, ok bool) { return 0, len(p) == 0 }

// idle tells whether the server waits for a command.
func (srv *Server) idle() bool { return srv.x.stage == stageNone }

// inTransaction tells whether a transaction is open.
func (srv *Server) inTransaction() bool { return srv.status.Has(wire.StatusInTrans) }
