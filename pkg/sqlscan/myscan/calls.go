// SPDX-License-Identifier: Apache-2.0

package myscan

// openCall is the name of a function that was read, perhaps with its opening
// parenthesis.
type openCall struct {
	fn        token
	start     int
	opened    bool
	qualified bool // behind a dot
}

// maxCounts is more than can be listed.
const maxCounts = MaxCalls + 1

// systemVariable is the name of a system variable that is being read.
type systemVariable struct {
	stage uint8 // 0: none, 1: behind @@, 2: behind the scope, 3: behind its dot
	start int
	scope token
}

// exactStage is how much was read of SELECT call [[AS] alias] [LIMIT n].
type exactStage uint8

const (
	exactNot exactStage = iota
	exactStart
	exactName
	exactOpen
	exactCall
	exactAs
	exactAlias
	exactLimit
	exactNumber
)

// callEffects is what a call of the function does, without and with arguments.
var callEffects = [tokenEnd][2]Effects{
	fnLastInsertID: {EffectLastInsertID, EffectSetLastInsertID | EffectLastInsertID},
	fnRowCount:     {EffectRowCount, EffectRowCount},
	fnFoundRows:    {EffectFoundRows, EffectFoundRows},
	fnConnectionID: {EffectConnectionID, EffectConnectionID},
	fnLock:         {EffectLock, EffectLock},
	fnUnlock:       {EffectUnlock, EffectUnlock},
	fnUnlockAll:    {EffectUnlock, EffectUnlock},
	fnServiceLock:  {EffectServiceLock, EffectServiceLock},
	fnSequence:     {EffectSequence, EffectSequence},
}

var callKinds = [tokenEnd]CallKind{
	fnRowCount: CallRowCount, fnFoundRows: CallFoundRows, fnConnectionID: CallConnectionID, idThreadID: CallThreadID,
	fnDatabase: CallDatabase,
}

// openCall takes the name of a function.
func (m *machine) openCall(t token, start int) {
	if m.phase == phaseInsert || m.phase == phaseCall || t == fnSequence && m.mode&ModeMariaDB == 0 {
		return
	}
	m.call = openCall{fn: t, start: start, qualified: m.prev == tokDot}
	if m.comment.seen {
		m.called(false, 0)
		m.called(true, 0)
	}
}

// callToken takes the token behind the name of a function and the one behind its
// opening parenthesis.
func (m *machine) callToken(t token, end int) {
	if !m.call.opened {
		m.call.opened = t == tokOpen
		if t != tokOpen {
			m.call = openCall{}
		}
		return
	}
	m.called(t == tokClose, end)
	m.call = openCall{}
}

// called takes a call of a function, without arguments if empty.
func (m *machine) called(empty bool, end int) {
	e := callEffects[m.call.fn][1]
	if empty {
		e = callEffects[m.call.fn][0]
	}
	m.add(e)
	if kind := callKinds[m.call.fn]; kind != CallNone {
		m.addCall(Call{kind, m.call.start, end, m.statements == 1}, empty && !m.call.qualified)
	}
}

// addCall lists a call that may have to be replaced.
func (m *machine) addCall(c Call, replaceable bool) {
	values := c.First && (c.Kind == CallRowCount || c.Kind == CallFoundRows)
	switch {
	case m.inert:
		return
	case !replaceable, m.definition, m.comment.seen, m.numCalls == MaxCalls:
		m.cannotReplace = m.cannotReplace || values
	default:
		m.calls[m.numCalls] = c
		m.numCalls++
	}
	m.values = m.values || values
}

// openSystem takes @@ at the offset start.
func (m *machine) openSystem(start int) {
	m.system = systemVariable{stage: 1, start: start}
	m.plain = false
}

// systemToken takes a token of the name of a system variable. It returns
// tokSystem within it, tokWord at its end and t behind it.
func (m *machine) systemToken(t token, end int) token {
	s := &m.system
	scope := t == kwGlobal || t == kwSession || t == kwLocal || t == kwPersist
	switch {
	case s.stage == 1 && scope:
		s.scope = t
		s.stage = 2
		return tokSystem
	case s.stage == 2 && t == tokDot:
		s.stage = 3
		return tokSystem
	case s.stage == 2 || t != tokWord && t < kwAggregate:
		m.giveUp() // an error to the server
		return t
	}
	s.stage = 0
	if m.phase == phaseSet {
		m.setVariable(t, s.scope, true)
		m.phase = phaseSetValue
		return tokWord
	}
	switch t {
	case idIdentity, fnLastInsertID:
		m.add(EffectLastInsertID)
	case idWarningCount, idErrorCount:
		m.add(EffectDiagnostics)
		kind := CallWarningCount
		if t == idErrorCount {
			kind = CallErrorCount
		}
		if !m.inert && m.counts < maxCounts {
			m.counts++
		}
		m.addCall(Call{kind, s.start, end, m.statements == 1}, true)
	case idTrack:
		m.add(EffectReadTrack)
	case idThreadID:
		m.add(EffectConnectionID)
		m.addCall(Call{CallThreadID, s.start, end, m.statements == 1}, true)
		if m.stage == exactStart {
			m.exact = Exact{}
			m.exactCall = t
			m.stage = exactOpen
			return tokClose // as the end of a call; nothing else looks at it
		}
	}
	return tokWord
}

// exactToken takes a token of a statement that is exactly one call so far.
func (m *machine) exactToken(t token, start, end int) {
	stage := m.stage
	m.stage = exactNot
	switch {
	case stage == exactStart && t >= firstCall:
		m.exact = Exact{}
		m.exactCall = t
		m.stage = exactName
	case stage == exactName && t == tokOpen:
		m.stage = exactOpen
	case stage == exactOpen && t == tokClose:
		m.stage = exactCall
	case stage == exactCall && t == kwAs:
		m.stage = exactAs
	case stage == exactCall && (t == tokWord || t == tokString || t >= firstName),
		stage == exactAs && (t == tokWord || t == tokString || t >= kwAggregate):
		m.exact.AliasStart, m.exact.AliasEnd = start, end
		m.stage = exactAlias
	case (stage == exactCall || stage == exactAlias) && t == kwLimit:
		m.stage = exactLimit
	case stage == exactLimit && t == tokNumber:
		m.exact.LimitStart, m.exact.LimitEnd = start, end
		m.stage = exactNumber
	}
}

// endExact ends a statement that may have been exactly one call. Behind LIMIT the
// call may not be made.
func (m *machine) endExact() {
	if m.lead == tokNone {
		return
	}
	m.exactDone = m.stage == exactCall || m.stage == exactAlias || m.stage == exactNumber
	if m.exactDone && m.stage != exactNumber && m.exactCall == fnUnlockAll {
		m.add(ReleaseLocks)
	}
}
