// SPDX-License-Identifier: Apache-2.0

package main

import (
	"encoding/binary"
	"fmt"
	"maps"
	"slices"
	"strings"

	wire "github.com/rdsproxy/rdsproxy/pkg/wire/mysql"
)

// baseVariables are those of a new connection that are tracked.
var baseVariables = map[string]string{
	"sql_mode": "STRICT_TRANS_TABLES", "time_zone": "SYSTEM", "autocommit": "ON", "foreign_key_checks": "ON",
	"sql_select_limit": "1000", "character_set_client": "utf8mb4", "character_set_connection": "utf8mb4",
	"character_set_results": "utf8mb4", "collation_connection": "utf8mb4_general_ci",
	"session_track_schema": "ON", "session_track_state_change": "OFF", "session_track_transaction_info": "OFF",
	trackList: "time_zone,autocommit,character_set_client,character_set_results,character_set_connection",
}

// untracked is a variable that pins.
const (
	untracked     = "bulk_insert_buffer_size"
	trackList     = "session_track_system_variables"
	baseUntracked = "8388608"
)

// server is a model of one connection of a database server: the state that a
// session has there, and a small language that changes and shows it.
type server struct {
	caps   wire.Capabilities
	id     uint32
	in     []byte
	sent   []byte
	seq    byte
	commit func(row string) // a row became durable
	undo   func(row string) // a row was rolled back
	// slow tells whether a command takes its time, so that it can be interrupted.
	slow func() bool
	// readOnly tells whether a write is refused.
	readOnly func() bool
	several  bool // statements in one text
	busy     bool
	held     []byte // the command under way
	// kill answers a KILL. Database servers get none.
	kill    func() *wire.Error
	user    string
	mariaDB bool

	vars      map[string]string
	users     map[string]string
	schema    string
	inTrans   bool
	locked    bool // by LOCK TABLES
	file      []byte
	loading   bool     // a file is on its way
	outOfStep bool     // a packet of it had a wrong sequence id
	rows      []string // written by the open transaction
	temp      map[string]string
	locks     map[string]bool
	stmts     map[uint32]*stmt
	lastStmt  uint32
	newest    uint32 // prepared last, 0 if that failed
	lastID    uint64
	rowCount  int64
	diags     []diag
	// fresh is how many of them the newest statement has left; muddled: the proxy may not
	// know them, or others.
	fresh   uint16
	login   uint16 // its collation
	muddled bool
	// listRead: the newest statement has looked at them.
	listRead bool
	explicit bool // it was told that a transaction is open
	block    []byte
	cursor   *stmt       // that is to get a cursor
	before   wire.Status // at the beginning of the statement
	closed   bool
}

type diag struct {
	level string
	code  uint16
	text  string
}

// stmt is a prepared statement. meaning is what was in force when it was prepared.
type stmt struct {
	text    string
	meaning string
	params  int
	types   []byte
	long    map[int][]byte
	cursor  [][]string // rows not fetched yet
	open    bool       // the cursor
}

func newServer(caps wire.Capabilities, id uint32) *server {
	s := &server{caps: caps, id: id, user: "u0", stmts: make(map[uint32]*stmt), commit: func(string) {}, undo: func(string) {}}
	s.reset()
	return s
}

// reset is what COM_RESET_CONNECTION does. The default schema stays.
func (s *server) reset() {
	s.vars = maps.Clone(baseVariables)
	s.vars[untracked] = baseUntracked
	s.users, s.temp, s.locks = make(map[string]string), make(map[string]string), make(map[string]bool)
	clear(s.stmts)
	s.end(false)
	s.diags, s.fresh, s.muddled = nil, 0, false
	s.locked, s.newest = false, 0
	s.lastID, s.rowCount, s.explicit, s.block = 0, 0, false, nil
}

// logIn puts the collation of a login in force, 0 for the server's.
func (s *server) logIn(collation uint16) {
	s.login = collation
	if name := wire.CollationName(collation); name != "" {
		for _, v := range []string{"character_set_client", "character_set_connection", "character_set_results"} {
			s.vars[v] = wire.CharsetOf(name)
		}
		s.vars["collation_connection"] = name
	}
}

