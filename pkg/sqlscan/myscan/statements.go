// SPDX-License-Identifier: Apache-2.0

package myscan

// prefixToken takes a token behind one of several leading keywords.
func (m *machine) prefixToken(t token) {
	switch m.phase {
	case phaseDrop:
		switch t {
		case kwTemporary:
			m.add(EffectDropTemp)
		case kwPrepare:
			m.add(EffectDeallocate)
		default:
			m.add(EffectDefinition)
		}
	case phaseInsert:
		switch t {
		case kwInto, kwDelayed, kwHighPriority, kwIgnore, kwLowPriority:
			return
		}
		if t >= firstCall {
			t = tokWord // the name of the table
		}
	case phaseCall:
		if t != tokOpen {
			m.prev = t
			return
		}
	case phaseShow:
		switch t {
		case kwSession, kwLocal:
			return
		case kwWarnings, kwErrors, kwCount:
			m.add(EffectDiagnostics)
		case kwVariables:
			m.add(EffectReadTrack)
		}
	case phaseLoad:
		if t == kwLocal {
			m.add(EffectLocalInfile)
		}
		if t != kwInfile {
			return
		}
	case phaseExecute:
		if t == kwImmediate {
			m.add(EffectImmediate)
		}
	}
	m.phase = phaseBody
	m.bodyToken(t)
}

// lockToken takes a token behind LOCK, UNLOCK or FLUSH.
func (m *machine) lockToken(t token) {
	phase := m.phase
	tables := t == kwTable || t == kwTables
	m.prev = t
	if phase == phaseFlush && !tables {
		return
	}
	switch {
	case phase == phaseFlush:
		m.phase = phaseFlushTables
		return
	case phase == phaseFlushTables:
		if t == kwWith || t == kwFor {
			m.add(EffectGlobalLock)
		}
		return
	case phase == phaseLock && tables:
		m.add(EffectTableLock)
	case phase == phaseLock && t == kwInstance:
		m.add(EffectInstanceLock)
	case phase == phaseUnlock && tables:
		m.add(ReleaseTables)
	case phase == phaseUnlock && t == kwInstance:
		m.add(ReleaseInstance)
	}
	m.phase = phaseBody
}

// transactionToken takes a token behind BEGIN, START, COMMIT or ROLLBACK.
func (m *machine) transactionToken(t token) {
	prev := m.prev
	m.prev = t
	switch m.phase {
	case phaseBegin:
		if t == kwNot {
			m.giveUp() // NOT ATOMIC: a block of statements that is run
		}
		m.phase = phaseBody
	case phaseStart:
		if t == kwTransaction {
			m.command(CommandBegin)
			m.add(ReleaseTableLocks)
		}
		m.phase = phaseBody
	default:
		switch {
		case t == kwRelease && prev != kwNo:
			m.add(EffectDisconnect)
		case t == kwTo:
			m.command(CommandRollbackTo)
			m.phase = phaseBody
		}
	}
}

// killToken takes a token behind KILL.
func (m *machine) killToken(t token, start, end int) {
	if m.phase == phaseKillEnd {
		m.kill = Kill{Form: KillOther}
		m.phase = phaseBody
		m.bodyToken(t)
		return
	}
	m.prev = t
	switch {
	case m.kill.End != 0 || m.kill.Form == KillOther || m.comment.seen:
	case t == kwHard:
		return
	case t == kwSoft:
		m.kill.Soft = true
		return
	case t == kwConnection:
		m.kill.Form = KillConnection
		return
	case t == kwQuery:
		m.kill.Form = KillQuery
		return
	case t == tokNumber:
		if m.kill.Form == KillNone {
			m.kill.Form = KillConnection
		}
		m.kill.Start, m.kill.End = start, end
		m.phase = phaseKillEnd
		return
	}
	m.kill = Kill{Form: KillOther}
	m.phase = phaseBody
	m.bodyToken(t)
}

// explainToken takes a token between EXPLAIN and the statement it explains. The
// server may run parts of that.
func (m *machine) explainToken(t token) {
	switch t {
	case kwSelect, kwWith, kwValues, kwInsert, kwReplace, kwUpdate, kwDelete:
		if t == kwInsert || t == kwReplace || t == kwUpdate || t == kwDelete {
			m.writes = true
		}
		m.dispatch(t)
		m.stage = exactNot
	case tokOpen:
		m.phase = phaseBody
		m.bodyToken(t)
	default:
		m.bodyToken(t)
	}
}
