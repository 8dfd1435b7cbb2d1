// SPDX-License-Identifier: Apache-2.0

package sqlscan

// isWord tells whether t is a word or quoted identifier.
func isWord(t token) bool { return t == tokWord || t >= kwAll }

// setToken takes a token behind SET or RESET. LOCAL, SESSION, TRANSACTION and
// CONSTRAINTS are no reserved words: SET local.x = 1 changes the setting
// "local.x" of the session.
func (m *machine) setToken(t token) {
	phase := m.phase
	m.setPhase(phaseBody)
	m.bodyToken(t)
	local := phase == phaseSetLocal || phase == phaseSetTransaction
	switch {
	case local && (!isWord(t) || t == kwTo):
		m.effects |= EffectSet
	case phase == phaseSet && t == kwLocal:
		m.setPhase(phaseSetLocal)
	case phase == phaseSet && (t == kwTransaction || t == kwConstraints):
		m.setPhase(phaseSetTransaction)
	case phase == phaseReset && t == kwAll:
		m.effects |= EffectResetAll
	case !local && t == kwSession:
		m.setPhase(phaseSetSession)
	default:
		m.setting(t, phase)
	}
}

// setting takes the name of the setting that SET or RESET changes.
func (m *machine) setting(t token, phase phase) {
	var e Effects
	switch {
	case t == idRole, t == idSessionAuthorization, phase == phaseSetSession && t == kwAuthorization:
		e = EffectRole
	case t == idSeed:
		e = EffectSet | EffectSessionFunction
	case t == idLexical, t == kwNames:
		e = EffectSet
		if phase != phaseReset {
			m.config.tokens = 0
			m.setPhase(phaseSetLexical)
		}
	default:
		e = EffectSet
	}
	if phase == phaseSetLocal || phase == phaseSetTransaction {
		e &= EffectSessionFunction // ends with the transaction
	}
	m.effects |= e
}

// releaseToken takes the token behind DISCARD, UNLISTEN or CLOSE.
func (m *machine) releaseToken(t token) {
	switch {
	case m.phase == phaseUnlisten && t == tokStar:
		m.effects |= EffectUnlistenAll
	case m.phase == phaseClose && t == kwAll:
		m.effects |= EffectCloseAll
	case m.phase == phaseDiscard && t == kwAll:
		m.effects |= EffectDiscardAll
	case m.phase == phaseDiscard && (t == kwTemp || t == kwTemporary):
		m.effects |= EffectDiscardTemp
	case m.phase == phaseDiscard && t == kwSequences:
		m.effects |= EffectDiscardSequences
	}
	m.prev = t
	m.setPhase(phaseBody)
}

// preparedToken takes a token behind PREPARE, EXECUTE or DEALLOCATE. PREPARE and
// TRANSACTION may be names of prepared statements themselves.
func (m *machine) preparedToken(t token, start, end int, quoted bool) {
	phase := m.phase
	m.prev = t
	m.setPhase(phaseBody)
	if phase == phasePrepareTransaction {
		if t == tokString || t == tokLiteral {
			m.setFirst(CommandPrepareTransaction)
			m.control = true
		} else {
			m.effects |= EffectPrepare
		}
		return
	}
	if t == kwAll && phase != phaseExecute && phase != phasePrepare {
		m.effects |= EffectDeallocateAll
		m.nameEnd = 0
		return
	}
	if isWord(t) {
		m.nameStart, m.nameEnd, m.nameQuoted = start, end, quoted
	}
	switch {
	case phase == phaseDeallocate && t == kwPrepare:
		m.setPhase(phaseDeallocatePrepare)
	case phase == phaseDeallocate, phase == phaseDeallocatePrepare:
		m.effects |= EffectDeallocate
	case phase == phasePrepare && t == kwTransaction:
		m.setPhase(phasePrepareTransaction)
	case phase == phasePrepare:
		m.effects |= EffectPrepare
	}
}

// endToken takes a token behind COMMIT or ROLLBACK.
func (m *machine) endToken(t token) {
	phase := m.phase
	m.prev = t
	m.setPhase(phaseBody)
	switch {
	case t == kwPrepared && phase == phaseCommit:
		m.setFirst(CommandCommitPrepared)
	case t == kwPrepared:
		m.setFirst(CommandRollbackPrepared)
	case phase == phaseRollback && t == kwTo:
		m.setFirst(CommandRollbackTo)
	case phase == phaseRollback && (t == kwWork || t == kwTransaction):
		m.setPhase(phaseRollback)
	}
}

// explainToken takes a token between EXPLAIN and the statement it explains.
// EXPLAIN ANALYZE runs that statement.
func (m *machine) explainToken(t token) {
	prev := m.prev
	m.prev = t
	switch {
	case m.phase == phaseExplainOption:
		if t == tokClose && m.depth == 0 {
			m.setPhase(phaseExplain)
		}
	case m.phase == phaseExplain && t == tokOpen && prev != tokClose:
		m.setPhase(phaseExplainOpen)
	case t == tokOpen, t == kwSelect, t == kwValues, t == kwWith, t == kwTable:
		m.setPhase(phaseBody)
	case m.phase == phaseExplainOpen && t != tokClose:
		m.setPhase(phaseExplainOption)
	case t == kwAnalyze, t == kwVerbose:
	case t == kwInsert, t == kwUpdate, t == kwDelete, t == kwMerge, t == kwDeclare, t == kwCreate,
		t == kwRefresh, t == kwExecute:
		m.dispatch(t)
	default:
		m.giveUp()
	}
}

// unlockToken takes a token behind SELECT pg_advisory_unlock_all. The release
// counts only if it is all that the statement does.
func (m *machine) unlockToken(t token) {
	switch {
	case m.phase == phaseUnlockOpen && t == tokOpen:
		m.setPhase(phaseUnlockClose)
	case m.phase == phaseUnlockClose && t == tokClose:
		m.setPhase(phaseUnlocked)
	default:
		m.setPhase(phaseBody)
	}
	m.bodyToken(t)
}

// createToken takes a token behind CREATE, DECLARE or DO.
func (m *machine) createToken(t token) {
	switch m.phase {
	case phaseDeclare:
		if t == kwHold && m.prev == kwWith {
			m.effects |= EffectHoldCursor
		}
		if t == kwFor {
			m.setPhase(phaseBody)
		}
		m.bodyToken(t)
	case phaseDo:
		if t == kwLanguage {
			m.setPhase(phaseDoLanguage)
		}
	case phaseDoLanguage:
		if t != kwPlpgsql {
			m.giveUp()
			return
		}
		m.setPhase(phaseDo)
	case phaseCreateTemp:
		if t == kwTable {
			m.tempTable = true // until ON COMMIT DROP is seen
		} else {
			m.effects |= EffectTemp
		}
		m.setPhase(phaseBody)
		m.bodyToken(t)
	default:
		m.createPrefix(t)
	}
}

func (m *machine) createPrefix(t token) {
	switch t {
	case kwOr, kwReplace, kwLocal, kwGlobal:
		m.prev = t
		return
	case kwTemp, kwTemporary:
		m.prev = t
		m.setPhase(phaseCreateTemp)
		return
	case kwSchema:
		m.schemaElements = true
	}
	m.setPhase(phaseBody)
	m.bodyToken(t)
}
