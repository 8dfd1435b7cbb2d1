// SPDX-License-Identifier: Apache-2.0

package mysession

import (
	"github.com/rdsproxy/rdsproxy/pkg/session"
	"github.com/rdsproxy/rdsproxy/pkg/sqlscan/myscan"
	wire "github.com/rdsproxy/rdsproxy/pkg/wire/mysql"
)

// shape is how the reply to a command looks.
type shape uint8

const (
	// shapeResult: any number of results, each OK, ERR, a request for a file, or
	// columns and rows (COM_QUERY, COM_STMT_EXECUTE).
	shapeResult shape = iota + 1
	// shapeOK: one packet, OK, EOF or ERR.
	shapeOK
	// shapePrepare: the reply to COM_STMT_PREPARE.
	shapePrepare
	// shapeRows: rows, or column definitions, up to their end (COM_STMT_FETCH,
	// COM_FIELD_LIST).
	shapeRows
	// shapeText: one packet of text without any head, or ERR (COM_STATISTICS).
	shapeText
)

// stage is how far the reply has come.
type stage uint8

const (
	stageNone    stage = iota // nothing is owed
	stageFirst                // the packet that a result begins with is to come
	stageParams               // definitions of parameters
	stageColumns              // definitions of columns
	stageRows                 // rows, and their end
	stageFile                 // the client sends a file
)

// purpose is what a command was sent for.
type purpose uint8

const (
	// forClient: the client sent it, and gets the reply. All others are the
	// proxy's own, and their replies are skipped.
	forClient purpose = iota
	// forSettings applies the session's settings, forSchema its schema.
	forSettings
	forSchema
	// forCollation sets the character sets by the number of a collation.
	forCollation
	// forPrepare prepares a statement of the client's that it wants to execute.
	forPrepare
	// forLastID asks for the last insert id, forSetLastID sets it.
	forLastID
	forSetLastID
	// forVariables asks for variables that trackers do not tell reliably.
	forVariables
	// forAll asks for all that are tracked, and for the session_track variables.
	forAll
	// forClientTrackers puts the client's session_track variables in force,
	// forOwnTrackers the proxy's.
	forClientTrackers
	forOwnTrackers
	// forDiagnostics removes what a statement of another client has left there.
	forDiagnostics
	// forWarnings and forFoundRows ask for what the client may want to know of its
	// newest statement.
	forWarnings
	forFoundRows
	// forDatabase asks for the default schema.
	forDatabase
	// forOption switches multi-statements on or off.
	forOption
	// forRollback ends a transaction after its client, forReset everything else,
	// and forSetUp sets the connection up again.
	forRollback
	forReset
	forSetUp
)

// ahead tells whether such a command goes ahead of one of the client's, and not behind it. Those that ask for something
// may do both.
func (p purpose) ahead() bool {
	switch p {
	case forSettings, forSchema, forCollation, forPrepare, forSetLastID, forDiagnostics, forOption, forClientTrackers, forDatabase:
		return true
	}
	return false
}

// exchange is the command that the server carries out, and its reply. The zero
// value is none.
type exchange struct {
	shape shape
	stage stage
	why   purpose
	// seq is the sequence id of the server's next packet, and shift what is added
	// to it for the client.
	seq, shift byte
	// failed: the reply was an error, code.
	failed bool
	code   uint16
	// sent: something of the reply has gone to the client.
	sent bool
	// commits: it is a COMMIT, begins a BEGIN outside of a transaction. kept: it is in Server.write.
	commits, begins, kept bool
	// binary: it is the execution of a prepared statement.
	binary bool
	// outParams: the result under way has the OUT parameters of a procedure.
	outParams bool

	// columns is how many definitions are to come in this stage, and behind how
	// many in the stage behind it.
	columns, behind int
	// eofDue: the client expects an EOF packet behind the definitions, which is
	// held back until it is known what follows.
	eofDue bool
	rows   wire.Rows
	// packet is the part of a definition that is still to come.
	packet int
	// renamed is what was rewritten of the text.
	renamed []renaming

	file upload // stageFile

	// value is what the proxy asked for, if it is a number.
	value    uint64
	valueSet bool

	// collation is that of the newest definition of a text that the proxy asked for.
	collation uint16

	target  *Settings // forSettings, forSchema: what is being applied
	learned []Setting // forCollation: what has become of it; forVariables, forAll: what there is

	command  wire.Command
	stmt     *statement // the client's, of a command about one
	pr       *prepared  // forPrepare, and commands about a prepared statement
	mayLoad  bool       // the server may ask for a file
	affected int64      // what ROW_COUNT() is after it, of the newest result
	found    uint64     // what FOUND_ROWS() is after it, if foundSet
	foundSet bool
	warnings bool   // some result had warnings
	warned   uint16 // how many the newest one had
	results  int    // how many results are complete

	fate fate      // of the list of warnings that was there
	list *warnings // forWarnings: the answer

	effects  myscan.Effects // of the text
	tracked  trackedText
	outcome  outcome      // should the reply not come
	fresh    session.Pins // that it was the first to give
	releases session.Pins // that it takes away if it succeeds
}

// begin notes that a command was sent whose reply looks like this. packets is how
// many packets it was.
func (srv *Server) begin(why purpose, sh shape, packets byte) *exchange {
	srv.status &^= wire.StatusCursorExists | wire.StatusLastRowSent // of the reply before
	srv.x = exchange{shape: sh, stage: stageFirst, why: why, seq: packets}
	if sh == shapeRows {
		srv.x.stage = stageRows
		srv.x.rows.Seq = packets
	}
	return &srv.x
}

// between tells whether the server's next byte begins a packet.
func (x *exchange) between() bool {
	switch x.stage {
	case stageRows:
		return x.packet == 0 && x.rows.Between()
	default:
		return x.packet == 0
	}
}

// clientSeq is the sequence id of what the client is sent next.
func (x *exchange) clientSeq() byte {
	if x.stage == stageRows {
		return x.rows.Seq + x.shift
	}
	return x.seq + x.shift
}
