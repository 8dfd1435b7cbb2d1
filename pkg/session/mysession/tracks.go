// SPDX-License-Identifier: Apache-2.0

package mysession

import (
	"slices"
	"strings"

	"github.com/rdsproxy/rdsproxy/pkg/session"
	"github.com/rdsproxy/rdsproxy/pkg/sqlscan/myscan"
	wire "github.com/rdsproxy/rdsproxy/pkg/wire/mysql"
)

// serverTracks reads a block of session tracking: what the command has changed. It
// gives false if the block cannot be understood.
func (s *Session) serverTracks(block []byte) bool {
	if len(block) == 0 {
		return true
	}
	srv := s.srv
	x := &srv.x
	schema, vars := srv.applied.Schema(), srv.applied.variables()
	if x.why == forCollation {
		vars = x.learned
	}
	t := tracked{s: s, schema: schema, vars: vars}
	tracks := wire.ReadTracks(block)
	for {
		typ, data, ok := tracks.Next()
		if !ok {
			break
		}
		if !t.entry(typ, data) {
			return false
		}
	}
	if tracks.Malformed() {
		return false
	}
	switch x.why {
	case forClient:
		t.conclude()
	case forCollation:
		x.learned = t.vars
	}
	return true
}

// tracked is what one block says.
type tracked struct {
	s      *Session
	schema string
	vars   []Setting
	pins   session.Pins

	settings, schemaChanged, stateChanged, database bool
	charset, flag, during                           bool
}

func (t *tracked) entry(typ wire.TrackType, data []byte) bool {
	switch typ {
	case wire.TrackVariables:
		pairs := wire.ReadVariables(data)
		for {
			name, value, ok := pairs.Next()
			if !ok {
				return !pairs.Malformed()
			}
			if string(name) == "statement_id" || string(name) == "last_gtid" {
				continue // MySQL 9 counts all statements; MariaDB with a binary log names each write
			}
			t.variable(strings.ToLower(string(name)), string(value))
		}
	case wire.TrackSchema:
		name, ok := wire.TrackValue(data)
		t.schema, t.schemaChanged = string(name), true
		return ok
	case wire.TrackState:
		t.stateChanged = true
	case wire.TrackCharacteristics:
		value, ok := wire.TrackValue(data)
		t.characteristics(len(value) > 0)
		return ok
	case wire.TrackTransaction:
		value, ok := wire.TrackValue(data)
		if ok && len(value) == len(wire.NoTransaction) {
			t.transaction(value)
		}
		return ok
	}
	return true
}

// variable notes the new value of a variable.
func (t *tracked) variable(name, value string) {
	srv := t.s.srv
	x := &srv.x
	if slices.Contains(x.tracked.during, name) {
		t.flag = t.flag || oneOfFlags(name) // it may stand for another one
		t.during = true
		return
	}
	if x.tracked.use != tracksUnused && isTracker(name) && name != trackGTIDs {
		return // it will be asked for
	}
	t.settings = true
	switch name {
	case "character_set_connection", "collation_connection", "character_set_results", "character_set_server", "collation_server":
		t.charset = true // one changes with the other
	case "character_set_database", collationDatabase:
		if t.database = srv.base[collationDatabase] != ""; t.database {
			return
		}
	default:
		t.flag = t.flag || oneOfFlags(name)
	}
	if other := aliases[name]; other != "" {
		// Where a server has both names, both mean the same.
		if _, ok := srv.base[other]; ok {
			name = other
		}
	}
	if _, ok := srv.base[name]; ok {
		t.vars = with(t.vars, name, value, srv.base)
		return
	}
	switch name {
	case "last_insert_id", "identity":
		// MariaDB 11.8 says this of timestamp and insert_id too.
		srv.idChanged = true
		t.pins |= session.PinSessionVariable
	default:
		if isTracker(name) {
			t.pins |= session.PinSessionTrack
			return
		}
		t.pins |= session.PinSessionVariable
	}
}

// characteristics notes whether the next transaction has some of its own.
func (t *tracked) characteristics(some bool) {
	s := t.s
	if s.srv.x.why != forClient || s.srv.inTransaction() {
		return
	}
	if some {
		t.pins |= session.PinNextTransaction
		return
	}
	s.unpin(session.PinNextTransaction)
}

// transaction notes the letters of the transaction's state, of which the last says
// whether tables are locked.
func (t *tracked) transaction(letters []byte) {
	s := t.s
	if s.srv.x.why != forClient {
		return
	}
	if letters[len(letters)-1] == 'L' {
		t.pins |= session.PinLockTables
		return
	}
	if s.srv.foreign {
		return // MySQL leaves that letter out for who has not asked for the state
	}
	s.unpin(session.PinLockTables)
}

// explains are the effects that let the server report a change of state, and that
// pin where they have to.
const explains = myscan.EffectUserVariable | myscan.EffectTemp | myscan.EffectDropTemp | myscan.EffectPrepare |
	myscan.EffectDeallocate | myscan.EffectExecute | myscan.EffectUnknown | myscan.EffectImmediate | myscan.EffectCall

// aliases are second names of variables.
var aliases = map[string]string{"tx_isolation": "transaction_isolation", "tx_read_only": "transaction_read_only"}

// conclude draws the conclusions for the session.
func (t *tracked) conclude() {
	s := t.s
	srv := s.srv
	if t.settings || t.schemaChanged {
		if t.schemaChanged {
			t.vars = without(t.vars, collationDatabase)
			s.lostSchema = ""
			srv.askDatabase = false
		}
		srv.applied = s.shared.settingsOf(t.schema, t.vars)
		s.settings = srv.applied
		t.pins |= s.settings.pins()
	}
	if t.charset || t.database || t.flag && srv.mariaDB {
		srv.askVariables, srv.askDatabase = true, srv.askDatabase || t.database
	}
	explained := t.settings || t.schemaChanged || t.during || srv.x.tracked.use != tracksUnused
	if t.stateChanged && !explained && srv.x.effects&explains == 0 {
		t.pins |= session.PinStateChange
	}
	if s.state == active {
		s.pin(t.pins)
	} else {
		s.pins |= t.pins
	}
}
