// SPDX-License-Identifier: Apache-2.0

package sqlscan

import "strings"

// Effects is the set of things that a text may do to the state of its session.
// The lower bits are effects that outlive the transaction; the upper bits are
// releases, statements that end such effects.
type Effects uint32

// Effects on the session. Each is a reason to keep the session on its database
// connection.
const (
	// EffectSet is a session-wide change of a setting: SET, SET SESSION, RESET
	// of one setting, set_config that is not certainly local, an UPDATE of
	// pg_settings, set_limit of pg_trgm. EffectRole is reported as well unless
	// the text names the setting.
	EffectSet Effects = 1 << iota
	// EffectRole is SET ROLE, SET SESSION AUTHORIZATION, a RESET of these, the
	// same by set_config, or a function of the set_user extension.
	EffectRole
	// EffectPrepare is the SQL command PREPARE.
	EffectPrepare
	// EffectExecute is the SQL command EXECUTE, also below CREATE TABLE AS and
	// EXPLAIN. It needs a statement that is prepared on that connection.
	EffectExecute
	// EffectDeallocate is DEALLOCATE of one statement.
	EffectDeallocate
	// EffectListen is LISTEN.
	EffectListen
	// EffectTemp is a temporary table, view, sequence or any other use of the
	// schema pg_temp. A temporary table ON COMMIT DROP does not count.
	EffectTemp
	// EffectAdvisoryLock is an advisory lock at session level.
	EffectAdvisoryLock
	// EffectHoldCursor is DECLARE CURSOR WITH HOLD.
	EffectHoldCursor
	// EffectLoad is LOAD of a library.
	EffectLoad
	// EffectSequence is a use of the sequence values that the session
	// remembers: nextval, setval, currval, lastval.
	EffectSequence
	// EffectSessionFunction is a call of another function that keeps state in
	// the session, or that runs a text given to it.
	EffectSessionFunction
	// EffectUnknown says that the text, or a part of it, was not understood, or
	// that later texts may be read by the server in another way than the
	// scanner reads them, because the text sets client_encoding or
	// standard_conforming_strings to an unusual value, in a transaction or for
	// longer. No release is ever reported together with it.
	EffectUnknown

	// The bits from here on are releases.

	EffectDiscardAll       // DISCARD ALL
	EffectDeallocateAll    // DEALLOCATE ALL
	EffectResetAll         // RESET ALL
	EffectUnlistenAll      // UNLISTEN *
	EffectCloseAll         // CLOSE ALL
	EffectDiscardTemp      // DISCARD TEMP
	EffectDiscardSequences // DISCARD SEQUENCES
	EffectAdvisoryUnlockAll

	effectEnd
)

const (
	releaseMask = (effectEnd - 1) &^ (EffectDiscardAll - 1)
	sessionMask = EffectDiscardAll - 1
)

// Session returns the effects of e without its releases.
func (e Effects) Session() Effects { return e & sessionMask }

// Releases returns the releases of e without its effects.
func (e Effects) Releases() Effects { return e & releaseMask }

// Cleared returns the session effects that the releases in e end. A release
// counts only once the whole text has run without error and outside a
// transaction block: RESET ALL and UNLISTEN * are undone by a rollback. When a
// text has both releases and effects, apply the releases first, because the
// order of its statements is not reported.
//
// No release ends EffectLoad, EffectSessionFunction and EffectUnknown. RESET ALL
// and DISCARD ALL also undo the settings that a pool has made on the connection
// by SET.
func (e Effects) Cleared() Effects {
	var c Effects
	if e&EffectDiscardAll != 0 {
		c = sessionMask &^ (EffectLoad | EffectSessionFunction | EffectUnknown)
	}
	if e&EffectDeallocateAll != 0 {
		c |= EffectPrepare | EffectExecute | EffectDeallocate
	}
	if e&EffectResetAll != 0 {
		c |= EffectSet
	}
	if e&EffectUnlistenAll != 0 {
		c |= EffectListen
	}
	if e&EffectCloseAll != 0 {
		c |= EffectHoldCursor
	}
	if e&EffectDiscardTemp != 0 {
		c |= EffectTemp
	}
	if e&EffectDiscardSequences != 0 {
		c |= EffectSequence
	}
	if e&EffectAdvisoryUnlockAll != 0 {
		c |= EffectAdvisoryLock
	}
	return c
}

// effectNames are stable: operators see them as reasons of pins.
var effectNames = [...]string{
	"set", "role", "prepare", "execute", "deallocate", "listen", "temp",
	"advisory_lock", "hold_cursor", "load", "sequence", "session_function", "unknown",
	"discard_all", "deallocate_all", "reset_all", "unlisten_all", "close_all",
	"discard_temp", "discard_sequences", "advisory_unlock_all",
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