// receive takes bytes in any cut, and carries out the commands that are complete.
func (s *server) receive(p []byte) {
	s.in = append(s.in, p...)
	for !s.busy {
		payload, seq, rest, ok := wire.CutPacket(s.in)
		if !ok {
			return
		}
		s.in = rest
		if s.loading {
			s.load(payload, seq)
			continue
		}
		s.seq = 1
		if s.slow != nil && interruptible(payload) && s.slow() {
			s.busy, s.held = true, slices.Clone(payload)
			return
		}
		s.command(slices.Clone(payload))
	}
}

// interruptible tells whether KILL QUERY may hit the command.
func interruptible(p []byte) bool {
	switch wire.Command(p[0]) {
	case wire.ComQuery, wire.ComStmtExecute, wire.ComStmtBulkExecute, wire.ComStmtPrepare:
		return true
	}
	return false
}

// wakes ends a slow command: it is carried out, or interrupted.
func (s *server) wakes(interrupted bool) {
	if !s.busy {
		return
	}
	p := s.held
	s.busy, s.held, s.seq = false, nil, 1
	if !interrupted {
		s.command(p)
	} else {
		if id, ok := wire.StatementID(p); ok && s.stmts[id] != nil && wire.Command(p[0]) != wire.ComStmtPrepare {
			st := s.stmts[id]
			st.long, st.open, st.cursor = nil, false, nil
		}
		s.failed(wire.CodeQueryInterrupted, "Query execution was interrupted")
	}
	s.receive(nil)
}

func (s *server) command(p []byte) {
	args := string(p[1:])
	switch wire.Command(p[0]) {
	case wire.ComQuery:
		s.query(args)
	case wire.ComInitDB:
		s.use(args)
	case wire.ComPing:
		s.rowCount, s.fresh = 0, s.listed()
		s.ok(0, 0, false)
	case wire.ComResetConnection:
		s.reset()
		if s.mariaDB { // MySQL takes those of the server
			s.logIn(s.login)
		}
		s.ok(0, 0, false)
	case wire.ComSetOption:
		s.sent = wire.AppendResultEnd(s.sent, 1, s.caps, wire.OK{Status: s.status(), Warnings: s.listed()})
	case wire.ComStmtPrepare:
		s.prepare(args)
	case wire.ComStmtExecute, wire.ComStmtBulkExecute:
		s.execute(p)
	case wire.ComStmtFetch:
		s.fetch(p)
	case wire.ComStmtClose:
		id, _ := wire.StatementID(p)
		delete(s.stmts, id)
		if s.newest == id {
			s.newest = 0
		}
	case wire.ComStmtReset:
		id, _ := wire.StatementID(p)
		st := s.stmts[id]
		if st == nil {
			s.plainError(1243, fmt.Sprintf("Unknown prepared statement handler (%d) given to mysqld_stmt_reset", id))
			return
		}
		st.long, st.open, st.cursor = nil, false, nil
		s.quiet()
	case wire.ComStmtSendLongData:
		id, _ := wire.StatementID(p)
		if st := s.stmts[id]; st != nil {
			if st.long == nil {
				st.long = make(map[int][]byte)
			}
			n := int(binary.LittleEndian.Uint16(p[5:]))
			st.long[n] = append(st.long[n], p[7:]...)
		}
	case wire.ComProcessKill:
		s.killed()
	case wire.ComQuit:
		s.closed = true
	default:
		s.plainError(1047, "Unknown command")
	}
}

func (s *server) status() (st wire.Status) {
	if s.vars["autocommit"] == "ON" {
		st |= wire.StatusAutocommit
	}
	if s.inTrans {
		st |= wire.StatusInTrans
	}
	if strings.Contains(s.vars["sql_mode"], "NO_BACKSLASH_ESCAPES") {
		st |= wire.StatusNoBackslashEscape
	}
	return st
}

func (s *server) next() byte {
	s.seq++
	return s.seq - 1
}

func (s *server) ok(affected, id uint64, more bool) {
	o := wire.OK{AffectedRows: affected, InsertID: id, Status: s.status(), Warnings: s.fresh, Track: s.block}
	if more {
		o.Status |= wire.StatusMoreResults
	}
	s.sent = wire.AppendOK(s.sent, s.next(), s.caps, o)
	s.block = nil
}

