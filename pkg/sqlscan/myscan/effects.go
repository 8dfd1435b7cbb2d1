// SPDX-License-Identifier: Apache-2.0

package myscan

import "strings"

// Effects is the set of things that a text may do to its session or may ask of
// it. The upper bits are releases, statements that end such effects.
type Effects uint64

// Effects on the session. Whether one is a reason to keep the session on its
// connection is for the reader to decide.
const (
	// EffectUserVariable is a write of a user variable: SET @x, :=, INTO @x,
	// a variable given to CALL, LOAD DATA or GET DIAGNOSTICS.
	EffectUserVariable Effects = 1 << iota
	// EffectReadUserVariable is any use of a user variable.
	EffectReadUserVariable
	// EffectSet is a session-wide change of a system variable, or SET NAMES.
	// The server's trackers report which and what.
	EffectSet
	// EffectSetGlobal is a SET that does not touch the session: GLOBAL, PERSIST,
	// SET PASSWORD, SET DEFAULT ROLE.
	EffectSetGlobal
	// EffectNextTransaction is a setting for the next transaction only: SET
	// TRANSACTION without a scope, SET @@transaction_isolation without one.
	EffectNextTransaction
	// EffectRole is SET ROLE.
	EffectRole
	// EffectTrack is a SET of one of the session_track variables, but for that of
	// GTIDs. EffectSet is reported as well.
	EffectTrack
	// EffectReadTrack is a use of their values: @@session_track_schema, SHOW
	// VARIABLES, the tables that list variables.
	EffectReadTrack
	// EffectSetStatement is MariaDB's SET STATEMENT, which sets variables for as
	// long as one statement runs.
	EffectSetStatement
	// EffectLock is GET_LOCK().
	EffectLock
	// EffectUnlock is RELEASE_LOCK() or RELEASE_ALL_LOCKS().
	EffectUnlock
	// EffectServiceLock is a lock of the locking service or of version tokens.
	EffectServiceLock
	// EffectTableLock is LOCK TABLES.
	EffectTableLock
	// EffectGlobalLock is FLUSH TABLES WITH READ LOCK or FOR EXPORT.
	EffectGlobalLock
	// EffectInstanceLock is LOCK INSTANCE FOR BACKUP, BACKUP STAGE or BACKUP LOCK.
	EffectInstanceLock
	// EffectTemp is the creation of a temporary table or sequence.
	EffectTemp
	// EffectDropTemp is DROP TEMPORARY.
	EffectDropTemp
	// EffectPrepare is PREPARE.
	EffectPrepare
	// EffectExecute is EXECUTE, which needs a statement prepared by PREPARE.
	EffectExecute
	// EffectDeallocate is DEALLOCATE PREPARE or DROP PREPARE.
	EffectDeallocate
	// EffectImmediate is EXECUTE IMMEDIATE, which may do anything.
	EffectImmediate
	// EffectHandler is HANDLER.
	EffectHandler
	// EffectXA is XA.
	EffectXA
	// EffectCalcFoundRows is SQL_CALC_FOUND_ROWS.
	EffectCalcFoundRows
	// EffectFoundRows is FOUND_ROWS().
	EffectFoundRows
	// EffectRowCount is ROW_COUNT().
	EffectRowCount
	// EffectLastInsertID is a read of the last insert id: LAST_INSERT_ID(),
	// @@identity, @@last_insert_id, @@insert_id.
	EffectLastInsertID
	// EffectSetLastInsertID is LAST_INSERT_ID() with an argument, or a SET of
	// last_insert_id, identity or insert_id.
	EffectSetLastInsertID
	// EffectConnectionID is CONNECTION_ID() or @@pseudo_thread_id.
	EffectConnectionID
	// EffectDiagnostics is a read of the diagnostics of the statement before:
	// SHOW WARNINGS, SHOW COUNT(*) ERRORS, @@warning_count, GET DIAGNOSTICS, ...; or
	// RESIGNAL, which adds to them.
	EffectDiagnostics
	// EffectLocalInfile is LOAD DATA LOCAL or LOAD XML LOCAL.
	EffectLocalInfile
	// EffectKill is KILL. See Result.Kill.
	EffectKill
	// EffectUse is USE.
	EffectUse
	// EffectDefinition is a change of definitions: CREATE, ALTER, DROP,
	// TRUNCATE, RENAME.
	EffectDefinition
	// EffectCall is CALL. Procedures may do what no tracker reports.
	EffectCall
	// EffectSequence is a use of sequence values, of which MariaDB remembers
	// the last in the session.
	EffectSequence
	// EffectDisconnect is COMMIT RELEASE or ROLLBACK RELEASE: the server closes
	// the connection behind its reply.
	EffectDisconnect
	// EffectExecutableComment tells that the text has one.
	EffectExecutableComment
	// EffectUnknown says that the text, or a part of it, was not understood. No
	// release and nothing to replace is ever reported together with it.
	EffectUnknown

	// The bits from here on are releases.

	// ReleaseLocks is RELEASE_ALL_LOCKS() as all that a statement does.
	ReleaseLocks
	// ReleaseTables is UNLOCK TABLES.
	ReleaseTables
	// ReleaseTableLocks is the start of a transaction, which ends LOCK TABLES.
	ReleaseTableLocks
	// ReleaseInstance is UNLOCK INSTANCE.
	ReleaseInstance

	effectEnd
)

const (
	releaseMask = (effectEnd - 1) &^ (ReleaseLocks - 1)
	sessionMask = ReleaseLocks - 1
)

// Session returns the effects of e without its releases.
func (e Effects) Session() Effects { return e & sessionMask }

// Releases returns the releases of e without its effects.
func (e Effects) Releases() Effects { return e & releaseMask }

// Cleared returns the session effects that the releases in e end. A release
// counts only once the whole text has run without error. When a text has both
// releases and effects, apply the releases first, because the order of its
// statements is not reported.
func (e Effects) Cleared() Effects {
	var c Effects
	if e&ReleaseLocks != 0 {
		c |= EffectLock | EffectUnlock
	}
	if e&ReleaseTables != 0 {
		c |= EffectTableLock | EffectGlobalLock
	}
	if e&ReleaseTableLocks != 0 {
		c |= EffectTableLock
	}
	if e&ReleaseInstance != 0 {
		c |= EffectInstanceLock
	}
	return c
}

// effectNames are stable: operators see them as reasons of pins.
var effectNames = [...]string{
	"user_variable", "read_user_variable", "set", "set_global", "next_transaction", "role", "session_track",
	"read_session_track", "set_statement",
	"lock", "unlock", "service_lock", "table_lock", "global_lock", "instance_lock", "temp", "drop_temp",
	"prepare", "execute", "deallocate", "execute_immediate", "handler", "xa", "calc_found_rows", "found_rows",
	"row_count", "last_insert_id", "set_last_insert_id", "connection_id", "diagnostics", "local_infile", "kill",
	"use", "definition", "call", "sequence", "disconnect", "executable_comment", "unknown",
	"release_locks", "unlock_tables", "release_table_locks", "unlock_instance",
}

// String returns the stable names of the effects, separated by commas, or
// "none".
func (e Effects) String() string {
	if e == 0 {
		return "none"
	}
	var names []string
	for i, name := range effectNames {
		if e&(1<<i) != 0 {
			names = append(names, name)
		}
	}
	return strings.Join(names, ",")
}
