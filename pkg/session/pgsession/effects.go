// SPDX-License-Identifier: Apache-2.0

package pgsession

import (
	"bytes"

	"github.com/rdsproxy/rdsproxy/pkg/session"
	"github.com/rdsproxy/rdsproxy/pkg/sqlscan"
	wire "github.com/rdsproxy/rdsproxy/pkg/wire/postgres"
)

// pinning says which effect pins for which reason. EXECUTE and DEALLOCATE of a
// name change nothing that PREPARE did not pin for already.
var pinning = [...]struct {
	effect sqlscan.Effects
	pin    session.Pins
}{
	{sqlscan.EffectSet, session.PinSet},
	{sqlscan.EffectRole, session.PinRole},
	{sqlscan.EffectPrepare, session.PinPrepare},
	{sqlscan.EffectListen, session.PinListen},
	{sqlscan.EffectTemp, session.PinTemporaryObject},
	{sqlscan.EffectAdvisoryLock, session.PinAdvisoryLock},
	{sqlscan.EffectHoldCursor, session.PinHoldCursor},
	{sqlscan.EffectLoad, session.PinLoad},
	{sqlscan.EffectSequence, session.PinSequence},
	{sqlscan.EffectSessionFunction, session.PinSessionFunction},
	{sqlscan.EffectUnknown, session.PinUnknownStatement},
}

// discardable are the pins whose state DISCARD ALL removes.
const discardable = session.PinSet | session.PinRole | session.PinPrepare | session.PinListen |
	session.PinTemporaryObject | session.PinAdvisoryLock | session.PinHoldCursor | session.PinSequence |
	session.PinLargeStatement | session.PinParameterChanged

// lasting are the pins whose state nothing removes but the end of the
// connection: a loaded library, an open dblink connection, whatever an unknown
// statement did, what the connection was started with.
const lasting = session.PinLoad | session.PinSessionFunction | session.PinUnknownStatement |
	session.PinReplication | session.PinStartupParameter

// releasing says which effect, when its statement succeeded, removes the state
// behind which pins.
var releasing = [...]struct {
	effect sqlscan.Effects
	pins   session.Pins
}{
	{sqlscan.EffectDiscardAll, discardable},
	{sqlscan.EffectDeallocateAll, session.PinPrepare | session.PinLargeStatement},
	{sqlscan.EffectResetAll, session.PinSet | session.PinParameterChanged},
	{sqlscan.EffectUnlistenAll, session.PinListen},
	{sqlscan.EffectCloseAll, session.PinHoldCursor},
	{sqlscan.EffectDiscardTemp, session.PinTemporaryObject},
	{sqlscan.EffectDiscardSequences, session.PinSequence},
	{sqlscan.EffectAdvisoryUnlockAll, session.PinAdvisoryLock},
}

const releaseEffects = sqlscan.EffectDiscardAll | sqlscan.EffectDeallocateAll | sqlscan.EffectResetAll |
	sqlscan.EffectUnlistenAll | sqlscan.EffectCloseAll | sqlscan.EffectDiscardTemp |
	sqlscan.EffectDiscardSequences | sqlscan.EffectAdvisoryUnlockAll

// effectLocal is a setting for the present transaction: SET LOCAL.
const effectLocal sqlscan.Effects = 1 << 31

// effectsOf gives the effects of a text, what it does to the transaction included. The scanner does not tell of settings
// for the transaction, as they need no pin. What a text releases that is not
// understood as a whole takes no pins away, for it gives one that stays, but is
// to be followed all the same.
func effectsOf(text []byte, res sqlscan.Result) sqlscan.Effects {
	effects := res.Effects | controlOf(text, res)
	if effects&sqlscan.EffectUnknown != 0 {
		effects |= res.Releases
	}
	if res.First != sqlscan.CommandSet && res.Statements <= 1 || !containsLocal(text) {
		return effects
	}
	return effects | effectLocal
}

func containsLocal(text []byte) bool {
	const word = "local"
	for len(text) >= len(word) {
		i := bytes.IndexAny(text, "lL")
		if i < 0 || len(text)-i < len(word) {
			return false
		}
		if bytes.EqualFold(text[i:i+len(word)], []byte(word)) {
			return true
		}
		text = text[i+1:]
	}
	return false
}