// listed is what MySQL's commands that leave the list tell of it.
func (s *server) listed() uint16 {
	if s.mariaDB || s.listRead {
		return 0
	}
	return uint16(len(s.diags))
}

// quiet is an OK packet that leaves the diagnostics as they are, and says nothing of them.
func (s *server) quiet() {
	s.sent = wire.AppendOK(s.sent, s.next(), s.caps, wire.OK{Status: s.status()})
}

// welcome is the OK packet that ends a login.
func (s *server) welcome() {
	o := wire.OK{Status: s.status()}
	if s.schema != "" {
		o.Track = wire.AppendTrackValue(nil, wire.TrackSchema, s.schema)
	}
	s.sent = wire.AppendOK(s.sent, s.next(), s.caps, o)
}

// plainError is an error that leaves no diagnostics.
func (s *server) plainError(code uint16, text string) {
	s.sent = wire.AppendError(s.sent, s.next(), s.caps, wire.NewError(code, text))
	s.block, s.muddled = nil, true
}

func (s *server) fail(code uint16, text string) {
	s.plainError(code, text)
	s.listRead = false
	s.diags, s.muddled = []diag{{"Error", code, text}}, false
}

// track notes a change for the OK packet, as the session has asked for it.
func (s *server) track(name string) {
	if list := s.vars[trackList]; list == "*" || slices.Contains(strings.Split(list, ","), name) {
		s.block = wire.AppendTrackVariable(s.block, name, s.vars[name])
	}
	s.changed()
}

// tracksAll tells whether it tells the proxy all that it wants to know.
func (s *server) tracksAll() bool {
	return s.vars[trackList] == "*" && s.vars["session_track_schema"] == "ON" && s.vars["session_track_state_change"] == "ON" &&
		s.vars["session_track_transaction_info"] == "CHARACTERISTICS"
}

func (s *server) changed() {
	if s.vars["session_track_state_change"] == "ON" {
		s.block = wire.AppendTrack(s.block, wire.TrackState, []byte("1"))
	}
}

func (s *server) transaction(open bool) {
	if s.inTrans == open {
		return
	}
	s.inTrans = open
	s.letters()
}

// lock locks tables, or unlocks them.
func (s *server) lock(on bool) {
	if s.locked == on {
		return
	}
	s.locked = on
	s.letters()
}

// letters tells the state of the transaction. MySQL tells of some even if nobody has
// asked for it.
func (s *server) letters() {
	value := []byte(wire.NoTransaction)
	all := s.vars["session_track_transaction_info"] != "OFF"
	if !all && (s.mariaDB || s.explicit == s.inTrans) {
		if !s.mariaDB && s.inTrans && s.block == nil {
			s.block = []byte{} // it has begun another one
		}
		return
	}
	s.explicit = s.inTrans
	if s.inTrans {
		value[0] = 'T'
	}
	if s.locked && all {
		value[len(value)-1] = 'L'
	}
	s.block = wire.AppendTrackValue(s.block, wire.TrackTransaction, string(value))
}

// killed answers a KILL.
func (s *server) killed() {
	if s.kill == nil {
		s.plainError(1094, "A KILL that has reached a server")
		return
	}
	if e := s.kill(); e != nil {
		s.plainError(e.Code, e.Message)
		return
	}
	s.quiet()
}

func (s *server) use(schema string) {
	s.fresh = 0
	if !strings.HasPrefix(schema, "s") {
		older, muddled := s.diags, s.muddled
		s.fail(1049, "Unknown database '"+schema+"'")
		if !s.mariaDB {
			s.diags, s.muddled = append(older, s.diags...), muddled
		}
		return
	}
	s.rowCount, s.fresh = 0, s.listed()
	s.choose(schema)
	s.ok(0, 0, false)
}

func (s *server) choose(schema string) {
	s.schema = schema
	if s.vars["session_track_schema"] == "ON" {
		s.block = wire.AppendTrackValue(s.block, wire.TrackSchema, schema)
	}
}

// end ends the transaction.
func (s *server) end(commit bool) {
	for _, row := range s.rows {
		if commit {
			s.commit(row)
		} else {
			s.undo(row)
		}
	}
	s.rows = nil
	s.transaction(false)
}

func (s *server) meaning() string { return s.schema + "/" + s.vars["sql_mode"] }
