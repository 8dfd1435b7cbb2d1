// SPDX-License-Identifier: Apache-2.0

package mysession

import (
	"github.com/rdsproxy/rdsproxy/pkg/session"
	"github.com/rdsproxy/rdsproxy/pkg/sqlscan/myscan"
)

// pinning says which effect pins for which reason.
var pinning = [...]struct {
	effect myscan.Effects
	pin    session.Pins
}{
	{myscan.EffectUserVariable, session.PinUserVariable},
	{myscan.EffectNextTransaction, session.PinNextTransaction},
	{myscan.EffectRole, session.PinRole},
	{myscan.EffectLock | myscan.EffectServiceLock, session.PinAdvisoryLock},
	{myscan.EffectTableLock, session.PinLockTables},
	{myscan.EffectGlobalLock, session.PinReadLock},
	{myscan.EffectInstanceLock, session.PinInstanceLock},
	{myscan.EffectTemp, session.PinTemporaryObject},
	{myscan.EffectPrepare, session.PinPrepare},
	{myscan.EffectHandler, session.PinHandler},
	{myscan.EffectXA, session.PinXA},
	{myscan.EffectCalcFoundRows, session.PinFoundRows},
	{myscan.EffectSequence, session.PinSequence},
	// A procedure may set a user variable or take a lock, of which no tracker tells.
	{myscan.EffectCall, session.PinProcedure},
	{myscan.EffectImmediate | myscan.EffectUnknown, session.PinUnknownStatement},
}

// lasting are the pins whose state COM_RESET_CONNECTION may leave behind: an XA
// transaction that was prepared belongs to the server, and one that is open must
// not be touched; what an unknown statement did is not known; and who has turned the
// trackers off may have gone to another schema, which stays.
const lasting = session.PinXA | session.PinUnknownStatement | session.PinInstanceLock | session.PinSessionTrack

// momentary are the pins that end with the next statement.
const momentary = session.PinDiagnostics | session.PinFoundRows

func pinsOf(effects myscan.Effects) (p session.Pins) {
	for i := range pinning {
		if effects&pinning[i].effect != 0 {
			p |= pinning[i].pin
		}
	}
	return p
}

// noteEffects notes what the command under way does to session state. Pins count
// from now on, whether it succeeds or not. What it releases counts when it has
// succeeded.
func (s *Session) noteEffects(x *exchange, res *myscan.Result) {
	effects := res.Effects
	x.effects |= effects
	x.outcome = outcomeOf(res)
	if res.First == myscan.CommandBegin && res.Statements == 1 && !s.srv.inTransaction() && !s.srv.unsure {
		x.outcome = outcomeNothing // it commits nothing, and what it begins is lost
	}
	x.commits = res.First == myscan.CommandCommit && res.Statements == 1
	if res.First == myscan.CommandRollback && res.Statements == 1 {
		x.outcome = outcomeUndone // whatever became of it
		if !s.srv.inTransaction() && !s.srv.unsure {
			x.outcome = outcomeNothing
		}
	}
	if x.shape == shapePrepare {
		x.outcome = outcomeNothing
	}
	if x.shape == shapePrepare {
		return // it is the executions that have them
	}
	p := pinsOf(effects)
	if x.tracked.use == tracksPin {
		p |= session.PinSessionTrack
	}
	if x.tracked.use == tracksSet || x.tracked.unclear {
		s.srv.askAll = true
	}
	x.fresh |= p &^ s.pins
	s.pin(p)
	x.mayLoad = x.mayLoad || effects&myscan.EffectLocalInfile != 0
	if effects&(myscan.EffectSetLastInsertID|myscan.EffectCall|myscan.EffectUnknown|myscan.EffectExecute) != 0 {
		s.srv.idChanged = true
	}
	if cleared := pinsOf(effects.Cleared()) &^ p; cleared != 0 {
		x.releases |= cleared
	}
}

// concluded draws conclusions from the complete reply to a command of the client's.
func (s *Session) concluded(x *exchange) {
	s.retries, s.refusals, s.schemaTried = 0, 0, false
	switch x.shape {
	case shapeResult:
		s.resultConcluded(x)
	case shapePrepare:
		if x.failed && s.newest != 0 && x.stmt != nil && s.statements[x.stmt.id] == nil {
			s.newest = 0
		}
	case shapeRows:
		if x.stmt != nil {
			s.fetched(x)
		}
	case shapeOK:
		s.okConcluded(x)
	}
	s.noteWarnings(x)
	if x.effects&myscan.EffectDisconnect != 0 && !x.failed {
		// The server closes the connection now, and the client expects it to.
		s.srv.doubt = true
		s.host.CloseClient()
		s.leave()
	}
}

func (s *Session) resultConcluded(x *exchange) {
	if x.failed && x.code == codeParse && x.results == 0 {
		s.unpin(x.fresh) // nothing of it was carried out
	}
	if !x.failed && x.releases != 0 {
		s.unpin(x.releases)
	}
	if x.effects&myscan.EffectCalcFoundRows == 0 {
		s.unpin(session.PinFoundRows)
	}
	s.affected = x.affected
	if x.foundSet && x.fate != listShown {
		s.foundRows = x.found
	}
	s.valuesHere, s.foundHere = true, true
	if x.binary {
		s.executed(x)
	}
}