// setsLocally notes that the request sent last makes such settings.
func (s *Session) setsLocally() {
	s.local, s.localSince = s.shared.unique(), s.srv.owed.newest()
}

func pinsOf(effects sqlscan.Effects) (pins session.Pins) {
	for _, p := range pinning {
		if effects&p.effect != 0 {
			pins |= p.pin
		}
	}
	return pins
}

// pinsOf gives the pins of a text. That of EXECUTE are those of the statements
// prepared in SQL.
func (s *Session) pinsOf(effects sqlscan.Effects) session.Pins {
	if effects&sqlscan.EffectPrepare != 0 {
		s.sqlPrepared |= effects
	}
	if effects&sqlscan.EffectExecute != 0 {
		effects |= s.sqlPrepared
	}
	return pinsOf(effects)
}

func releasesOf(effects sqlscan.Effects) (pins session.Pins) {
	for _, r := range releasing {
		if effects&r.effect != 0 {
			pins |= r.pins
		}
	}
	return pins
}

// queryEffects notes what the request of the newest entry does to session
// state. Pins count from now on, whether it succeeds or not; what it releases
// counts when it has succeeded, and only if the text begins and ends no
// transaction: then its statements have taken effect together.
func (s *Session) queryEffects(e *entry, effects sqlscan.Effects, control bool) {
	pins := s.pinsOf(effects)
	s.pinFor(e, pins)
	e.control = effects & controlEffects
	if effects&effectLocal != 0 {
		s.setsLocally()
	}
	if pins == 0 && !control {
		e.releases = effects & releaseEffects
	}
	if effects&(sqlscan.EffectDiscardAll|sqlscan.EffectDeallocateAll) != 0 {
		e.op, e.saved = opForgetAll, &forgotten{s.statements, s.srv.prepared.takeAll()}
		s.rename(nil)
		s.srv.named = s.srv.owed.newest()
	}
	if effects&(sqlscan.EffectDiscardAll|sqlscan.EffectResetAll) != 0 {
		s.srv.resets(e)
	}
}

// forgetsUncertain tells whether a request forgets all statements while names
// are in doubt that an earlier batch gives or takes away. Should that one fail,
// what it has taken away would come back after having been forgotten.
func (s *Session) forgetsUncertain(effects sqlscan.Effects) bool {
	return effects&(sqlscan.EffectDiscardAll|sqlscan.EffectDeallocateAll) != 0 && s.srv.uncertainNames()
}

// bound notes what the statement bound by e does to session state when it is
// executed.
func (s *Session) bound(e *entry, portal []byte, effects sqlscan.Effects) {
	pins := s.pinsOf(effects)
	releases := effects & releaseEffects
	switch {
	case len(portal) == 0:
		s.boundReleases, s.boundControl = releases, effects&controlEffects
	case releases != 0:
		// When and whether a named portal is executed is not followed.
		pins |= session.PinUnknownStatement
	}
	if len(portal) > 0 {
		s.portalControl |= effects & controlEffects
	}
	s.pinFor(e, pins)
	if effects&effectLocal != 0 {
		s.setsLocally()
	}
}

// pinParsed notes what a Parse does whose statement is not followed to its
// execution.
func (s *Session) pinParsed(e *entry, effects sqlscan.Effects) {
	pins := pinsOf(effects)
	if effects&releaseEffects != 0 {
		pins |= session.PinUnknownStatement
	}
	s.pinFor(e, pins)
}

// freshSequences is called before the session asks for sequence state (lastval,
// currval, nextval) that it has not pinned its connection for. What earlier
// borrowers left there is discarded, so that the answer is the session's own, or
// the error "not yet defined in this session", but never another client's value.
func (s *Session) freshSequences(effects sqlscan.Effects) {
	srv := s.srv
	if effects&sqlscan.EffectSequence == 0 || s.pins&session.PinSequence != 0 || srv.tx != 'I' || !srv.synced() {
		return
	}
	s.oweReady(entryQuery, skip)
	srv.setUnnamed(0)
	s.host.ToServer(discardSequences)
}

var discardSequences = wire.AppendQuery(nil, "DISCARD SEQUENCES")
